//! Limits: each holds, and is reported as itself.

use super::bench::{Bench, actor, bring_actor, command_lines, logged, patient, run, shell};
use evalrun::model::{KilledBy, Status};
use evalrun::sandbox::{Command, SandboxOptions, Upper};
use std::time::Duration;

pub(super) async fn a_time_out_is_told(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let mut command = Command::new(["sleep", "3600"]);
    command.timeout = Some(Duration::from_millis(300));
    let outcome = sandbox.exec(&command).await.unwrap().wait().await.unwrap();
    assert_eq!(outcome.status, Status::Killed(KilledBy::TimedOut));
    assert!(outcome.usage.wall >= Duration::from_millis(300), "{outcome:?}");
    let mut command = Command::new(["/bin/sh", "-c", "sleep 0.01; exit 4"]);
    command.timeout = Some(Duration::from_secs(600));
    let outcome = sandbox.exec(&command).await.unwrap().wait().await.unwrap();
    assert_eq!(outcome.status, Status::Code(4), "who is in time is left alone");
}

pub(super) async fn a_time_out_ends_grandchildren(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let line =
        "trap '' TERM; (setsid sleep 777 &); setsid sh -c 'sleep 778 & sleep 779' & sleep 780";
    let mut command = Command::new(["sh", "-c", line]);
    command.timeout = Some(Duration::from_millis(300));
    let outcome = sandbox.exec(&command).await.unwrap().wait().await.unwrap();
    assert_eq!(outcome.status, Status::Killed(KilledBy::TimedOut));
    let left = command_lines(&*sandbox).await;
    assert!(!left.contains("sleep 7"), "{left}");
}

pub(super) async fn a_time_out_spares_other_commands(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let other = sandbox.exec(&Command::new(["sleep", "3"])).await.unwrap();
    let mut command = Command::new(["sh", "-c", "sleep 781 & sleep 782"]);
    command.timeout = Some(Duration::from_millis(200));
    let outcome = sandbox.exec(&command).await.unwrap().wait().await.unwrap();
    assert_eq!(outcome.status, Status::Killed(KilledBy::TimedOut));
    let left = command_lines(&*sandbox).await;
    assert!(!left.contains("sleep 78"), "{left}");
    assert_eq!(other.wait().await.unwrap().status, Status::Code(0));
}

pub(super) async fn memory_is_limited(bench: &Bench) {
    let sandbox = bench.limited(|limits| limits.memory = Some(128 << 20)).await;
    bring_actor(&*sandbox).await;
    let (outcome, _) = run(&*sandbox, actor(["grow", "1024"])).await;
    assert!(outcome.limits_hit.memory, "{outcome:?}");
    assert_eq!(outcome.status, Status::Signal(9));
    assert!(outcome.usage.peak_memory > 64 << 20, "{outcome:?}");
    if !bench.has_cgroups {
        return;
    }
    let (outcome, _) = shell(&*sandbox, "/tmp/actor grow 1024; exit 0").await;
    assert_eq!(outcome.status, Status::Code(0), "only the child is killed");
    assert!(outcome.limits_hit.memory, "and it is said all the same");
    let (outcome, _) = shell(&*sandbox, "true").await;
    assert!(!outcome.limits_hit.memory, "the next command did nothing wrong");
}

pub(super) async fn processes_are_limited(bench: &Bench) {
    let sandbox = bench.limited(|limits| limits.pids = Some(32)).await;
    bring_actor(&*sandbox).await;
    let mut command = actor(["fork", "500"]);
    command.timeout = Some(patient(Duration::from_secs(60)));
    let (outcome, text) = run(&*sandbox, command).await;
    let forked: u32 = text.trim().parse().unwrap();
    assert!((20..=32).contains(&forked), "{forked}");
    if bench.has_cgroups {
        assert!(outcome.limits_hit.pids, "{outcome:?}");
    }
}

pub(super) async fn output_is_limited(bench: &Bench) {
    let sandbox = bench.limited(|limits| limits.output = 1 << 20).await;
    let (command, file) = logged(bench, "echo begin; head -c 5000000 /dev/zero");
    let outcome = sandbox.exec(&command).await.unwrap().wait().await.unwrap();
    assert!(outcome.success());
    assert_eq!(file.metadata().unwrap().len(), 1 << 20);
    assert_eq!(outcome.usage.output_bytes, 5_000_006);
    assert_eq!(outcome.usage.output_dropped, 5_000_006 - (1 << 20));
    let (command, file) = logged(bench, "yes");
    let outcome = sandbox.exec(&command).await.unwrap().wait().await.unwrap();
    assert_eq!(outcome.status, Status::Killed(KilledBy::OutputLimit));
    assert_eq!(file.metadata().unwrap().len(), 1 << 20);
}

pub(super) async fn disk_is_limited_in_memory(bench: &Bench) {
    let mut options = SandboxOptions { upper: Upper::Memory, ..SandboxOptions::default() };
    options.limits.disk = Some(16 << 20);
    let sandbox = bench.sandbox_with(&options).await;
    let (outcome, _) =
        shell(&*sandbox, "for i in 1 2 3; do head -c 8000000 /dev/zero > /tmp/$i; done").await;
    assert!(!outcome.success());
    assert!(outcome.limits_hit.disk, "{outcome:?}");
}

pub(super) async fn disk_is_limited_on_disk(bench: &Bench) {
    let sandbox = bench.limited(|limits| limits.disk = Some(48 << 20)).await;
    let (outcome, _) = shell(&*sandbox, "exec head -c 100000000 /dev/zero > /tmp/large").await;
    assert!(outcome.limits_hit.disk, "one file: {outcome:?}");
    let sandbox = bench.limited(|limits| limits.disk = Some(48 << 20)).await;
    let many = "i=0; while :; do i=$((i+1)); head -c 16000000 /dev/zero > /tmp/$i; sleep 0.1; done";
    let mut command = Command::new(["sh", "-c", many]);
    command.timeout = Some(patient(Duration::from_secs(60)));
    let outcome = sandbox.exec(&command).await.unwrap().wait().await.unwrap();
    assert_eq!(outcome.status, Status::Signal(9));
    assert!(outcome.limits_hit.disk, "many files: {outcome:?}");
    let (outcome, _) = shell(&*sandbox, "true").await;
    assert_eq!(outcome.status, Status::Signal(9), "what comes later is ended at once");
    assert!(outcome.limits_hit.disk, "{outcome:?}");
}

pub(super) async fn cpu_is_limited(bench: &Bench) {
    if !bench.has_cgroups {
        return;
    }
    // So little that a busy machine gives more: it is the limit that holds the command back.
    let sandbox = bench.limited(|limits| limits.cpu_millis = Some(50)).await;
    bring_actor(&*sandbox).await;
    let (outcome, _) = run(&*sandbox, actor(["spin", "200"])).await;
    assert!(!outcome.limits_hit.cpu_throttled.is_zero(), "{outcome:?}");
    assert!(outcome.usage.wall > Duration::from_secs(1), "{outcome:?}");
}

pub(super) async fn a_lifetime_ends_all(bench: &Bench) {
    let options =
        SandboxOptions { lifetime: Some(Duration::from_millis(300)), ..SandboxOptions::default() };
    let sandbox = bench.sandbox_with(&options).await;
    let outcome = sandbox.exec(&Command::new(["sleep", "3600"])).await.unwrap().wait().await;
    assert_eq!(outcome.unwrap().status, Status::Killed(KilledBy::TimedOut));
}
