//! The progress of a run as lines of JSON, for other programs.

use super::{Progress, Tally};
use crate::model::PredictionKey;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The version of the lines. Within a version keys and events may be added; whoever reads passes over
/// what it does not know.
pub const EVENTS: u32 = 1;

/// The first line: what the others are.
#[must_use]
pub fn first_line(run_id: &str, at: Timestamp) -> String {
    json!({ "event": "events", "version": EVENTS, "at": at, "run_id": run_id }).to_string()
}

/// A line that says what happened, and how the run stands.
#[must_use]
pub fn event_line(event: &Progress<'_>, tally: &Tally, at: Timestamp) -> String {
    let (name, own) = match event {
        Progress::Began => ("began", json!({})),
        Progress::ImageReady { name, built, took } => (
            "image_ready",
            json!({ "image": name, "layers_built": built, "seconds": took.as_secs_f64() }),
        ),
        Progress::Started { key, round } => ("started", with(key, json!({ "round": round }))),
        Progress::Done { key, kind, why, took, known } => {
            let known = known.map(|known| json!({ "run_id": known.run_id, "at": known.at }));
            let own = json!({
                "verdict": kind, "why": why, "seconds": took.as_secs_f64(), "known_from": known,
            });
            ("done", with(key, own))
        }
        Progress::Retrying { key, cause, after } => {
            let own = json!({
                "reason": cause.reason, "detail": cause.detail, "after": after.as_secs_f64(),
            });
            ("retrying", with(key, own))
        }
        Progress::Tick => ("tick", json!({})),
        Progress::Stopping => ("stopping", json!({})),
        Progress::Ended => ("ended", json!({})),
    };
    let mut line = Map::new();
    line.insert("event".to_owned(), json!(name));
    line.insert("at".to_owned(), json!(at));
    if let Value::Object(own) = own {
        line.extend(own);
    }
    line.insert("tally".to_owned(), numbers(tally));
    Value::Object(line).to_string()
}

/// What speaks of a prediction.
fn with(key: &PredictionKey, own: Value) -> Value {
    let mut all = json!({
        "model": key.model, "instance_id": key.instance_id, "attempt": key.attempt,
    });
    if let (Value::Object(all), Value::Object(own)) = (&mut all, own) {
        all.extend(own);
    }
    all
}

fn numbers(tally: &Tally) -> Value {
    json!({
        "total": tally.total,
        "finished": tally.finished(),
        "verdicts": tally.done,
        "known": tally.known,
        "running": tally.running,
        "ready": tally.ready,
        "retrying": tally.retrying,
        "images_missing": tally.images,
        "images_in_work": tally.building,
        "elapsed": tally.elapsed.as_secs_f64(),
        "left": tally.eta.map(|eta| eta.as_secs_f64()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InstanceId, VerdictKind};
    use std::time::Duration;

    #[test]
    fn a_line_says_what_happened_and_how_the_run_stands() {
        let key = PredictionKey {
            model: "m\n".into(),
            instance_id: InstanceId::new("a").unwrap(),
            attempt: 2,
        };
        let event = Progress::Done {
            key: &key,
            kind: VerdictKind::Resolved,
            why: None,
            took: Duration::from_millis(1500),
            known: None,
        };
        let tally = Tally { total: 3, ..Tally::default() };
        let line = event_line(&event, &tally, Timestamp::UNIX_EPOCH);
        assert!(!line.contains('\n'));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["event"], "done");
        assert_eq!(value["model"], "m\n");
        assert_eq!(
            (&value["verdict"], &value["seconds"], &value["attempt"]),
            (&json!("resolved"), &json!(1.5), &json!(2))
        );
        assert_eq!((&value["tally"]["total"], &value["tally"]["left"]), (&json!(3), &json!(null)));
        let first: Value = serde_json::from_str(&first_line("r", Timestamp::UNIX_EPOCH)).unwrap();
        assert_eq!(first["version"], EVENTS);
    }
}
