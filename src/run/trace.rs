//! A run as a time line for Perfetto and other viewers of Chrome's trace format: what each place did
//! when. Read from the journal, so that old runs have one too.

use crate::journal::{Evaluated, Event, JournalError, read};
use crate::model::{InstanceId, PredictionKey};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// The two groups of lanes.
const SANDBOXES: u32 = 1;
const IMAGES: u32 = 2;

/// The time line of the run in `dir`, as the text of a `trace.json`.
///
/// # Errors
/// The journal cannot be read.
pub fn trace(dir: &Path) -> Result<String, JournalError> {
    let mut drawing = Drawing::default();
    read(dir, &mut |_, at, event, _| {
        drawing.take(at, event);
        Ok(())
    })?;
    Ok(drawing.finish().to_string())
}

#[derive(Default)]
struct Drawing {
    origin: Option<Timestamp>,
    events: Vec<Value>,
    /// What runs: since when, and in which lane.
    running: HashMap<PredictionKey, (Timestamp, usize)>,
    /// Lanes of sandboxes: whether they are taken.
    lanes: Vec<bool>,
    /// Lanes of images: until when they are taken.
    making: Vec<u64>,
}

impl Drawing {
    fn take(&mut self, at: Timestamp, event: Event) {
        match event {
            Event::Header(header) => {
                self.origin.get_or_insert(at);
                self.instant(at, format!("run {}", header.run_id));
            }
            Event::ImageReady { instance_id, name, built, took, .. } => {
                self.image(at, &instance_id, (&name, built, took));
            }
            Event::Started { key, .. } => {
                let lane = self.lanes.iter().position(|taken| !taken).unwrap_or(self.lanes.len());
                if lane == self.lanes.len() {
                    self.lanes.push(false);
                }
                self.lanes[lane] = true;
                self.running.insert(key, (at, lane));
                self.count(at);
            }
            Event::Evaluated(evaluated) => self.evaluated(at, &evaluated),
            Event::Retrying { key, round, cause, .. } => {
                let args =
                    json!({ "round": round, "reason": cause.reason, "detail": cause.detail });
                self.ended(at, &key, ("trouble", args));
            }
            Event::Interrupted { .. } => self.instant(at, "interrupted".to_owned()),
            Event::Finished => self.instant(at, "finished".to_owned()),
            Event::Dropped { .. } => {}
        }
    }

    fn evaluated(&mut self, at: Timestamp, evaluated: &Evaluated) {
        let evaluation = &evaluated.evaluation;
        let usage = &evaluation.usage;
        let args = json!({
            "verdict": evaluation.verdict.name(),
            "model": evaluated.key.model,
            "round": evaluated.round,
            "cpu_seconds": (usage.user + usage.system).as_secs_f64(),
            "peak_memory": usage.peak_memory,
            "known_from": evaluated.known.as_ref().map(|known| known.run_id.clone()),
        });
        let name = evaluation.verdict.name();
        let Some((mut from, lane)) = self.ended(at, &evaluated.key, (name, args)) else { return };
        for (phase, took) in &evaluation.phases {
            let name = json!(phase);
            let took = micros(*took);
            self.events.push(json!({
                "name": name, "cat": "phase", "ph": "X", "ts": from, "dur": took,
                "pid": SANDBOXES, "tid": lane,
            }));
            from += took;
        }
    }

    /// A prediction's place is free; where it began, and which it was.
    fn ended(
        &mut self,
        at: Timestamp,
        key: &PredictionKey,
        (category, args): (&str, Value),
    ) -> Option<(u64, usize)> {
        let (since, lane) = self.running.remove(key)?;
        self.lanes[lane] = false;
        let from = self.micros(since);
        let until = self.micros(at);
        self.events.push(json!({
            "name": key.to_string(), "cat": category, "ph": "X", "ts": from,
            "dur": until.saturating_sub(from), "pid": SANDBOXES, "tid": lane, "args": args,
        }));
        self.count(at);
        Some((from, lane))
    }

    fn image(
        &mut self,
        at: Timestamp,
        id: &InstanceId,
        (name, built, took): (&str, usize, Duration),
    ) {
        let until = self.micros(at);
        let from = until.saturating_sub(micros(took));
        let free = self.making.iter().position(|taken| *taken <= from);
        let lane = free.unwrap_or(self.making.len());
        if lane == self.making.len() {
            self.making.push(0);
        }
        self.making[lane] = until;
        let what = if built > 0 { "build" } else { "look up" };
        self.events.push(json!({
            "name": name, "cat": what, "ph": "X", "ts": from, "dur": until - from,
            "pid": IMAGES, "tid": lane, "args": { "instance": id, "layers_built": built },
        }));
    }

    fn instant(&mut self, at: Timestamp, name: String) {
        let ts = self.micros(at);
        let event =
            json!({ "name": name, "ph": "i", "s": "g", "ts": ts, "pid": SANDBOXES, "tid": 0 });
        self.events.push(event);
    }

    fn count(&mut self, at: Timestamp) {
        let ts = self.micros(at);
        self.events.push(json!({
            "name": "sandboxes", "ph": "C", "ts": ts, "pid": SANDBOXES,
            "args": { "running": self.running.len() },
        }));
    }

    /// Since the run began.
    fn micros(&self, at: Timestamp) -> u64 {
        let since = self.origin.map(|origin| at.duration_since(origin).as_micros());
        since.and_then(|since| u64::try_from(since).ok()).unwrap_or_default()
    }

    fn finish(mut self) -> Value {
        let mut named = |pid: u32, name: &str| {
            self.events.push(json!({
                "name": "process_name", "ph": "M", "pid": pid, "args": { "name": name },
            }));
        };
        named(SANDBOXES, "sandboxes");
        named(IMAGES, "images");
        json!({ "displayTimeUnit": "ms", "traceEvents": self.events })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
