//! The graders on the real logs and rows of the test data.

use evalrun::grade::{
    Integrity, Subject, Traces, Trust, decode, grade, integrity, official, parse, script,
};
use evalrun::model::{
    EvalType, Instance, InstanceId, LimitsHit, LogProblem, Outcome, Probes, Section, Status, Usage,
    Verdict, VerdictKind,
};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The folder of real data; nothing, with a message, where there is none outside of CI.
fn data(part: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("EVALRUN_TEST_DATA").map_or(beside, PathBuf::from).join(part);
    if folder.exists() {
        return Some(folder);
    }
    assert!(std::env::var("CI").is_err(), "{} is missing", folder.display());
    eprintln!("skipped: {} is missing", folder.display());
    None
}

fn json_lines(path: &Path) -> Vec<Value> {
    let text = fs_err::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => serde_json::from_str(text).unwrap(),
        list => serde_json::from_value(list.clone()).unwrap(),
    }
}

fn instance(row: &Value) -> Instance {
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    Instance {
        id: InstanceId::new(&text("instance_id")).unwrap(),
        repo: text("repo"),
        base_commit: None,
        version: text("version"),
        environment_setup_commit: None,
        gold_patch: None,
        test_patch: text("test_patch"),
        difficulty: None,
        fail_to_pass: strings(&row["FAIL_TO_PASS"]),
        pass_to_pass: strings(&row["PASS_TO_PASS"]),
        work_dir: "/testbed".to_owned(),
        image_name: text("image"),
        env: None,
        eval_script: text("eval_script"),
        log_parser: text("log_parser"),
        eval_type: match text("eval_type").as_str() {
            "fail_only" => EvalType::FailOnly,
            _ => EvalType::PassAndFail,
        },
        dockerfile: None,
        image_assets: Vec::new(),
    }
}

/// Logs of the 1.x harness have no section: what follows the model's patch is to be parsed.
fn tested_part(log: &[u8]) -> std::ops::Range<usize> {
    let applied = b">>>>> Applied Patch (pred)";
    let Some(at) = memchr::memmem::rfind(log, applied) else { return 0..log.len() };
    let line_end = memchr::memchr(b'\n', &log[at..]).map_or(log.len(), |end| at + end + 1);
    line_end..log.len()
}

/// The name of a verdict as the recorded one names it.
fn resolution(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Resolved { .. } => "RESOLVED_FULL",
        Verdict::LogUnusable { why: LogProblem::BadMarker { .. } } => "RESOLVED_NO(not applied)",
        Verdict::Unresolved { tests } => {
            let some_fixed = !tests.fail_to_pass.success.is_empty();
            let none_broken = tests.pass_to_pass.failure.is_empty();
            // All of FAIL_TO_PASS is a full resolution unless something broke.
            if some_fixed && none_broken { "RESOLVED_PARTIAL" } else { "RESOLVED_NO" }
        }
        other => other.name(),
    }
}

#[test]
fn real_logs_give_the_recorded_status_maps_and_verdicts() {
    let Some(folder) = data("grading") else { return };
    let rows = json_lines(&folder.join("rows.jsonl"));
    let mut differences = Vec::new();
    let verdicts = json_lines(&folder.join("verdicts.jsonl"));
    for expected in &verdicts {
        let name = expected["log"].as_str().unwrap();
        let log = fs_err::read(folder.join(name)).unwrap();
        let row = rows.iter().find(|row| row["instance_id"] == expected["instance_id"]).unwrap();
        let mut instance = instance(row);
        instance.log_parser = expected["log_parser"].as_str().unwrap().to_owned();
        let part = tested_part(&log);
        let (start, end) = (part.start, part.end);
        let parsed = parse(&instance.log_parser, &decode(&log[part]), Subject::default()).unwrap();
        if serde_json::to_value(&parsed.tests).unwrap() != expected["status_map"] {
            differences.push(format!("{name}: status map"));
        }
        let wanted = expected["official"]["resolution"].as_str().unwrap();
        let mut marked = log[..start].to_vec();
        marked.extend_from_slice(format!("+ : '{}'\n", script::START).as_bytes());
        marked.extend_from_slice(&log[start..]);
        marked.extend_from_slice(format!("\n+ : '{}'\n", script::END).as_bytes());
        let given = official(&instance, &marked).verdict;
        if resolution(&given) != wanted {
            differences.push(format!("{name}: {} instead of {wanted}", resolution(&given)));
        }
        // Logs of patches that did not apply never reach the supervised grader.
        if wanted != "RESOLVED_NO(not applied)" {
            let outcome = Outcome {
                status: Status::Code(0),
                limits_hit: LimitsHit::default(),
                usage: Usage::default(),
            };
            let section = Section::Supervised { start: start as u64, end: end as u64, outcome };
            let supervised = grade(&instance, &log, &section).verdict;
            if supervised != given {
                differences.push(format!("{name}: supervised {supervised:?}, official {given:?}"));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {}:\n{}",
        differences.len(),
        verdicts.len(),
        differences.join("\n")
    );
    assert!(verdicts.len() > 100);
}

/// The same by the command that users have for it: the whole folder of logs at once.
#[test]
fn the_folder_of_real_logs_is_graded_as_recorded() {
    let Some(folder) = data("grading") else { return };
    let home = tempfile::tempdir().unwrap();
    let rows = folder.join("rows.jsonl");
    let logs = folder.join("logs");
    let args = ["grade", logs.to_str().unwrap(), "-d", rows.to_str().unwrap()];
    let args: Vec<_> =
        args.into_iter().chain(["--no-write", "--json", "--integrity", "official"]).collect();
    let output = super::cli::evalrun(home.path(), &args);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let results = said["results"].as_array().unwrap();
    let verdicts = json_lines(&folder.join("verdicts.jsonl"));
    assert_eq!(results.len(), verdicts.len());
    for expected in verdicts {
        let log = expected["log"].as_str().unwrap();
        let model = log.trim_start_matches("logs/").split('.').next().unwrap();
        let given = results
            .iter()
            .find(|one| one["instance_id"] == expected["instance_id"] && one["model"] == model);
        let wanted = match expected["official"]["resolution"].as_str().unwrap() {
            "RESOLVED_FULL" => "resolved",
            "RESOLVED_NO(not applied)" => "log_unusable",
            _ => "unresolved",
        };
        assert_eq!(given.unwrap()["verdict"], wanted, "{log}");
    }
}

/// The report of a real run of swebench 5 has our keys, in our order, with our types; the keys that
/// later versions added are the only others.
#[test]
fn our_report_has_the_shape_of_a_real_one() {
    let Some(folder) = data("reports") else { return };
    let text = fs_err::read_to_string(folder.join("gold.fresh-verified.json")).unwrap();
    let real: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    let names = |list: &str| -> Vec<String> {
        let list = real[list].as_array().unwrap();
        list.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    };
    let (resolved, unresolved, errors) =
        (names("resolved_ids"), names("unresolved_ids"), names("error_ids"));
    let all = names("submitted_ids").into_iter().chain(names("incomplete_ids")).collect::<Vec<_>>();
    let standing = |id, kind, reported| evalrun::report::Standing {
        id,
        empty: kind == Some(VerdictKind::EmptyPatch),
        kind,
        reported,
        reason: None,
    };
    let empty = names("empty_patch_ids");
    let standings = (resolved.iter().map(|id| standing(id, Some(VerdictKind::Resolved), true)))
        .chain(unresolved.iter().map(|id| standing(id, Some(VerdictKind::Unresolved), true)))
        .chain(errors.iter().map(|id| standing(id, Some(VerdictKind::TestsStopped), false)))
        .chain(empty.iter().map(|id| standing(id, Some(VerdictKind::EmptyPatch), false)));
    let ours = evalrun::report::summary_of(all.iter().map(String::as_str).collect(), standings);
    let ours: serde_json::Map<String, Value> = serde_json::from_str(&ours.to_text()).unwrap();
    let added = [
        "infra_failure_instances",
        "ambiguous_failure_instances",
        "infra_failure_ids",
        "ambiguous_failure_ids",
        "failure_reasons",
    ];
    let shared: Vec<_> = ours.keys().filter(|key| !added.contains(&key.as_str())).collect();
    assert_eq!(shared, real.keys().collect::<Vec<_>>());
    for (key, value) in &real {
        let same = match (value, &ours[key]) {
            // What Docker's client counts has nothing to do with outcomes.
            (Value::Number(_), Value::Number(_))
                if key.starts_with("un") && !key.starts_with("unresolved") =>
            {
                true
            }
            (Value::Array(_), Value::Array(_))
                if key.starts_with("un") && !key.starts_with("unresolved") =>
            {
                true
            }
            (real, ours) => real == ours,
        };
        assert!(same, "{key}: {} instead of {value}", ours[key]);
    }
}

#[test]
fn every_published_script_is_cut_into_three_parts() {
    let Some(folder) = data("swebench") else { return };
    for file in ["verified.jsonl", "multilingual.jsonl", "multimodal-dev.jsonl"] {
        for row in json_lines(&folder.join(file)) {
            let instance = instance(&row);
            let script::Cut::ThreeParts { prepare, test, finish } =
                script::cut(&instance.eval_script)
            else {
                panic!("{} is not cut", instance.id);
            };
            assert!(
                prepare.contains("cd /testbed")
                    && !test.trim().is_empty()
                    && finish.contains("git checkout") | finish.contains("rm -f"),
                "{}",
                instance.id
            );
            assert!(evalrun::grade::is_parser(&instance.log_parser), "{}", instance.log_parser);
        }
    }
}

fn signs(instance: &Instance, patch: &str, log: &[u8], section: &Section) -> Integrity {
    let probes = Probes::default();
    integrity(instance, Traces { patch, log, section: Some(section), probes: &probes })
}

/// What honest patches look like: none may be called forged, and few suspicious.
#[test]
fn honest_patches_and_logs_are_clean() {
    let Some(folder) = data("swebench") else { return };
    let mut rows = json_lines(&folder.join("verified.jsonl"));
    rows.extend(json_lines(&folder.join("multilingual.jsonl")));
    rows.extend(json_lines(&folder.join("multimodal-dev.jsonl")));
    let outcome = |code| Outcome {
        status: Status::Code(code),
        limits_hit: LimitsHit::default(),
        usage: Usage::default(),
    };
    let nothing = Section::Supervised { start: 0, end: 0, outcome: outcome(0) };
    let mut odd = Vec::new();
    let mut patches: Vec<(Value, String)> = Vec::new();
    for row in &rows {
        patches.push((row.clone(), row["patch"].as_str().unwrap().to_owned()));
    }
    for prediction in json_lines(&folder.join("../predictions/sweagent.jsonl")) {
        // Rows of Lite alone are read as another row of the same project.
        let id = prediction["instance_id"].as_str().unwrap();
        let project = |row: &&Value| {
            row["instance_id"].as_str().unwrap().rsplit('-').nth(1) == id.rsplit('-').nth(1)
        };
        let own = rows.iter().find(|row| row["instance_id"] == id);
        let row = own.or_else(|| rows.iter().find(project)).unwrap();
        let patch = prediction["model_patch"].as_str().unwrap_or_default().to_owned();
        patches.push((row.clone(), patch));
    }
    for (row, patch) in &patches {
        let found = signs(&instance(row), patch, b"", &nothing);
        if found.trust != Trust::Clean {
            odd.push(format!("patch for {}: {:?}", row["instance_id"], found.signs));
        }
    }
    let folder = folder.join("../grading");
    let rows = json_lines(&folder.join("rows.jsonl"));
    for verdict in json_lines(&folder.join("verdicts.jsonl")) {
        let row = rows.iter().find(|row| row["instance_id"] == verdict["instance_id"]).unwrap();
        let log = fs_err::read(folder.join(verdict["log"].as_str().unwrap())).unwrap();
        let part = tested_part(&log);
        let failed = decode(&log).contains(">>>>> Some Tests Failed");
        let (start, end) = (part.start as u64, part.end as u64);
        let section = Section::Supervised { start, end, outcome: outcome(i32::from(failed)) };
        let mut found = signs(&instance(row), "", &log, &section);
        // These logs hold the old harness's own closing line, and one a runner that crashed.
        found.signs.retain(|sign| {
            !sign.evidence.starts_with(">>>>> ") && sign.reason != "failed_status_without_failure"
        });
        if !found.signs.is_empty() {
            odd.push(format!("{}: {:?}", verdict["log"], found.signs));
        }
    }
    println!("{}", odd.join("\n"));
    assert_eq!(patches.len(), 902 + 271);
    assert!(odd.is_empty(), "{} are not clean", odd.len());
}
