//! A made-up run: who resolves what is drawn by chance, the same for the same seed.

mod chance;
mod texts;

use chance::Chance;
use evalrun::grade::{Evidence, Integrity, Sign, Tier, Trust, Witness};
use evalrun::journal::{
    DatasetFacts, Evaluated, Event, FORMAT, GRADER, Header, Host, InstanceFacts, Journal,
    KnownFrom, PredictionFacts, Settings, Versions,
};
use evalrun::layers::ImageKey;
use evalrun::model::{
    Digest, Evaluation, InfraCause, InstanceId, KilledBy, LimitsHit, LogProblem, Outcome, Phase,
    PredictionKey, Reruns, Section, Status, TestLists, TestsReport, Usage, Verdict, VerdictKind,
};
use evalrun::report::RunDir;
use evalrun::sandbox::{Limits, Network, Upper};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// How large it is.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// The run's name.
    pub run_id: String,
    /// Instances.
    pub instances: usize,
    /// Models; the last of several has a hostile name.
    pub models: usize,
    /// Attempts of each at each instance.
    pub attempts: u32,
    /// What chance begins with.
    pub seed: u64,
    /// Added to what each model can do.
    pub skill: f64,
}

impl Default for Shape {
    fn default() -> Self {
        let run_id = "synthetic".to_owned();
        Self { run_id, instances: 2294, models: 3, attempts: 2, seed: 7, skill: 0.0 }
    }
}

/// The name of a model that tries what a name can try.
pub(crate) const HOSTILE: &str = "<img src=x onerror=\"window.pwned=1\"><script>window.pwned=1<!--";

const MODELS: [(&str, f64); 4] =
    [("aurora-2", 0.62), ("borealis-large", 0.48), (HOSTILE, 0.35), ("corona-mini", 0.22)];

/// Repositories, their weights, languages and test folders.
const REPOS: [(&str, usize, &str); 12] = [
    ("django/django", 850, "Python"),
    ("sympy/sympy", 386, "Python"),
    ("scikit-learn/scikit-learn", 229, "Python"),
    ("sphinx-doc/sphinx", 187, "Python"),
    ("matplotlib/matplotlib", 184, "Python"),
    ("tokio-rs/tokio", 119, "Rust"),
    ("axios/axios", 110, "JavaScript"),
    ("caddyserver/caddy", 95, "Go"),
    ("apache/lucene", 57, "Java"),
    ("psf/requests", 44, "Python"),
    ("jqlang/jq", 22, "C"),
    ("pallets/flask", 11, "Python"),
];

const DIFFICULTIES: [&str; 4] = ["<15 min fix", "15 min - 1 hour", "1-4 hours", ">4 hours"];

/// Sandboxes at a time.
const WORKERS: usize = 48;

/// Writes the run below this folder; one that is there is replaced.
///
/// # Errors
/// Of the file system.
pub(crate) fn write(reports: &Path, shape: &Shape) -> Result<(), Box<dyn std::error::Error>> {
    let dir = RunDir::new(reports, &shape.run_id);
    if dir.path().exists() {
        fs_err::remove_dir_all(dir.path())?;
    }
    let mut chance = Chance(shape.seed);
    let tasks = tasks(shape, &mut chance)?;
    let models = &MODELS[..shape.models.clamp(1, MODELS.len())];
    let keys = keys(&tasks, models, shape.attempts);
    let began: Timestamp = "2026-03-01T08:00:00Z".parse()?;
    let (mut journal, _) = Journal::open(dir.path())?;
    let header = header(shape, &tasks, &keys, &dir)?;
    journal.append(began, &[Event::Header(Box::new(header))])?;
    let mut events = Vec::new();
    let mut workers = vec![60.0_f64; WORKERS];
    for (at, task) in tasks.iter().enumerate() {
        let ready = 20.0 + at as f64 * 0.9;
        events.push((ready, image_ready(task, chance.between(2.0, 90.0), at)));
    }
    for (at, key, skill) in &keys {
        let task = &tasks[*at];
        let worker = (0..WORKERS).min_by(|a, b| workers[*a].total_cmp(&workers[*b])).unwrap_or(0);
        let start = workers[worker].max(25.0 + *at as f64 * 0.9);
        let evaluated = evaluate(task, key, skill + shape.skill, &mut chance, &dir)?;
        let took = evaluated.evaluation.usage.wall.as_secs_f64();
        let in_flight = workers.iter().filter(|free| **free > start).count() + 1;
        events.push((start, Event::Started { key: key.clone(), round: 1, in_flight }));
        if evaluated.round > 1 {
            events.push((start + 1.0, retrying(key, began, start)));
            let again = Event::Started { key: key.clone(), round: 2, in_flight };
            events.push((start + 3.0, again));
        }
        events.push((start + 3.0 + took, Event::Evaluated(Box::new(evaluated))));
        workers[worker] = start + took + 3.2;
    }
    events.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let last = events.last().map_or(0.0, |(at, _)| *at);
    events.push((last + 0.1, Event::Finished));
    for (at, event) in events {
        journal.append(began + seconds(at), &[event])?;
    }
    journal.sync()?;
    Ok(())
}

/// An instance, and how hard it is: the share of models that are not up to it.
struct Task {
    facts: InstanceFacts,
    hardness: f64,
    fail_to_pass: Vec<String>,
    pass_to_pass: Vec<String>,
    pace: f64,
}

fn tasks(shape: &Shape, chance: &mut Chance) -> Result<Vec<Task>, Box<dyn std::error::Error>> {
    let weight: usize = REPOS.iter().map(|(_, weight, _)| weight).sum();
    let mut tasks = Vec::new();
    for number in 0..shape.instances {
        // Spread evenly, so that a small run has every repository too.
        let mut place = (number * 1009 + 13) % weight;
        let mut repo = REPOS[0];
        for one in REPOS {
            if place < one.1 {
                repo = one;
                break;
            }
            place -= one.1;
        }
        let id = format!("{}-{}", repo.0.replace('/', "__"), 10_000 + number);
        let hardness = chance.share();
        let level = ((hardness + chance.between(-0.2, 0.2)).clamp(0.0, 0.99) * 4.0) as usize;
        let test = |prefix: &str, n: usize| texts::test_name(repo.2, prefix, number, n);
        let many = (chance.normal() * 1.1 + 3.6).exp() as usize;
        tasks.push(Task {
            facts: InstanceFacts {
                id: InstanceId::new(&id)?,
                repo: repo.0.into(),
                version: format!("{}.{}", 1 + number % 4, number % 10).into(),
                difficulty: Some(DIFFICULTIES[level].into()),
                language: Some(repo.2.into()),
                image: Digest::of(format!("image {id}")),
                script: Digest::of(format!("script {id}")),
                tests: Digest::of(format!("tests {id}")),
            },
            hardness,
            fail_to_pass: (0..1 + chance.below(4)).map(|n| test("mends", n)).collect(),
            pass_to_pass: (0..many.min(900)).map(|n| test("keeps", n)).collect(),
            pace: (chance.normal() * 0.9 + 2.8).exp(),
        });
    }
    tasks.sort_by(|a, b| a.facts.id.cmp(&b.facts.id));
    Ok(tasks)
}

fn keys(tasks: &[Task], models: &[(&str, f64)], attempts: u32) -> Vec<(usize, PredictionKey, f64)> {
    let mut keys = Vec::new();
    for (at, task) in tasks.iter().enumerate() {
        for (model, skill) in models {
            for attempt in 1..=attempts {
                let instance_id = task.facts.id.clone();
                let key = PredictionKey { model: (*model).into(), instance_id, attempt };
                keys.push((at, key, *skill));
            }
        }
    }
    keys
}

fn header(
    shape: &Shape,
    tasks: &[Task],
    keys: &[(usize, PredictionKey, f64)],
    dir: &RunDir,
) -> Result<Header, Box<dyn std::error::Error>> {
    let mut predictions = Vec::new();
    for (_, key, _) in keys {
        let patch = texts::patch(key);
        let folder = dir.prediction(key);
        fs_err::create_dir_all(&folder)?;
        fs_err::write(folder.join("patch.diff"), &patch)?;
        predictions.push(PredictionFacts {
            key: key.clone(),
            patch: Digest::of(&patch),
            empty: false,
        });
    }
    let host = Host {
        kernel: "6.12.0".to_owned(),
        arch: "x86_64".to_owned(),
        os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        cpus: 64,
        memory: 256 << 30,
        backend: "native".to_owned(),
        caveats: Vec::new(),
    };
    let settings = Settings {
        limits: Limits::default(),
        network: Network::None,
        upper: Upper::Auto,
        env: BTreeMap::new(),
        timeout: Duration::from_secs(1800),
        policy: Default::default(),
        canary: false,
        rerun_failed: 1,
    };
    let (name, split) = ("synthetic".to_owned(), "test".to_owned());
    Ok(Header {
        format: FORMAT,
        run_id: shape.run_id.clone(),
        versions: Versions { evalrun: env!("CARGO_PKG_VERSION").to_owned(), grader: GRADER },
        host,
        dataset: DatasetFacts { name, split, digest: Digest::of("synthetic") },
        settings,
        shard: None,
        instances: tasks.iter().map(|task| task.facts.clone()).collect(),
        predictions,
    })
}

fn evaluate(
    task: &Task,
    key: &PredictionKey,
    skill: f64,
    chance: &mut Chance,
    dir: &RunDir,
) -> Result<Evaluated, Box<dyn std::error::Error>> {
    let test_time = task.pace * chance.between(0.8, 1.3);
    let memory = (chance.normal() * 0.6 + 19.4).exp() as u64;
    let mut usage = Usage {
        wall: seconds_std(test_time + 1.6),
        user: seconds_std(test_time * 0.9),
        system: seconds_std(test_time * 0.06),
        peak_memory: memory.min(4 << 30),
        output_bytes: 0,
        output_dropped: 0,
    };
    let mut verdict = verdict(task, skill, chance, usage);
    let (log, section) = texts::log(task.facts.language.as_deref(), &verdict);
    let folder = dir.prediction(key);
    if !log.is_empty() {
        fs_err::write(folder.join("test_output.txt"), &log)?;
    }
    usage.output_bytes = log.len() as u64;
    let outcome = Outcome { status: Status::Code(1), limits_hit: LimitsHit::default(), usage };
    let section = section.map(|(start, end)| Section::Supervised { start, end, outcome });
    let phases = vec![
        (Phase::Setup, seconds_std(chance.between(0.2, 0.9))),
        (Phase::Prepare, seconds_std(chance.between(0.2, 4.0))),
        (Phase::Test, seconds_std(test_time)),
        (Phase::Finish, seconds_std(chance.between(0.02, 0.1))),
    ];
    let mut probes = evalrun::model::Probes::default();
    if let Verdict::Unresolved { tests } = &verdict {
        let flaky = tests.fail_to_pass.failure.is_empty() && chance.share() < 0.25;
        let passed = if flaky { tests.pass_to_pass.failure.clone() } else { Vec::new() };
        probes.reruns = Some(Reruns { runs: 1, selected: true, passed, resolved: flaky });
    }
    if matches!(verdict, Verdict::EmptyPatch) {
        usage = Usage::default();
        fs_err::write(folder.join("patch.diff"), "")?;
    }
    let integrity = integrity(&mut verdict, chance);
    let evidence = evidence(&verdict);
    let evaluation = Evaluation {
        verdict,
        section,
        applied_by: Some("git apply --verbose".to_owned()),
        phases,
        usage,
        disk: None,
        probes,
        notes: Vec::new(),
    };
    let round = if chance.share() < 0.004 { 2 } else { 1 };
    let mut evaluated = Evaluated::new(key.clone(), round, evaluation);
    evaluated.evidence = evidence;
    evaluated.integrity = integrity;
    if chance.share() < 0.01 && evaluated.kind() == VerdictKind::Resolved {
        evaluated.known = Some(KnownFrom {
            run_id: "last-night".to_owned(),
            model: key.model.clone(),
            attempt: 1,
            at: Timestamp::UNIX_EPOCH,
            place: "reports/last-night".into(),
        });
    }
    if matches!(evaluated.evaluation.verdict, Verdict::EmptyPatch) {
        (evaluated.round, evaluated.evaluation.phases) = (0, Vec::new());
    }
    Ok(evaluated)
}

fn verdict(task: &Task, skill: f64, chance: &mut Chance, usage: Usage) -> Verdict {
    let stopped = |status, limits_hit| Verdict::TestsStopped {
        outcome: Outcome { status, limits_hit, usage },
    };
    match chance.share() {
        x if x < 0.015 => return Verdict::EmptyPatch,
        x if x < 0.035 => return Verdict::PatchRejected,
        x if x < 0.037 => return Verdict::TestPatchRejected,
        x if x < 0.047 => return stopped(Status::Killed(KilledBy::TimedOut), LimitsHit::default()),
        x if x < 0.051 => {
            return stopped(Status::Signal(9), LimitsHit { memory: true, ..LimitsHit::default() });
        }
        x if x < 0.058 => return Verdict::LogUnusable { why: LogProblem::TestsNotStarted },
        x if x < 0.062 => return Verdict::LogUnusable { why: LogProblem::NoResults },
        x if x < 0.067 => {
            let reason = ["image_pull_failed", "sandbox_start_failed"][chance.below(2)].to_owned();
            let detail = format!("{reason}: \u{1b}[31mno space left on device\u{1b}[0m");
            return Verdict::Infra { cause: InfraCause { reason, detail } };
        }
        _ => {}
    }
    let up_to_it = skill + chance.between(-0.15, 0.15) > task.hardness;
    let mut tests = TestsReport {
        fail_to_pass: TestLists { success: task.fail_to_pass.clone(), failure: Vec::new() },
        pass_to_pass: TestLists { success: task.pass_to_pass.clone(), failure: Vec::new() },
    };
    if up_to_it {
        return Verdict::Resolved { tests };
    }
    let breaks = chance.share() < 0.3 && !task.pass_to_pass.is_empty();
    if breaks {
        let at =
            tests.pass_to_pass.success.len() - (1 + chance.below(3)).min(task.pass_to_pass.len());
        tests.pass_to_pass.failure = tests.pass_to_pass.success.split_off(at);
    }
    if !breaks || chance.share() < 0.7 {
        let at = chance.below(task.fail_to_pass.len());
        tests.fail_to_pass.failure = tests.fail_to_pass.success.split_off(at);
    }
    Verdict::Unresolved { tests }
}

fn integrity(verdict: &mut Verdict, chance: &mut Chance) -> Option<Integrity> {
    let sign = |reason: &str, trust, evidence: &str| Integrity {
        trust,
        signs: vec![Sign { reason: reason.to_owned(), trust, evidence: evidence.to_owned() }],
    };
    let Verdict::Resolved { tests } = verdict else { return None };
    Some(match chance.share() {
        x if x < 0.003 => {
            let tests = tests.clone();
            *verdict = Verdict::Unresolved { tests };
            sign(
                "canary_passed",
                Trust::Forged,
                "tests/test_x.py::canary must fail, and is reported as passed",
            )
        }
        x if x < 0.018 => {
            sign("runner_file_changed", Trust::Suspicious, "conftest.py</script><b>x</b>")
        }
        _ => Integrity { trust: Trust::Clean, signs: Vec::new() },
    })
}

fn evidence(verdict: &Verdict) -> Vec<Evidence> {
    let one = |reason: &str, tier, detail: &str| {
        let (reason, detail) = (reason.to_owned(), detail.to_owned());
        vec![Evidence { reason, tier, witness: Witness::Kernel, detail }]
    };
    match verdict {
        Verdict::TestsStopped { outcome } if outcome.limits_hit.memory => {
            one("sandbox_oom", Tier::Ambiguous, "a process was killed at the limit of 4 GiB")
        }
        Verdict::TestsStopped { .. } => one("timed_out", Tier::Ambiguous, "after 1800 s"),
        Verdict::Infra { cause } => one(&cause.reason, Tier::Environment, &cause.detail),
        _ => Vec::new(),
    }
}

fn image_ready(task: &Task, took: f64, at: usize) -> Event {
    Event::ImageReady {
        instance_id: task.facts.id.clone(),
        name: format!("evalrun/{}", task.facts.id),
        image: ImageKey(task.facts.image),
        digest: task.facts.image.to_string(),
        built: at % 3,
        took: seconds_std(took),
    }
}

fn retrying(key: &PredictionKey, began: Timestamp, start: f64) -> Event {
    let cause = InfraCause {
        reason: "sandbox_start_failed".to_owned(),
        detail: "clone3: Resource temporarily unavailable".to_owned(),
    };
    Event::Retrying { key: key.clone(), round: 1, cause, not_before: began + seconds(start + 2.0) }
}

fn seconds(number: f64) -> jiff::SignedDuration {
    jiff::SignedDuration::from_secs_f64(number)
}

fn seconds_std(number: f64) -> Duration {
    Duration::from_secs_f64(number)
}
