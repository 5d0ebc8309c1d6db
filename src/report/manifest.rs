//! `manifest.json`: what a run is, in a form for people and scripts. The journal is the truth.

use super::python_json;
use crate::journal::RunState;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The text of the file.
#[must_use]
pub fn manifest(state: &RunState) -> String {
    let header = &state.header;
    let mut models: BTreeMap<&str, usize> = BTreeMap::new();
    for prediction in &header.predictions {
        *models.entry(&prediction.key.model).or_default() += 1;
    }
    let images: Map<String, Value> = state
        .images
        .iter()
        .map(|(name, (key, digest))| (name.clone(), json!({"key": key, "digest": digest})))
        .collect();
    let limits = &header.settings.limits;
    let value = json!({
        "format": header.format,
        "run_id": header.run_id,
        "versions": header.versions,
        "began": state.began,
        "last_event": state.last,
        "sessions": state.sessions,
        "peak_in_flight": state.peak_in_flight,
        "dataset": header.dataset,
        "instances": header.instances.len(),
        "predictions": models,
        "settings": {
            "timeout_seconds": header.settings.timeout.as_secs_f64(),
            "integrity": header.settings.policy,
            "canary": header.settings.canary,
            "network": header.settings.network,
            "upper": header.settings.upper,
            "env": header.settings.env,
            "limits": limits,
        },
        "host": header.host,
        "images": images,
    });
    python_json::to_text(&value) + "\n"
}
