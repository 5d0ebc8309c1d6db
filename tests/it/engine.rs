//! What the native back-end does to be fast, and what must hold all the same: what is used again
//! keeps nothing of its last user, what is made ahead is what was asked for, what dies is replaced.
//!
//! Needs the machine's root or unprivileged user namespaces, as the conformance suite does.

use crate::conformance::bench::{Bench, printed, scratch};
use evalrun::layers::Store;
use evalrun::model::Status;
use evalrun::sandbox::native::{NativeBackend, NativeOptions};
use evalrun::sandbox::{Command, Limits, SandboxOptions, Upper};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

fn zygotes() -> Vec<i32> {
    let own = std::process::id().to_string();
    let entries = fs_err::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        let command = fs_err::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        parent == Some(own.as_str()) && command.starts_with(b"evalrun-zygote")
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zygote_that_died_is_replaced() {
    let Some(bench) = Bench::native("engine").await else { return };
    let sandbox = bench.sandbox().await;
    // Tests beside this one have zygotes too: ours is the one that this command descends from.
    let mark = format!("60.{}", std::process::id());
    let process = sandbox.exec(&Command::new(["sleep", &mark])).await.unwrap();
    let ours = zygotes().into_iter().find(|pid| has_grandchild(*pid, &mark)).unwrap();
    let pid = rustix::process::Pid::from_raw(ours).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(60), process.wait()).await;
    assert!(waited.expect("no hang").is_err(), "it is trouble of ours");
    assert!(sandbox.exec(&Command::new(["true"])).await.is_err());
    sandbox.terminate().await.unwrap();
    let next = bench.sandbox().await;
    assert_eq!(printed(&*next, "echo here").await, "here");
    next.terminate().await.unwrap();
    bench.backend.close().await;
    bench.no_leaks();
}

/// Whether a grandchild of this process was started with this argument.
fn has_grandchild(zygote: i32, argument: &str) -> bool {
    let children = |pid: &str| {
        fs_err::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default()
    };
    children(&zygote.to_string()).split_whitespace().any(|init| {
        children(init).split_whitespace().any(|pid| {
            let command = fs_err::read_to_string(format!("/proc/{pid}/cmdline"));
            command.is_ok_and(|command| command.split('\0').any(|word| word == argument))
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_ahead_is_what_was_asked_for_and_goes_with_the_back_end() {
    let Some(bench) = Bench::native("engine").await else { return };
    for upper in [Upper::Memory, Upper::Disk] {
        let options = SandboxOptions { upper, ..SandboxOptions::default() };
        bench.backend.make_ready(&bench.image, &options, 2).await.unwrap();
        // Environment and lifetime are given when it is handed over.
        let mut asked = options.clone();
        asked.env.insert("GIVEN".to_owned(), "late".to_owned());
        asked.lifetime = Some(Duration::from_millis(300));
        let sandbox = bench.sandbox_with(&asked).await;
        assert_eq!(printed(&*sandbox, "echo $GIVEN; echo > /written").await, "late");
        let process = sandbox.exec(&Command::new(["sleep", "600"])).await.unwrap();
        let outcome = process.wait().await.unwrap();
        assert!(matches!(outcome.status, Status::Killed(_)), "{outcome:?}");
        sandbox.terminate().await.unwrap();
        let second = bench.sandbox_with(&options).await;
        assert_eq!(printed(&*second, "test -e /written || echo clean").await, "clean");
        // Another kind is made when it is asked for.
        let limits = Limits { pids: Some(77), ..Limits::default() };
        let other = bench.sandbox_with(&SandboxOptions { limits, ..options.clone() }).await;
        assert_eq!(printed(&*other, "echo other").await, "other");
        bench.backend.make_ready(&bench.image, &options, 3).await.unwrap();
        bench.backend.make_ready(&bench.image, &options, 0).await.unwrap();
        bench.backend.make_ready(&bench.image, &options, 1).await.unwrap();
    }
    bench.backend.close().await;
    bench.no_leaks();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_again_holds_nothing_against_the_next() {
    let Some(bench) = Bench::native("engine").await else { return };
    if !bench.has_cgroups {
        eprintln!("skipped, needs cgroups");
        return;
    }
    let limits = Limits { memory: Some(64 << 20), pids: Some(24), ..Limits::default() };
    let options = SandboxOptions { limits, upper: Upper::Memory, ..SandboxOptions::default() };
    for _ in 0..3 {
        let sandbox = bench.sandbox_with(&options).await;
        let quiet = sandbox.exec(&Command::new(["true"])).await.unwrap().wait().await.unwrap();
        assert!(quiet.success() && !quiet.limits_hit.memory && !quiet.limits_hit.pids, "{quiet:?}");
        assert!(quiet.usage.peak_memory < 48 << 20, "{quiet:?}");
        let hungry = "head -c 200000000 /dev/zero | tail > /dev/null";
        let hungry = Command::new(["sh", "-c", hungry]);
        let outcome = sandbox.exec(&hungry).await.unwrap().wait().await.unwrap();
        assert!(outcome.limits_hit.memory, "{outcome:?}");
        let many = "for i in $(seq 40); do sleep 5 & done; wait";
        let mut many = Command::new(["sh", "-c", many]);
        many.timeout = Some(Duration::from_secs(20));
        let outcome = sandbox.exec(&many).await.unwrap().wait().await.unwrap();
        assert!(outcome.limits_hit.pids, "{outcome:?}");
        sandbox.terminate().await.unwrap();
    }
    bench.backend.close().await;
    bench.no_leaks();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_is_none_is_named() {
    let home = tempfile::tempdir_in(scratch()).unwrap();
    let store = Store::open(home.path()).unwrap();
    let options = NativeOptions { helper: Some("/bin/true".into()), ..NativeOptions::default() };
    let error = NativeBackend::new(store, options).err().expect("it cannot be started from that");
    assert!(error.to_string().contains("/bin/true"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_program_takes_the_place_of_a_small_one_of_another_build() {
    let Some(_possible) = Bench::native("engine").await else { return };
    let home = tempfile::tempdir_in(scratch()).unwrap();
    let evalrun = home.path().join("evalrun");
    fs_err::copy(env!("CARGO_BIN_EXE_evalrun"), &evalrun).unwrap();
    let small = home.path().join("evalrun-zygote");
    fs_err::write(&small, "#!/bin/sh\nexit 0\n").unwrap();
    fs_err::set_permissions(&small, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = std::process::Command::new(evalrun);
    command.args(["bench", "sandbox", "--part", "serial", "--rounds", "1", "--form", "native"]);
    command.args(["--against", "posix_spawn", "--json", "--home"]).arg(home.path().join("cache"));
    let output = command.env_remove("EVALRUN_HELPER").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let found: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    assert!(found["native"]["p50_ms"].as_f64().is_some_and(|time| time > 0.0), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loopback_device_is_shown_and_no_other() {
    let Some(bench) = Bench::native("engine").await else { return };
    // Where there is no sysfs to be had, nothing is shown.
    let seen = "if [ -d /sys/class ]; then ls /sys/class/net; else echo lo; fi";
    for _ in 0..3 {
        let sandbox = bench.sandbox().await;
        assert_eq!(printed(&*sandbox, seen).await, "lo");
        sandbox.terminate().await.unwrap();
    }
    bench.backend.close().await;
}
