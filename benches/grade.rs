//! Megabytes a second of the log parsers and of the whole grader over the real logs of the test
//! data (`EVALRUN_TEST_DATA`, else `../shared/data`); nothing is measured where there are none.
//!
//!     cargo bench --bench grade

#![expect(clippy::print_stderr, reason = "a benchmark says why it measures nothing")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use evalrun::grade::{Subject, decode, parse};
use serde_json::Value;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};

/// The logs by parser.
fn logs() -> BTreeMap<String, Vec<Vec<u8>>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder =
        std::env::var_os("EVALRUN_TEST_DATA").map_or(beside, PathBuf::from).join("grading");
    let mut logs: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let Ok(verdicts) = fs_err::read_to_string(folder.join("verdicts.jsonl")) else {
        eprintln!("no logs in {}", folder.display());
        return logs;
    };
    for line in verdicts.lines() {
        let verdict: Value = serde_json::from_str(line).expect("the data is JSON lines");
        let text = |key: &str| verdict[key].as_str().expect("the data has this key").to_owned();
        let log = fs_err::read(folder.join(text("log"))).expect("the data has this log");
        logs.entry(text("log_parser")).or_default().push(log);
    }
    logs
}

fn parsers(criterion: &mut Criterion) {
    let logs = logs();
    let mut group = criterion.benchmark_group("parse");
    for (parser, logs) in &logs {
        let bytes = logs.iter().map(Vec::len).sum::<usize>() as u64;
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(parser, |bencher| {
            bencher.iter(|| {
                for log in logs {
                    black_box(parse(parser, &decode(log), Subject::default()));
                }
            });
        });
    }
    let bytes = logs.values().flatten().map(Vec::len).sum::<usize>() as u64;
    group.throughput(Throughput::Bytes(bytes.max(1)));
    group.bench_function("all", |bencher| {
        bencher.iter(|| {
            for (parser, logs) in &logs {
                for log in logs {
                    black_box(parse(parser, &decode(log), Subject::default()));
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, parsers);
criterion_main!(benches);
