//! What the page's script reads: an index of all instances, and in chunks what a sheet shows of each.
//! Both are JSON, compressed, in base64.

use super::STANDARD;
use crate::grade::Trust;
use crate::journal::InstanceFacts;
use crate::model::{Phase, VerdictKind};
use crate::report::analysis::cause_of;
use crate::report::plain::{printable, printable_text};
use crate::report::{Analysis, Entry, Extent, Material, Record, RunDir};
use base64::Engine as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;
use std::time::Duration;

/// Instances of a chunk: few, so that one opens at once; not too few, or nothing is compressed.
const CHUNK: usize = 16;
/// Failed tests of an instance that a search finds.
const SEARCHED: usize = 12;
/// What a sheet shows.
const EXTENT: Extent = Extent { patch: 64 << 10, tests: 40, logs: 6, lines: 40 };

/// The bits of an attempt's remarks; the page's script knows them too.
const FLAKY: u8 = 1;
const SUSPICIOUS: u8 = 2;
const FORGED: u8 = 4;
const EVIDENCE: u8 = 8;
const KNOWN: u8 = 16;
const RETRIED: u8 = 32;

/// The index and the chunks.
pub(super) struct Payload {
    pub(super) index: String,
    pub(super) chunks: Vec<String>,
}

/// Instances with their attempts, in the order of the table.
struct Table<'r> {
    instances: &'r [InstanceFacts],
    attempts: Vec<Vec<Entry<'r>>>,
    models: Vec<&'r str>,
}

/// Packs a run.
pub(super) fn payload(record: &Record, dir: &RunDir, analysis: &Analysis) -> Payload {
    let table = Table::of(record);
    let patches: HashMap<_, _> =
        record.state.header.predictions.iter().map(|one| (&one.key, one.patch)).collect();
    let sheet = |entry: &Entry<'_>| {
        let sha = patches.get(entry.key).map(ToString::to_string).unwrap_or_default();
        sheet(entry, Material::read(dir, entry, EXTENT), sha, dir)
    };
    let chunks = table
        .attempts
        .par_chunks(CHUNK)
        .map(|instances| {
            let sheets: Vec<Vec<Value>> =
                instances.iter().map(|attempts| attempts.iter().map(sheet).collect()).collect();
            packed(&sheets)
        })
        .collect();
    Payload { index: packed(&table.index(analysis)), chunks }
}

/// JSON, compressed, in base64.
fn packed(value: &impl Serialize) -> String {
    // The page is written while somebody waits; higher levels save little.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(4));
    serde_json::to_writer(&mut encoder, value).expect("plain values always have a JSON form");
    encoder.flush().expect("memory takes what is written");
    STANDARD.encode(encoder.finish().expect("memory takes what is written"))
}

impl<'r> Table<'r> {
    fn of(record: &'r Record) -> Self {
        let instances = &record.state.header.instances;
        let places: HashMap<_, _> =
            instances.iter().enumerate().map(|(at, one)| (&one.id, at)).collect();
        let mut attempts: Vec<Vec<Entry<'r>>> = vec![Vec::new(); instances.len()];
        let mut models = BTreeSet::new();
        for entry in record.entries() {
            models.insert(&*entry.key.model);
            if let Some(at) = places.get(&entry.key.instance_id) {
                attempts[*at].push(entry);
            }
        }
        Self { instances, attempts, models: models.into_iter().collect() }
    }

    fn index(&self, analysis: &Analysis) -> Value {
        let mut verdicts: Vec<&str> = VerdictKind::ALL.iter().map(|kind| kind.name()).collect();
        verdicts.push("open");
        let causes: Vec<&str> = analysis.causes.iter().map(|one| one.cause.as_str()).collect();
        let names = |pick: &dyn Fn(&'r InstanceFacts) -> Option<&'r str>| -> Vec<&'r str> {
            let all: BTreeSet<&str> = self.instances.iter().filter_map(pick).collect();
            all.into_iter().collect()
        };
        let repos = names(&|one| Some(&one.repo));
        let languages = names(&|one| one.language.as_deref());
        let mut difficulties = names(&|one| one.difficulty.as_deref());
        difficulties.sort_by_key(|name| hardness(name));
        let place = |list: &[&str], name: Option<&str>| -> i64 {
            let at = name.and_then(|name| list.iter().position(|one| *one == name));
            at.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1)
        };
        let instances: Vec<Value> = self
            .instances
            .iter()
            .zip(&self.attempts)
            .map(|(one, attempts)| {
                json!([
                    one.id,
                    place(&repos, Some(&one.repo)),
                    printable(&one.version),
                    place(&difficulties, one.difficulty.as_deref()),
                    place(&languages, one.language.as_deref()),
                    failed_tests(attempts),
                ])
            })
            .collect();
        let attempt = |entry: &Entry<'_>| {
            let cause = entry.done.and_then(cause_of);
            let verdict = entry.done.map_or("open", |done| done.kind.name());
            json!([
                place(&self.models, Some(&entry.key.model)),
                entry.key.attempt,
                place(&verdicts, Some(verdict)),
                place(&causes, cause.as_deref()),
                flags(entry),
                tenths(entry.phase(Phase::Test)),
                entry.done.map_or(0, |done| done.usage.peak_memory >> 20),
            ])
        };
        let attempts: Vec<Vec<Value>> =
            self.attempts.iter().map(|own| own.iter().map(attempt).collect()).collect();
        let shown = |list: &[&str]| -> Vec<String> { list.iter().map(|s| printable(s)).collect() };
        json!({
            "chunk": CHUNK,
            "models": shown(&self.models),
            "verdicts": verdicts,
            "causes": shown(&causes),
            "repos": shown(&repos),
            "languages": shown(&languages),
            "difficulties": shown(&difficulties),
            "instances": instances,
            "attempts": attempts,
        })
    }
}

/// Difficulties in their own order: SWE-bench's begin with a time.
pub(super) fn hardness(name: &str) -> (u32, String) {
    let number: String =
        name.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    let number: u32 = number.parse().unwrap_or(u32::MAX);
    let number = number.saturating_mul(if name.contains("hour") { 60 } else { 1 });
    let number = match name.chars().next() {
        Some('<') => number.saturating_sub(1),
        Some('>') => number.saturating_add(1),
        _ => number,
    };
    // `15 min - 1 hour` begins with minutes.
    let minutes =
        name.find("min").is_some_and(|min| name.find("hour").is_none_or(|hour| min < hour));
    (if minutes && name.contains("hour") { number / 60 } else { number }, name.to_owned())
}

fn failed_tests(attempts: &[Entry<'_>]) -> Vec<String> {
    let failed = |entry: &Entry<'_>| {
        let detail = entry.detail;
        detail.not_mended.iter().chain(&detail.broken).take(SEARCHED).cloned().collect::<Vec<_>>()
    };
    let all: BTreeSet<String> = attempts.iter().flat_map(failed).collect();
    all.iter().take(SEARCHED).map(|name| printable(name)).collect()
}

fn flags(entry: &Entry<'_>) -> u8 {
    let done = entry.done;
    let trust = done.and_then(|done| done.trust);
    let resolved = entry.resolved();
    [
        (FLAKY, done.is_some_and(|done| done.flaky)),
        (SUSPICIOUS, resolved && trust == Some(Trust::Suspicious)),
        (FORGED, trust == Some(Trust::Forged)),
        (EVIDENCE, !entry.detail.evidence.is_empty()),
        (KNOWN, entry.detail.known_from.is_some()),
        (RETRIED, !entry.detail.retried.is_empty()),
    ]
    .into_iter()
    .map(|(bit, is)| if is { bit } else { 0 })
    .sum()
}

fn tenths(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

/// What the sheet shows of an attempt.
fn sheet(entry: &Entry<'_>, material: Material, sha: String, dir: &RunDir) -> Value {
    let (done, detail) = (entry.done, entry.detail);
    let tests = done.and_then(|done| done.tests);
    let usage = done.map(|done| done.usage);
    let place = dir.prediction(entry.key);
    let place = place.strip_prefix(dir.path()).unwrap_or(&place);
    let failed: Vec<Value> = material
        .tests
        .into_iter()
        .map(|test| {
            json!({"name": printable(&test.name), "kept": test.passed_before, "log": test.log})
        })
        .collect();
    let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
    json!({
        "why": done.and_then(|done| done.why.as_deref()).map(printable),
        "mended": tests.map(|tests| tests.fail_to_pass),
        "kept": tests.map(|tests| tests.pass_to_pass),
        "trust": done.and_then(|done| done.trust).map(Trust::name),
        "wall": usage.map(|usage| tenths(usage.wall)),
        "cpu": usage.map(|usage| tenths(usage.user + usage.system)),
        "memory": usage.map(|usage| usage.peak_memory),
        "output": usage.map(|usage| usage.output_bytes),
        "round": done.map(|done| done.round),
        "applied": detail.applied_by.as_deref().map(printable),
        "phases": done.map(|done| &done.phases[..]).unwrap_or_default().iter()
            .map(|(phase, took)| json!([word(json!(phase)), took.as_secs_f64()]))
            .collect::<Vec<_>>(),
        "known": detail.known_from.as_deref().map(printable),
        "reruns": detail.reruns.as_ref().map(|reruns| {
            json!([reruns.runs, reruns.passed.iter().map(|t| printable(t)).collect::<Vec<_>>()])
        }),
        "failed": failed,
        "more": material.tests_left_out,
        "end": material.log_end,
        "signs": detail.signs.iter()
            .map(|sign| json!([sign.reason, sign.trust.name(), printable(&sign.evidence)]))
            .collect::<Vec<_>>(),
        "evidence": detail.evidence.iter()
            .map(|one| json!([one.reason, one.tier, one.witness, printable(&one.detail)]))
            .collect::<Vec<_>>(),
        "trouble": done.and_then(|done| done.cause.as_ref())
            .map(|cause| printable_text(&format!("{}: {}", cause.reason, cause.detail))),
        "retried": detail.retried.iter()
            .map(|cause| json!([cause.reason, printable(&cause.detail)]))
            .collect::<Vec<_>>(),
        "notes": done.map(|done| &done.notes[..]).unwrap_or_default().iter()
            .map(|note| printable(note)).collect::<Vec<_>>(),
        "patch": material.patch,
        "left": material.patch_left_out,
        "place": printable(&place.to_string_lossy()),
        "sha": sha,
    })
}

#[cfg(test)]
mod tests {
    use super::hardness;

    #[test]
    fn difficulties_go_from_easy_to_hard() {
        let mut names = [">4 hours", "1-4 hours", "15 min - 1 hour", "<15 min fix"];
        names.sort_by_key(|name| hardness(name));
        assert_eq!(names, ["<15 min fix", "15 min - 1 hour", "1-4 hours", ">4 hours"]);
        let mut names = ["hard", "easy"];
        names.sort_by_key(|name| hardness(name));
        assert_eq!(names, ["easy", "hard"]);
    }
}
