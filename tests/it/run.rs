//! Whole runs on the scripted back-end, and the incumbent's report key by key.

use async_trait::async_trait;
use evalrun::dataset::Dataset;
use evalrun::evaluate::{EvalOptions, Task, evaluate};
use evalrun::journal::{
    DatasetFacts, Evaluated, Event, FORMAT, GRADER, Header, Host, InstanceFacts, Place,
    PredictionFacts, RunState, Settings, Versions,
};
use evalrun::layers::ImageKey;
use evalrun::model::{
    Digest, EvalType, Evaluation, InfraCause, Instance, InstanceId, Prediction, TestsReport, Usage,
    Verdict, VerdictKind,
};
use evalrun::report::{Report, summary, table};
use evalrun::run::{Jobs, Prepared, Retries, RunPlan, Silent, run_with};
use evalrun::sandbox::fake::{FakeBackend, Invocation, Reply};
use evalrun::sandbox::{Backend, Limits, Network, SandboxOptions, Upper};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const SCRIPT: &str = "#!/bin/bash\nset -uxo pipefail\ncd /testbed\n: '>>>>> Start Test Output'\n\
    pytest -rA\n: '>>>>> End Test Output'\ngit checkout abc\n";

/// The real evaluation on the scripted back-end; images are there at once.
struct OnFake(Arc<FakeBackend>);

#[async_trait]
impl Jobs for OnFake {
    fn backend(&self) -> (&'static str, Vec<String>) {
        (self.0.name(), self.0.caveats())
    }

    async fn prepare(&self, instance: &Instance) -> Result<Prepared, InfraCause> {
        let key = ImageKey(Digest::of(&instance.image_name));
        self.0.add_image(key);
        let name = instance.image_name.clone();
        Ok(Prepared { key, name, digest: key.to_string(), built: 0 })
    }

    async fn evaluate(
        &self,
        image: &ImageKey,
        task: Task<'_>,
        options: &EvalOptions,
        dir: &Path,
    ) -> Evaluation {
        evaluate(self.0.as_ref(), image, task, options, dir).await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// Its test passes if the patch says `good`.
fn reply(seen: &Invocation<'_>) -> Reply {
    let text =
        |path: &str| seen.files.get(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    if seen.command.argv != ["/bin/bash", "/eval.sh"] {
        let patch = text("/tmp/patch.diff").unwrap_or_default();
        let applies = seen.command.argv.iter().any(|word| word == "apply" || word == "patch");
        return Reply::code(i32::from(applies && patch.contains("unfit")), "");
    }
    let tests = text("/eval.sh").is_some_and(|script| script.contains("pytest -rA"));
    let good = text("/tmp/patch.diff").is_some_and(|patch| patch.contains("good"));
    match (tests, good) {
        (false, _) => Reply::code(0, "+ something\n"),
        (true, true) => Reply::code(0, "PASSED t.py::a\n"),
        (true, false) => Reply::code(1, "FAILED t.py::a - ModuleNotFoundError\n"),
    }
}

fn id(text: &str) -> InstanceId {
    InstanceId::new(text).unwrap()
}

fn instance(name: &str) -> Instance {
    Instance {
        id: id(name),
        repo: "o/r".to_owned(),
        base_commit: None,
        version: "1".to_owned(),
        environment_setup_commit: None,
        gold_patch: None,
        test_patch: "diff --git a/t.py b/t.py\n".to_owned(),
        difficulty: None,
        fail_to_pass: vec!["t.py::a".to_owned()],
        pass_to_pass: vec![],
        work_dir: "/testbed".to_owned(),
        image_name: "image".to_owned(),
        env: None,
        eval_script: SCRIPT.to_owned(),
        log_parser: "parse_log_pytest".to_owned(),
        eval_type: EvalType::PassAndFail,
        dockerfile: None,
        image_assets: vec![],
    }
}

fn plan(reports: &Path, patches: &[(&str, &str)]) -> RunPlan {
    let prediction = |(name, patch): &(&str, &str)| Prediction {
        instance_id: id(name),
        model: "org/model".into(),
        patch: Some((*patch).to_owned()),
        attempt: 1,
    };
    RunPlan {
        run_id: "first".to_owned(),
        reports: reports.to_owned(),
        dataset: Dataset {
            name: "set".to_owned(),
            split: "test".to_owned(),
            digest: Digest::of("set"),
            instances: patches.iter().map(|(name, _)| instance(name)).collect(),
            directory: None,
            ids: Arc::new(patches.iter().map(|(name, _)| id(name)).collect()),
        },
        predictions: patches.iter().map(prediction).collect(),
        options: EvalOptions {
            sandbox: SandboxOptions::default(),
            timeout: Duration::from_secs(60),
            policy: Default::default(),
            canary: false,
            rerun_failed: 0,
            assets: HashMap::new(),
        },
        parallel: 4,
        image_jobs: 4,
        warm: false,
        retries: Retries { pause: Duration::from_millis(1), ..Retries::default() },
        calibration: Default::default(),
        rerun_changed: false,
        shard: None,
        order: Default::default(),
        expectations: Default::default(),
        history: None,
        known: Default::default(),
    }
}

#[tokio::test]
async fn predictions_become_verdicts_files_and_reports() {
    let dir = tempfile::tempdir().unwrap();
    let backend = FakeBackend::new(reply);
    // The first two sandboxes cannot be made: both are tried again.
    backend.refuse(2);
    let plan = plan(dir.path(), &[("b", "bad"), ("a", "good"), ("u", "unfit"), ("e", "")]);
    let jobs = Arc::new(OnFake(backend.clone()));
    let state = run_with(plan, jobs, &mut Silent, CancellationToken::new()).await.unwrap();
    assert_eq!(backend.alive(), 0);

    let kind = |at: usize| state.done(&state.header.predictions[at].key).unwrap().kind;
    let expected = [
        VerdictKind::Unresolved,
        VerdictKind::Resolved,
        VerdictKind::PatchRejected,
        VerdictKind::EmptyPatch,
    ];
    assert_eq!([kind(0), kind(1), kind(2), kind(3)], expected);
    let sums = summary(&state, "org/model");
    assert_eq!(sums.ambiguous_failure_ids.first().map(String::as_str), Some("b"));
    assert_eq!(sums.failure_reasons["b"], "missing_module");

    let of_a = dir.path().join("first/org__model/a");
    for name in ["patch.diff", "eval.sh", "test_output.txt", "run_instance.log", "report.json"] {
        assert!(of_a.join(name).exists(), "{name}");
    }
    let text = fs_err::read_to_string(of_a.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<_> = report["a"].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "patch_is_None",
            "patch_exists",
            "patch_successfully_applied",
            "resolved",
            "infra_failure",
            "tests_status",
            "evalrun"
        ]
    );
    assert_eq!(report["a"]["resolved"], true);
    assert_eq!(report["a"]["tests_status"]["FAIL_TO_PASS"]["success"][0], "t.py::a");
    assert_eq!(report["a"]["evalrun"]["rests_on"], "supervisor");
    assert!(text.starts_with("{\n    \"a\": {\n        \"patch_is_None\": false,\n"));

    let table = table(&Report::of(&state));
    assert!(table.contains("org/model") && table.contains("25.0"), "{table}");
    assert!(table.contains("u by org/model: patch_rejected"), "{table}");
}

/// A run in which every one of these ids is resolved.
fn all_resolved(ids: &[String]) -> RunState {
    let facts = ids.iter().map(|name| InstanceFacts::of(&instance(name))).collect();
    let prediction = |name: &String| Prediction {
        instance_id: id(name),
        model: "gold".into(),
        patch: Some("p".to_owned()),
        attempt: 1,
    };
    let header = Header {
        format: FORMAT,
        run_id: "fresh-verified".to_owned(),
        versions: Versions { evalrun: "0".to_owned(), grader: GRADER },
        host: Host::default(),
        dataset: DatasetFacts {
            name: "verified".to_owned(),
            split: "test".to_owned(),
            digest: Digest::of(""),
        },
        settings: Settings {
            limits: Limits::default(),
            network: Network::None,
            upper: Upper::Disk,
            env: BTreeMap::new(),
            timeout: Duration::ZERO,
            policy: Default::default(),
            canary: false,
            rerun_failed: 0,
        },
        shard: None,
        instances: facts,
        predictions: ids.iter().rev().map(|name| PredictionFacts::of(&prediction(name))).collect(),
    };
    let at = jiff::Timestamp::UNIX_EPOCH;
    let mut state = RunState::new(header, at);
    for name in ids {
        let evaluation = Evaluation {
            verdict: Verdict::Resolved { tests: TestsReport::default() },
            section: None,
            applied_by: None,
            phases: vec![],
            usage: Usage::default(),
            disk: None,
            probes: Default::default(),
            notes: vec![],
        };
        let event =
            Event::Evaluated(Box::new(Evaluated::new(prediction(name).key(), 1, evaluation)));
        state.apply(at, &event, Place { offset: 0, length: 0 }).unwrap();
    }
    state
}

/// The keys of newer versions of the incumbent, which a file of an older one does not have.
const NEWER: [&str; 5] = [
    "infra_failure_instances",
    "ambiguous_failure_instances",
    "infra_failure_ids",
    "ambiguous_failure_ids",
    "failure_reasons",
];
/// What the incumbent says of its containers: not of the run, but of that machine.
const OF_A_MACHINE: [&str; 3] = ["unstopped_instances", "unstopped_containers", "unremoved_images"];

#[test]
fn the_report_is_the_incumbents_byte_for_byte() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let data = std::env::var_os("EVALRUN_TEST_DATA").map_or(beside, PathBuf::from);
    let Ok(theirs) = fs_err::read_to_string(data.join("reports/gold.fresh-verified.json")) else {
        assert!(std::env::var("CI").is_err(), "the test data is not here");
        eprintln!("skipped: no reports in {}", data.display());
        return;
    };
    let parsed: Map<String, Value> = serde_json::from_str(&theirs).unwrap();
    let ids: Vec<String> = serde_json::from_value(parsed["submitted_ids"].clone()).unwrap();
    let ours = summary(&all_resolved(&ids), "gold").to_text();

    // Without the keys that one of the two does not have, line by line.
    let without = |text: &str| {
        let mut kept = Vec::new();
        let mut inside = false;
        for line in text.lines() {
            let key = line.strip_prefix("    \"").and_then(|rest| rest.split('"').next());
            if let Some(key) = key {
                inside = NEWER.contains(&key) || OF_A_MACHINE.contains(&key);
            }
            if !inside || line == "}" {
                kept.push(line.to_owned());
            }
        }
        kept.join("\n")
    };
    assert_eq!(without(&ours), without(&theirs));
    assert!(ours.ends_with("\n}\n") && theirs.ends_with("\n}\n"));

    let ours: Map<String, Value> = serde_json::from_str(&ours).unwrap();
    let order: Vec<&String> = ours.keys().filter(|key| !NEWER.contains(&key.as_str())).collect();
    assert_eq!(order, parsed.keys().collect::<Vec<_>>());
    assert_eq!(ours.len(), 23);
    let at = |key: &str| ours.keys().position(|other| other == key).unwrap();
    assert_eq!([5, 6, 15, 16, 17], NEWER.map(at));
}
