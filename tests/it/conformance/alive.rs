//! What only the native back-end has: helpers, and a keeper that carries hundreds.

use super::bench::{Bench, printed, shell};
use evalrun::sandbox::{Command, Output};
use std::time::{Duration, Instant};

/// The pids of this process's children.
fn children() -> Vec<i32> {
    let tasks = fs_err::read_dir("/proc/self/task").unwrap();
    let lists = tasks.map(|task| fs_err::read_to_string(task.unwrap().path().join("children")));
    let lists: Vec<String> = lists.map(Result::unwrap_or_default).collect();
    lists.iter().flat_map(|list| list.split_whitespace()).map(|pid| pid.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_is_left_to_the_keeper() {
    use rustix::process::{Pid, Signal, getpgid, kill_process};
    let before = children();
    let Some(bench) = Bench::native("").await else { return };
    let sandbox = bench.sandbox().await;
    let helpers: Vec<i32> = children().into_iter().filter(|pid| !before.contains(pid)).collect();
    assert!(!helpers.is_empty());
    for pid in helpers {
        let pid = Pid::from_raw(pid).unwrap();
        // Another test's helper may have ended meanwhile.
        let Ok(group) = getpgid(Some(pid)) else { continue };
        assert_ne!(group, getpgid(None).unwrap());
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            let _ = kill_process(pid, signal);
        }
    }
    assert!(shell(&*sandbox, "true").await.0.success());
    drop(bench.sandbox().await);
    bench.backend.close().await;
}

/// Memory of this process that is its own, in MiB.
fn own_memory() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() >> 10
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_alive_cost_the_keeper_little() {
    let Some(bench) = Bench::native("").await else { return };
    let before = own_memory();
    let mut alive = Vec::new();
    let mut times = Vec::new();
    for _ in 0..500 {
        let started = Instant::now();
        let sandbox = bench.sandbox().await;
        printed(&*sandbox, "true").await;
        times.push(started.elapsed());
        let mut sleep = Command::new(["sleep", "600"]);
        sleep.stdout = Output::File(tempfile::tempfile_in(bench.home.path()).unwrap());
        let process = sandbox.exec(&sleep).await.unwrap();
        alive.push((sandbox, process));
    }
    let grown = own_memory() - before;
    let median = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort();
        times[times.len() / 2]
    };
    let (first, last) = (median(&times[..100]), median(&times[400..]));
    eprintln!(
        "500 alive: {grown} MiB more; create and `sh -c true`: {first:?} at first, {last:?} at last"
    );
    assert!(grown < 32, "{grown} MiB for 500 sandboxes");
    let started = Instant::now();
    drop(alive);
    bench.backend.close().await;
    eprintln!("all gone after {:?}", started.elapsed());
    bench.no_leaks();
}
