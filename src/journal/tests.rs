use super::*;
use crate::layers::ImageKey;
use crate::model::{
    Digest, Evaluation, InfraCause, InstanceId, KilledBy, LogProblem, Outcome, Phase,
    Status as End, TestLists, TestsReport, Usage, Verdict, VerdictKind,
};
use jiff::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const IDS: [&str; 3] = ["a__b-1", "a__b-2", "ünï-3"];

fn key(instance: usize, attempt: u32) -> PredictionKey {
    PredictionKey {
        model: "some/model".into(),
        instance_id: InstanceId::new(IDS[instance]).unwrap(),
        attempt,
    }
}

fn header() -> Header {
    let fact = |id: &str| InstanceFacts {
        id: InstanceId::new(id).unwrap(),
        repo: "a/b".into(),
        version: "1".into(),
        difficulty: None,
        language: None,
        image: Digest::of("image"),
        script: Digest::of("script"),
        tests: Digest::of("tests"),
    };
    let predictions = (0..IDS.len()).flat_map(|at| [key(at, 1), key(at, 2)]);
    Header {
        format: FORMAT,
        run_id: "run".to_owned(),
        versions: Versions { evalrun: "0.1.0".to_owned(), grader: GRADER },
        host: Host::default(),
        dataset: DatasetFacts {
            name: "set".to_owned(),
            split: "test".to_owned(),
            digest: Digest::of("set"),
        },
        settings: Settings {
            limits: crate::sandbox::Limits::default(),
            network: crate::sandbox::Network::None,
            upper: crate::sandbox::Upper::Disk,
            env: BTreeMap::new(),
            timeout: Duration::from_secs(1800),
            policy: Default::default(),
            canary: false,
            rerun_failed: 0,
        },
        shard: None,
        instances: IDS.into_iter().map(fact).collect(),
        predictions: predictions
            .map(|key| PredictionFacts { key, patch: Digest::of("patch"), empty: false })
            .collect(),
    }
}

fn evaluated(key: PredictionKey, verdict: Verdict) -> Event {
    Event::Evaluated(Box::new(Evaluated {
        key,
        round: 1,
        evaluation: Evaluation {
            verdict,
            section: None,
            applied_by: Some("git apply".to_owned()),
            phases: vec![(Phase::Test, Duration::from_millis(5))],
            usage: Usage { peak_memory: 7, ..Usage::default() },
            disk: None,
            probes: Default::default(),
            notes: vec!["a note".to_owned()],
        },
        sign: None,
        log_sign: None,
        evidence: Vec::new(),
        integrity: None,
        waited: 120,
        files: BTreeMap::from([("eval.sh".to_owned(), Digest::of("x"))]),
        known: Some(KnownFrom {
            run_id: "before".to_owned(),
            model: "another".into(),
            attempt: 1,
            at: Timestamp::UNIX_EPOCH,
            place: "/reports/before/another/a".into(),
        }),
    }))
}

/// Writes these events into a new journal and returns what was replayed from it.
fn write(dir: &Path, events: &[Event]) -> RunState {
    let (mut journal, before) = Journal::open(dir).unwrap();
    assert_eq!(before, None);
    journal.append(Timestamp::UNIX_EPOCH, &[Event::Header(Box::new(header()))]).unwrap();
    for event in events {
        journal.append(Timestamp::UNIX_EPOCH, std::slice::from_ref(event)).unwrap();
    }
    journal.sync().unwrap();
    load(dir).unwrap()
}

fn events_of(dir: &Path) -> Result<Vec<Event>, JournalError> {
    let mut events = Vec::new();
    read(dir, &mut |_, _, event, _| {
        events.push(event);
        Ok(())
    })?;
    Ok(events)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".*", Just("\"sum\":\"00000000\"}\n\\ \u{2028} ünï".to_owned())]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let lists = || {
        (proptest::collection::vec(text(), 0..3), proptest::collection::vec(text(), 0..3))
            .prop_map(|(success, failure)| TestLists { success, failure })
    };
    let tests = || {
        (lists(), lists())
            .prop_map(|(fail_to_pass, pass_to_pass)| TestsReport { fail_to_pass, pass_to_pass })
    };
    let outcome = (any::<i32>(), any::<bool>(), any::<u32>()).prop_map(|(code, killed, wall)| {
        let status = if killed { End::Killed(KilledBy::TimedOut) } else { End::Code(code) };
        let usage = Usage { wall: Duration::from_nanos(wall.into()), ..Usage::default() };
        Outcome { status, limits_hit: crate::model::LimitsHit::default(), usage }
    });
    prop_oneof![
        tests().prop_map(|tests| Verdict::Resolved { tests }),
        tests().prop_map(|tests| Verdict::Unresolved { tests }),
        Just(Verdict::EmptyPatch),
        Just(Verdict::PatchRejected),
        Just(Verdict::TestPatchRejected),
        outcome.prop_map(|outcome| Verdict::TestsStopped { outcome }),
        any::<i32>().prop_map(|status| Verdict::LogUnusable {
            why: LogProblem::ExitStatusContradicts { status }
        }),
        text().prop_map(|marker| Verdict::LogUnusable { why: LogProblem::BadMarker { marker } }),
        (text(), text())
            .prop_map(|(reason, detail)| Verdict::Infra { cause: InfraCause { reason, detail } }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let key = || (0..IDS.len(), 1..3_u32).prop_map(|(at, attempt)| key(at, attempt));
    prop_oneof![
        Just(Event::Header(Box::new(header()))),
        (key(), text()).prop_map(|(key, why)| Event::Dropped { key, why }),
        (text(), any::<usize>(), any::<u64>()).prop_map(|(name, built, took)| Event::ImageReady {
            instance_id: InstanceId::new(IDS[0]).unwrap(),
            image: ImageKey(Digest::of(&name)),
            digest: name.clone(),
            name,
            built,
            took: Duration::from_nanos(took),
        }),
        (key(), 1..9_u32, 1..900_usize).prop_map(|(key, round, in_flight)| Event::Started {
            key,
            round,
            in_flight
        }),
        (key(), verdict()).prop_map(|(key, verdict)| evaluated(key, verdict)),
        (key(), 1..9_u32, text()).prop_map(|(key, round, detail)| Event::Retrying {
            key,
            round,
            cause: InfraCause { reason: "sandbox_start_failed".to_owned(), detail },
            not_before: Timestamp::from_second(17).unwrap(),
        }),
        (0..9_usize).prop_map(|in_flight| Event::Interrupted { in_flight }),
        Just(Event::Finished),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read(events in proptest::collection::vec(event(), 0..12)) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &events);
        prop_assert_eq!(&events_of(dir.path()).unwrap()[1..], &events);
    }

    #[test]
    fn a_torn_end_loses_what_was_torn_and_nothing_else(
        events in proptest::collection::vec(event(), 1..6),
        cut in any::<prop::sample::Index>(),
        more in event(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &events);
        let path = dir.path().join(FILE_NAME);
        let bytes = fs_err::read(&path).unwrap();
        let cut = cut.index(bytes.len());
        fs_err::write(&path, &bytes[..cut]).unwrap();
        let whole = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
        prop_assert_eq!(events_of(dir.path()).unwrap().len(), whole);

        let (mut journal, state) = Journal::open(dir.path()).unwrap();
        prop_assert_eq!(state.is_some(), whole > 0);
        journal.append(Timestamp::UNIX_EPOCH, std::slice::from_ref(&more)).unwrap();
        let read = events_of(dir.path()).unwrap();
        prop_assert_eq!(read.len(), whole + 1);
        prop_assert_eq!(&read[whole], &more);
    }

    #[test]
    fn a_changed_byte_is_found_and_its_line_named(
        events in proptest::collection::vec(event(), 1..6),
        at in any::<prop::sample::Index>(),
        change in 1..=255_u8,
    ) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &events);
        let path = dir.path().join(FILE_NAME);
        let mut bytes = fs_err::read(&path).unwrap();
        let at = at.index(bytes.len());
        let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
        let joins_the_last_two = bytes[at] == b'\n' && line == events.len();
        bytes[at] ^= change;
        fs_err::write(&path, &bytes).unwrap();
        match events_of(dir.path()) {
            Err(JournalError::Damaged { line: named, .. }) => prop_assert_eq!(named, line),
            // What was written last cannot be told from a torn write: it is dropped. Without the
            // line feed between them, the last two lines are one.
            Ok(read) if joins_the_last_two => prop_assert_eq!(read.len(), line - 1),
            Ok(read) => prop_assert_eq!((line, read.len()), (events.len() + 1, events.len())),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

#[test]
fn lost_and_moved_lines_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let started = |at| Event::Started { key: key(at, 1), round: 1, in_flight: 1 };
    write(dir.path(), &[started(0), started(1), Event::Finished]);
    let path = dir.path().join(FILE_NAME);
    let text = fs_err::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    for order in [vec![0, 2, 3], vec![0, 2, 1, 3], vec![0, 1, 1, 2, 3]] {
        let text: String = order.iter().map(|&at| format!("{}\n", lines[at])).collect();
        fs_err::write(&path, text).unwrap();
        let wrong = order.iter().zip(0..).position(|(a, b)| *a != b).unwrap() + 1;
        let error = load(dir.path()).unwrap_err();
        assert!(
            matches!(error, JournalError::Damaged { line, .. } if line == wrong),
            "{order:?}: {error}"
        );
    }
}

#[test]
fn only_one_process_can_write() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path()).unwrap();
    assert!(matches!(Journal::open(dir.path()), Err(JournalError::Busy(_))));
    drop(journal);
    Journal::open(dir.path()).unwrap();
}

#[test]
fn after_a_failed_write_nothing_more_is_written() {
    let full = fs_err::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut journal = Journal::on(full);
    let append = |journal: &mut Journal| journal.append(Timestamp::UNIX_EPOCH, &[Event::Finished]);
    assert!(matches!(append(&mut journal), Err(JournalError::Io(_))));
    assert!(matches!(append(&mut journal), Err(JournalError::Broken(_))));
    assert!(matches!(journal.sync(), Err(JournalError::Broken(_))));
}

#[test]
fn another_format_and_strangers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut stranger = key(0, 1);
    stranger.attempt = 9;
    let (mut journal, _) = Journal::open(dir.path()).unwrap();
    let events =
        [Event::Header(Box::new(header())), Event::Dropped { key: stranger, why: String::new() }];
    journal.append(Timestamp::UNIX_EPOCH, &events).unwrap();
    assert!(matches!(load(dir.path()), Err(JournalError::Stranger { line: 2, .. })));

    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path()).unwrap();
    let newer = Header { format: FORMAT + 1, ..header() };
    journal
        .append(Timestamp::UNIX_EPOCH, &[Event::Header(Box::new(newer)), Event::Finished])
        .unwrap();
    let error = load(dir.path()).unwrap_err();
    assert!(matches!(error, JournalError::Format { found, .. } if found == FORMAT + 1), "{error}");
    assert!(matches!(load(Path::new("/nowhere")), Err(JournalError::Missing(_))));
}

#[test]
fn the_state_is_the_fold_of_the_events() {
    let dir = tempfile::tempdir().unwrap();
    let cause = InfraCause { reason: "r".to_owned(), detail: "d".to_owned() };
    let tests = TestsReport {
        fail_to_pass: TestLists { success: vec!["a".to_owned()], failure: vec!["b".to_owned()] },
        pass_to_pass: TestLists::default(),
    };
    let state = write(
        dir.path(),
        &[
            Event::Started { key: key(0, 1), round: 1, in_flight: 1 },
            Event::Started { key: key(1, 1), round: 1, in_flight: 2 },
            evaluated(key(0, 1), Verdict::Unresolved { tests: tests.clone() }),
            Event::Retrying {
                key: key(1, 1),
                round: 1,
                cause: cause.clone(),
                not_before: Timestamp::UNIX_EPOCH,
            },
            evaluated(key(2, 1), Verdict::PatchRejected),
            Event::Dropped { key: key(2, 1), why: "the patch changed".to_owned() },
            Event::Interrupted { in_flight: 1 },
        ],
    );
    assert_eq!((state.peak_in_flight, state.sessions, state.interrupted), (2, 1, true));
    let done = state.done(&key(0, 1)).unwrap();
    assert_eq!((done.kind, done.reported), (VerdictKind::Unresolved, true));
    assert_eq!(done.tests.unwrap().fail_to_pass, (1, 2));
    assert_eq!(state.status(&key(1, 1)), Some(&Status::Retrying { round: 1, cause }));
    assert_eq!(state.status(&key(2, 1)), Some(&Status::Waiting));
    let Event::Evaluated(whole) = read_at(dir.path(), done.place).unwrap() else { panic!() };
    assert_eq!(whole.evaluation.verdict, Verdict::Unresolved { tests });
}

#[test]
fn going_on_keeps_what_still_counts() {
    let at = Timestamp::UNIX_EPOCH;
    let place = Place { offset: 0, length: 0 };
    let mut state = RunState::new(header(), at);
    state.apply(at, &evaluated(key(2, 2), Verdict::PatchRejected), place).unwrap();
    state.apply(at, &Event::Finished, place).unwrap();
    let mut fewer = header();
    fewer.predictions.reverse();
    fewer.predictions.pop();
    state.apply(at, &Event::Header(Box::new(fewer)), place).unwrap();
    assert_eq!((state.sessions, state.finished), (2, false));
    assert!(state.done(&key(2, 2)).is_some());
    assert_eq!(state.status(&key(0, 1)), None);
    assert_eq!(state.predictions().count(), 5);
}

#[test]
fn changes_are_named_and_growth_is_none() {
    let before = header();
    assert_eq!(before.changes(&before), []);
    let mut now = header();
    now.settings.limits.memory = Some(1 << 30);
    now.settings.timeout = Duration::from_secs(60);
    now.instances[1].script = Digest::of("other");
    now.instances.remove(2);
    now.predictions[0].patch = Digest::of("other");
    now.predictions.remove(3);
    let text: Vec<_> = before.changes(&now).iter().map(ToString::to_string).collect();
    assert_eq!(
        text,
        [
            "limit of memory was 4294967296 bytes, now 1073741824 bytes",
            "time-out was 1800s, now 60s",
            "a__b-2: the evaluation script changed",
            "ünï-3 is not selected any more",
            "a__b-1 by some/model: the patch changed",
            "a__b-2 by some/model, attempt 2: there is no prediction any more",
        ]
    );
    let mut fewer = header();
    fewer.instances.remove(0);
    fewer.predictions.remove(0);
    assert_eq!(fewer.changes(&header()), []);
    assert_eq!(before.changes(&Header { dataset: now.dataset, ..header() }), []);
}
