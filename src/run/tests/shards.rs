//! Runs cut into shards and put together again.

use super::*;
use crate::history::{Line, Table};
use crate::journal::ShardFacts;
use std::path::PathBuf;

const ALL: [&str; 11] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];

fn script(id: &str, _: usize) -> Act {
    at_once(match id {
        "c" => Verdict::PatchRejected,
        _ => resolved(),
    })
}

fn table(longest: f64) -> Table {
    let line = |at: usize| Line { seconds: longest / (at + 1) as f64, cpu_seconds: 0.0, memory: 0 };
    let ids = ALL.iter().enumerate().map(|(at, id)| (InstanceId::new(id).unwrap(), line(at)));
    Table::new("set", ids.collect())
}

/// The whole run: two models, of which one says nothing of `e`, and an empty patch.
fn whole(reports: &Path) -> RunPlan {
    let mut plan = plan(reports, &ALL);
    let more = ALL.iter().filter(|id| **id != "e").map(|id| prediction("n", id, "another"));
    plan.predictions.extend(more);
    plan.predictions[5].patch = None;
    plan
}

/// Does one shard and returns its directory.
async fn shard(reports: &Path, (number, of): (usize, usize), table: &Table) -> PathBuf {
    let mut plan = whole(reports);
    let counts = |id: &InstanceId| {
        let own = plan.predictions.iter().filter(|one| one.instance_id == *id && !one.is_empty());
        own.count()
    };
    let instances: Vec<_> =
        plan.dataset.instances.iter().map(|one| (one.id.clone(), counts(&one.id))).collect();
    let cut = cut(&instances, table, of);
    plan.dataset.instances.retain(|one| cut.shards[number - 1].contains(&one.id));
    plan.run_id = format!("run-shard-{number}-of-{of}");
    let (run_id, durations) = ("run".to_owned(), cut.durations);
    plan.shard = Some(ShardFacts { number, of, run_id, cut: cut.digest, durations });
    let dir = reports.join(&plan.run_id);
    let state = go(plan, &Arc::new(Scripted::new(script))).await.unwrap();
    assert!(state.finished);
    dir
}

#[tokio::test]
async fn all_shards_together_give_the_report_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let reports = folder.path().join("whole");
    let expected = go(whole(&reports), &Arc::new(Scripted::new(script))).await.unwrap();
    let parts = folder.path().join("parts");
    let mut dirs = Vec::new();
    for number in 1..=8 {
        dirs.push(shard(&parts, (number, 8), &table(60.0)).await);
    }
    dirs.rotate_left(3);
    let merged = folder.path().join("merged");
    let (state, dir) = merge(&dirs, &merged, None).unwrap();
    assert_eq!(dir.path(), merged.join("run"));
    let strip = |state: &RunState| {
        let report = Report::of(state);
        Report { elapsed: Duration::ZERO, peak_in_flight: 0, ..report }
    };
    assert_eq!(strip(&state), strip(&expected));
    for model in ["m/1", "n"] {
        let text = |reports: &Path| {
            let path = RunDir::new(reports, "run").summary(model, "run");
            fs_err::read_to_string(path).unwrap()
        };
        assert_eq!(text(&merged), text(&reports));
    }
    // The journal says the same, and the files of every prediction are there.
    let read_again = crate::journal::load(dir.path()).unwrap();
    assert_eq!(strip(&read_again), strip(&expected));
    assert!(read_again.finished && read_again.header.shard.is_none());
    for id in ["a", "k"] {
        let log = dir.path().join("n").join(id).join("test_output.txt");
        assert_eq!(fs_err::read_to_string(log).unwrap(), format!("log of {id}"));
    }
    let again = merge(&dirs, &merged, None).unwrap_err();
    assert!(matches!(again, MergeError::Exists(_)), "{again}");
}

#[tokio::test]
async fn a_shard_that_is_missing_doubled_or_foreign_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let parts = folder.path().join("parts");
    let mut dirs = Vec::new();
    for number in 1..=3 {
        dirs.push(shard(&parts, (number, 3), &table(60.0)).await);
    }
    let refused = |dirs: &[PathBuf]| {
        let merged = folder.path().join("merged");
        let error = merge(dirs, &merged, None).unwrap_err();
        assert!(!merged.exists(), "nothing is written");
        error
    };
    let error = refused(&dirs[..1]);
    assert_eq!(error.to_string(), "of 3 shards 2, 3 are missing");
    let error = refused(&[dirs[0].clone(), dirs[2].clone()]);
    assert_eq!(error.to_string(), "of 3 shards 2 is missing");

    let twice = [dirs[0].clone(), dirs[1].clone(), dirs[1].clone(), dirs[2].clone()];
    let error = refused(&twice).to_string();
    assert!(error.starts_with("shard 2 is there twice") && error.contains("run-shard-2-of-3"));

    let foreign = |dir: PathBuf| [dirs[0].clone(), dirs[1].clone(), dir];
    let other = folder.path().join("other");
    let error = refused(&foreign(shard(&other, (3, 3), &table(61.0)).await)).to_string();
    assert!(error.contains("other/run-shard-3-of-3 does not belong"), "{error}");
    assert!(error.ends_with("it was cut by other durations"), "{error}");
    let error = refused(&foreign(shard(&other, (4, 4), &table(60.0)).await)).to_string();
    assert!(error.ends_with("it is one of 4 shards, not of 3"), "{error}");

    let mut limits = whole(&other);
    limits.shard = crate::journal::load(&dirs[2]).unwrap().header.shard;
    limits.run_id = "limits".to_owned();
    limits.options.timeout = Duration::from_secs(9);
    limits.dataset.instances.truncate(1);
    go(limits, &Arc::new(Scripted::new(script))).await.unwrap();
    let error = refused(&foreign(other.join("limits"))).to_string();
    assert!(error.ends_with("time-out was 60s, now 9s"), "{error}");

    let mut plain = whole(&other);
    plain.run_id = "plain".to_owned();
    go(plain, &Arc::new(Scripted::new(script))).await.unwrap();
    let error = refused(&foreign(other.join("plain"))).to_string();
    assert!(error.ends_with("plain is a whole run, no shard"), "{error}");

    let path = dirs[1].join(crate::journal::FILE_NAME);
    let text = fs_err::read_to_string(&path).unwrap();
    let end = text.trim_end().rfind('\n').unwrap();
    fs_err::write(&path, &text[..=end]).unwrap();
    let error = refused(&dirs).to_string();
    assert!(error.contains("shard 2") && error.contains("is not finished: 0 predictions"));
}
