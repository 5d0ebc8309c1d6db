//! What is seen of runs at some moment.

use super::*;
use crate::journal::{
    DatasetFacts, Evaluated, Event, FORMAT, Follow, GRADER, Header, Host, InstanceFacts, Journal,
    PredictionFacts, Settings, Versions,
};
use crate::model::{Digest, InfraCause, InstanceId, PredictionKey, TestsReport, Verdict};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::collections::BTreeMap;
use std::path::Path;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn key(id: &str) -> PredictionKey {
    PredictionKey {
        model: "org/model\u{1b}[2J".into(),
        instance_id: InstanceId::new(id).unwrap(),
        attempt: 1,
    }
}

const IDS: [&str; 4] = ["a__a-1", "b__b-2", "c__c-3", "d__d-4"];

fn header() -> Event {
    let facts = |id: &str| InstanceFacts {
        id: InstanceId::new(id).unwrap(),
        repo: "a/b".into(),
        version: "1".into(),
        difficulty: None,
        language: None,
        image: Digest::of(""),
        script: Digest::of(""),
        tests: Digest::of(""),
    };
    let prediction =
        |id: &str| PredictionFacts { key: key(id), patch: Digest::of(""), empty: false };
    Event::Header(Box::new(Header {
        format: FORMAT,
        run_id: "nightly".to_owned(),
        versions: Versions { evalrun: "0".to_owned(), grader: GRADER },
        host: Host { cpus: 8, backend: "native".to_owned(), ..Host::default() },
        dataset: DatasetFacts {
            name: "set".to_owned(),
            split: "test".to_owned(),
            digest: Digest::of(""),
        },
        settings: Settings {
            limits: crate::sandbox::Limits::default(),
            network: crate::sandbox::Network::None,
            upper: crate::sandbox::Upper::Auto,
            env: BTreeMap::new(),
            timeout: Duration::ZERO,
            policy: Default::default(),
            canary: false,
            rerun_failed: 0,
        },
        shard: None,
        instances: IDS.iter().map(|id| facts(id)).collect(),
        predictions: IDS.iter().map(|id| prediction(id)).collect(),
    }))
}

fn done(id: &str, verdict: Verdict) -> Event {
    let mut evaluation = crate::evaluate::infra("", "");
    evaluation.verdict = verdict;
    evaluation.usage.wall = Duration::from_secs(7);
    Event::Evaluated(Box::new(Evaluated::new(key(id), 1, evaluation)))
}

fn started(id: &str) -> Event {
    Event::Started { key: key(id), round: 1, in_flight: 1 }
}

fn write(dir: &Path, journal: &mut Option<Journal>, events: &[(i64, Event)]) {
    let journal = journal.get_or_insert_with(|| Journal::open(dir).unwrap().0);
    for (second, event) in events {
        journal.append(at(*second), std::slice::from_ref(event)).unwrap();
    }
}

fn look(follow: &mut Follow, view: &mut View) {
    let mut happened = Vec::new();
    let mut each = |at, event: &Event| happened.push((at, event.clone()));
    if let Some(state) = follow.look(&mut each).unwrap() {
        view.take(state, &happened);
    }
}

fn screen(view: &View, now: Timestamp) -> String {
    let mut terminal = Terminal::new(TestBackend::new(90, 24)).unwrap();
    terminal.draw(|frame| draw(frame, view, now)).unwrap();
    let drawn = terminal.backend().to_string();
    // A line of the back-end's text is the line of the screen in quotes.
    let lines = drawn.lines().map(|line| line.trim().trim_matches('"').trim_end());
    let drawn = lines.collect::<Vec<_>>().join("\n");
    assert_eq!(drawn.trim_end(), as_text(view, now, (90, 24)).trim_end());
    drawn
}

#[test]
fn a_run_is_followed_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (mut follow, mut view, mut journal) = (Follow::new(dir.path()), View::default(), None);
    look(&mut follow, &mut view);
    assert!(screen(&view, at(0)).contains("0/0"), "nothing is there yet");
    let resolved = || Verdict::Resolved { tests: TestsReport::default() };
    let events = [(0, header()), (1, started(IDS[0])), (2, started(IDS[1]))];
    write(dir.path(), &mut journal, &events);
    look(&mut follow, &mut view);
    write(dir.path(), &mut journal, &[(10, done(IDS[0], resolved())), (11, started(IDS[2]))]);
    look(&mut follow, &mut view);
    let seen = screen(&view, at(20));
    for part in ["nightly", "set (test)", "runs", "1/4", "1 resolved", "2 running", "20.0 s so far"]
    {
        assert!(seen.contains(part), "{part} in\n{seen}");
    }
    // One of four took twenty seconds: three are left.
    assert!(seen.contains("about 1 min 00 s left"), "{seen}");
    let place = |text: &str| seen.find(text).unwrap_or_else(|| panic!("{text} in\n{seen}"));
    assert!(place("b__b-2") < place("c__c-3"), "the longest first");
    assert!(seen.contains("18.0 s") && seen.contains("9.0 s"), "{seen}");
    assert!(!seen.contains('\u{1b}'), "a name cannot drive the terminal");

    let cause = InfraCause { reason: "r".to_owned(), detail: String::new() };
    let infra = done(IDS[1], Verdict::Infra { cause });
    let end = [(30, infra), (31, done(IDS[2], resolved())), (32, done(IDS[3], resolved()))];
    write(dir.path(), &mut journal, &end);
    write(dir.path(), &mut journal, &[(32, Event::Finished)]);
    look(&mut follow, &mut view);
    let seen = screen(&view, at(500));
    for part in ["finished", "4/4", "3 resolved", "1 infra", "0 running", "32.0 s so far"] {
        assert!(seen.contains(part), "{part} in\n{seen}");
    }
}

#[test]
fn a_torn_line_is_read_when_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (mut follow, mut view, mut journal) = (Follow::new(dir.path()), View::default(), None);
    write(dir.path(), &mut journal, &[(0, header()), (1, started(IDS[0]))]);
    let path = dir.path().join(crate::journal::FILE_NAME);
    let whole = fs_err::read(&path).unwrap();
    fs_err::write(&path, &whole[..whole.len() - 9]).unwrap();
    look(&mut follow, &mut view);
    assert_eq!((view.total, view.running.len()), (4, 0));
    fs_err::write(&path, &whole).unwrap();
    look(&mut follow, &mut view);
    assert_eq!(view.running.len(), 1);
    view.scroll = 7;
    look(&mut follow, &mut view);
    assert_eq!(view.scroll, 0, "there is no more to see");
}
