//! Histories in temporary folders.

use super::*;
use crate::journal::{
    DatasetFacts, Evaluated, Event, FORMAT, GRADER, Header, Host, InfraSign, InstanceFacts,
    Journal, PredictionFacts, Settings, Versions,
};
use crate::layers::ImageKey;
use crate::model::{
    Digest, EvalType, Evaluation, InfraCause, Instance, InstanceId, LogProblem, PredictionKey,
    Probes, Reruns, TestLists, TestsReport, Usage, Verdict,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

fn facts(id: &str) -> InstanceFacts {
    InstanceFacts {
        id: InstanceId::new(id).unwrap(),
        repo: "a/b".into(),
        version: "1".into(),
        difficulty: None,
        language: None,
        image: Digest::of("image"),
        script: Digest::of("script"),
        tests: Digest::of("tests"),
    }
}

fn header() -> Header {
    let key = |id: &str| PredictionKey {
        model: "m".into(),
        instance_id: InstanceId::new(id).unwrap(),
        attempt: 1,
    };
    let prediction =
        |id| PredictionFacts { key: key(id), patch: Digest::of("patch"), empty: false };
    Header {
        format: FORMAT,
        run_id: "run".to_owned(),
        versions: Versions { evalrun: "0".to_owned(), grader: GRADER },
        host: Host::default(),
        dataset: DatasetFacts {
            name: "set".to_owned(),
            split: "test".to_owned(),
            digest: Digest::of("set"),
        },
        settings: Settings {
            limits: crate::sandbox::Limits::default(),
            network: crate::sandbox::Network::None,
            upper: crate::sandbox::Upper::Auto,
            env: BTreeMap::new(),
            timeout: Duration::from_secs(60),
            policy: Default::default(),
            canary: false,
            rerun_failed: 0,
        },
        shard: None,
        instances: vec![facts("a"), facts("b")],
        predictions: vec![prediction("a"), prediction("b")],
    }
}

fn image(text: &str) -> ImageKey {
    ImageKey(Digest::of(text))
}

fn question(header: &Header) -> Question {
    Question::of(header, image("i"), &header.instances[0], Digest::of("patch"))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn tests(passed: &[&str], failed: &[&str]) -> TestsReport {
    let fail_to_pass = TestLists { success: names(passed), failure: names(failed) };
    TestsReport { fail_to_pass, ..TestsReport::default() }
}

fn resolved() -> Verdict {
    Verdict::Resolved { tests: tests(&["t", "u"], &[]) }
}

fn unresolved() -> Verdict {
    Verdict::Unresolved { tests: tests(&["t"], &["u"]) }
}

fn evaluated(verdict: Verdict) -> Evaluated {
    let evaluation = Evaluation {
        verdict,
        section: None,
        applied_by: None,
        phases: Vec::new(),
        usage: Usage { user: Duration::from_secs(3), peak_memory: 7 << 20, ..Usage::default() },
        disk: None,
        probes: Probes::default(),
        notes: Vec::new(),
    };
    let key = header().predictions[0].key.clone();
    Evaluated::new(key, 1, evaluation)
}

/// The `nth` evaluation, in a directory of its own.
fn record(nth: i64, evaluated: Evaluated) -> Record {
    Record {
        question: question(&header()),
        at: Timestamp::from_second(1000 + nth).unwrap(),
        run_id: format!("run-{nth}"),
        place: format!("/nowhere/{nth}").into(),
        instance: facts("a"),
        image: image("i"),
        took: Duration::from_secs(8),
        evaluated,
    }
}

fn add(history: &History, nth: i64, evaluated: Evaluated) {
    assert_eq!(history.add(&[record(nth, evaluated)], &[]).unwrap(), 1);
}

fn known(history: &History) -> usize {
    history.known(&question(&header())).unwrap().len()
}

#[test]
fn a_verdict_is_known_once_it_is_beyond_doubt() {
    let home = tempfile::tempdir().unwrap();
    let history = History::open(home.path()).unwrap();
    assert_eq!(known(&history), 0);
    add(&history, 1, evaluated(unresolved()));
    assert_eq!(known(&history), 0, "tests that fail once may fail by chance");
    add(&history, 2, evaluated(unresolved()));
    assert_eq!(known(&history), 2);
    let all = history.known(&question(&header())).unwrap();
    assert_eq!((all[0].from.run_id.as_str(), all[1].from.run_id.as_str()), ("run-2", "run-1"));
    assert_eq!(all[0].evaluated, evaluated(unresolved()));
    // It comes out otherwise: that test is not to be relied on, whatever comes after.
    add(&history, 3, evaluated(resolved()));
    assert_eq!(known(&history), 0);
    assert_eq!(history.unsteady(&image("i").to_string()).unwrap(), ["u"]);
    add(&history, 4, evaluated(resolved()));
    assert_eq!(known(&history), 0);
}

#[test]
fn what_may_be_our_fault_or_chance_is_worth_nothing() {
    let worth = known::worth;
    assert_eq!(worth(&evaluated(resolved())), 2);
    assert_eq!(worth(&evaluated(Verdict::PatchRejected)), 2);
    assert_eq!(worth(&evaluated(Verdict::TestPatchRejected)), 2);
    assert_eq!(worth(&evaluated(unresolved())), 1);
    let unusable = Verdict::LogUnusable { why: LogProblem::NoResults };
    assert_eq!(worth(&evaluated(unusable)), 1);
    let cause = InfraCause { reason: "r".to_owned(), detail: String::new() };
    assert_eq!(worth(&evaluated(Verdict::Infra { cause })), 0);
    let sign = InfraSign { reason: "network_unreachable".to_owned(), ambiguous: true };
    assert_eq!(worth(&Evaluated { sign: Some(sign), ..evaluated(unresolved()) }), 0);
    let rerun = |passed: &[&str]| {
        let mut one = evaluated(unresolved());
        let passed = names(passed);
        let reruns = Reruns { runs: 2, selected: true, resolved: !passed.is_empty(), passed };
        one.evaluation.probes.reruns = Some(reruns);
        one
    };
    assert_eq!(worth(&rerun(&[])), 2, "it failed again in fresh sandboxes");
    assert_eq!(worth(&rerun(&["u"])), 0);
    let home = tempfile::tempdir().unwrap();
    let history = History::open(home.path()).unwrap();
    add(&history, 1, rerun(&["u"]));
    add(&history, 2, evaluated(unresolved()));
    add(&history, 3, evaluated(unresolved()));
    assert_eq!(known(&history), 0, "one of its tests passed when it ran again");
}

#[test]
fn every_part_of_a_question_makes_another_question() {
    let one = header();
    let asked = question(&one);
    assert_eq!(question(&header()), asked);
    let mut other = header();
    other.run_id = "another".to_owned();
    other.predictions.clear();
    other.host.kernel = "newer".to_owned();
    assert_eq!(question(&other), asked, "the run and the model are no part of it");
    let mut limits = header();
    limits.settings.limits.pids = Some(7);
    let mut time = header();
    time.settings.timeout = Duration::from_secs(61);
    let mut network = header();
    network.settings.network = crate::sandbox::Network::Host;
    let mut grader = header();
    grader.versions.grader += 1;
    let mut backend = header();
    backend.host.backend = "docker".to_owned();
    let mut script = header();
    script.instances[0].script = Digest::of("another");
    let mut expected = header();
    expected.instances[0].tests = Digest::of("another");
    for changed in [limits, time, network, grader, backend, script, expected] {
        assert_ne!(question(&changed), asked);
    }
    let facts = &one.instances[0];
    assert_ne!(Question::of(&one, image("j"), facts, Digest::of("patch")), asked);
    assert_ne!(Question::of(&one, image("i"), facts, Digest::of("patch ")), asked);
}

#[test]
fn a_verdict_whose_files_are_gone_or_changed_is_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let (place, to) = (folder.path().join("old"), folder.path().join("new"));
    fs_err::create_dir_all(&place).unwrap();
    fs_err::write(place.join("test_output.txt"), "log").unwrap();
    let mut one = evaluated(resolved());
    one.files.insert("test_output.txt".to_owned(), Digest::of("log"));
    let history = History::open(folder.path()).unwrap();
    let record = Record { place: place.clone(), ..record(1, one.clone()) };
    history.add(&[record], &[]).unwrap();
    let ask = || history.known(&question(&header())).unwrap().remove(0);
    let taken = ask().take(&to).unwrap().unwrap();
    assert_eq!((taken.round, taken.known.as_ref().unwrap().run_id.as_str()), (0, "run-1"));
    assert_eq!(taken.evaluation, one.evaluation);
    assert_eq!(fs_err::read_to_string(to.join("test_output.txt")).unwrap(), "log");
    fs_err::write(place.join("test_output.txt"), "lag").unwrap();
    assert_eq!(ask().take(&to).unwrap(), None);
    fs_err::remove_dir_all(&place).unwrap();
    assert_eq!(ask().take(&to).unwrap(), None);
    let pruned = history.prune(None).unwrap();
    assert_eq!(pruned, Pruned { evaluations: 0, answers: 1 });
    assert_eq!(known(&history), 0);
    assert_eq!(history.instances().unwrap()[0].evaluations, 1, "its durations stay");
    let pruned = history.prune(Some(Timestamp::from_second(2000).unwrap())).unwrap();
    assert_eq!(pruned, Pruned { evaluations: 1, answers: 0 });
    assert_eq!(history.instances().unwrap(), []);
}

fn instance(id: &str, repo: &str, version: &str) -> Instance {
    Instance {
        id: InstanceId::new(id).unwrap(),
        repo: repo.to_owned(),
        base_commit: None,
        version: version.to_owned(),
        environment_setup_commit: None,
        gold_patch: None,
        test_patch: String::new(),
        difficulty: None,
        fail_to_pass: Vec::new(),
        pass_to_pass: Vec::new(),
        work_dir: "/testbed".to_owned(),
        image_name: String::new(),
        env: None,
        eval_script: String::new(),
        log_parser: "parse_log_pytest".to_owned(),
        eval_type: EvalType::PassAndFail,
        dockerfile: None,
        image_assets: Vec::new(),
    }
}

#[test]
fn durations_are_expected_by_instance_then_by_version_then_by_repository() {
    let home = tempfile::tempdir().unwrap();
    let history = History::open(home.path()).unwrap();
    for nth in 0..7 {
        let took = Duration::from_secs(if nth < 2 { 1000 } else { 8 });
        // The first two are too long ago to count.
        let record = Record { took, ..record(nth, evaluated(resolved())) };
        history.add(&[record], &[]).unwrap();
    }
    let cause = InfraCause { reason: "r".to_owned(), detail: String::new() };
    add(&history, 9, evaluated(Verdict::Infra { cause }));
    let made = ImageRecord {
        image: image("i"),
        name: "image".to_owned(),
        instance: facts("a"),
        at: Timestamp::UNIX_EPOCH,
        built: 2,
        took: Duration::from_secs(60),
    };
    history.add(&[], &[made]).unwrap();
    let expectations = history.expectations().unwrap();
    let of = |id, repo, version| expectations.of(&instance(id, repo, version));
    let expected =
        Expected { took: Duration::from_secs(8), cpu: Duration::from_secs(3), peak: 7 << 20 };
    assert_eq!(of("a", "a/b", "1"), Some((expected, Source::Instance)));
    assert_eq!(of("z", "a/b", "1"), Some((expected, Source::Version)));
    assert_eq!(of("z", "a/b", "2"), Some((expected, Source::Repo)));
    assert_eq!(of("z", "c/d", "1"), None);
    assert_eq!(expectations.image("a/b"), Some(Duration::from_secs(60)));
    assert_eq!(expectations.image("c/d"), Some(Duration::from_secs(60)), "like others");
}

#[test]
fn a_journal_can_be_read_in_once() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let (mut journal, _) = Journal::open(&dir).unwrap();
    let at = |second| Timestamp::from_second(second).unwrap();
    let id = InstanceId::new("a").unwrap();
    let key = header().predictions[0].key.clone();
    let ready = Event::ImageReady {
        instance_id: id,
        name: "image".to_owned(),
        image: image("i"),
        digest: String::new(),
        built: 0,
        took: Duration::ZERO,
    };
    journal.append(at(1), &[Event::Header(Box::new(header())), ready]).unwrap();
    journal.append(at(2), &[Event::Started { key, round: 1, in_flight: 1 }]).unwrap();
    journal.append(at(14), &[Event::Evaluated(Box::new(evaluated(resolved())))]).unwrap();
    drop(journal);
    let history = History::open(folder.path()).unwrap();
    let place = |key: &PredictionKey| dir.join(key.instance_id.as_str());
    let imported = history.import(&dir, &place).unwrap();
    assert_eq!(imported, Imported { new: 1, found: 1 });
    assert_eq!(history.import(&dir, &place).unwrap(), Imported { new: 0, found: 1 });
    assert_eq!(history.known(&question(&header())).unwrap()[0].from.place, dir.join("a"));
    let mut all = Vec::new();
    history.export(&mut |one| all.push(one)).unwrap();
    assert_eq!((all.len(), all[0].seconds, all[0].verdict.as_str()), (1, 12.0, "resolved"));
}

#[test]
fn what_is_no_history_is_said_and_one_that_cannot_be_written_is_read() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE_NAME);
    fs_err::write(&path, "this is no database, whatever its name says; ".repeat(50)).unwrap();
    let error = History::open(home.path()).unwrap_err().to_string();
    assert!(error.contains(FILE_NAME) && error.contains("not a database"), "{error}");
    fs_err::remove_file(&path).unwrap();
    drop(History::open(home.path()).unwrap());
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("UPDATE about SET format = 'evalrun history 9'", []).unwrap();
    drop(other);
    let error = History::open(home.path()).unwrap_err();
    assert!(matches!(&error, HistoryError::Foreign { found, .. } if found.ends_with('9')));
    // A folder where the file should be: nothing can be made there.
    fs_err::remove_file(&path).unwrap();
    fs_err::create_dir(&path).unwrap();
    assert!(History::open(home.path()).is_err());
}

#[test]
fn a_history_that_is_read_only_still_tells() {
    if rustix::process::geteuid().is_root() {
        // Nothing is read-only to root but what is mounted so: see the tests of the whole program.
        eprintln!("skipped: root may write everything");
        return;
    }
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let history = History::open(home.path()).unwrap();
    add(&history, 1, evaluated(resolved()));
    drop(history);
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    fs_err::set_permissions(home.path().join(FILE_NAME), mode(0o444)).unwrap();
    fs_err::set_permissions(home.path(), mode(0o555)).unwrap();
    let history = History::open(home.path()).unwrap();
    assert!(history.read_only().is_some());
    assert_eq!(known(&history), 1);
    assert!(history.add(&[record(2, evaluated(resolved()))], &[]).is_err());
    fs_err::set_permissions(home.path(), mode(0o755)).unwrap();
}
