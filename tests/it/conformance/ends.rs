//! Ends: asked for, by dropping, of many at once; and that nothing is left.

use super::bench::{Bench, printed, shell};
use evalrun::model::{KilledBy, Status};
use evalrun::sandbox::{Command, Network, SandboxError, SandboxOptions, Upper};

pub(super) async fn the_end(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let process = sandbox.exec(&Command::new(["sleep", "60"])).await.unwrap();
    let (usage, outcome) = tokio::join!(sandbox.terminate(), process.wait());
    usage.unwrap();
    assert_eq!(outcome.unwrap().status, Status::Killed(KilledBy::Cancelled));
    sandbox.terminate().await.unwrap();
    assert!(matches!(sandbox.exec(&Command::new(["true"])).await, Err(SandboxError::Gone)));
}

pub(super) async fn many_commands_at_once(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let each = (0..30).map(|number| {
        let sandbox = sandbox.clone();
        tokio::spawn(async move {
            let line = format!("sleep 0.2; echo {number}; exit {number}");
            let (outcome, text) = shell(&*sandbox, &line).await;
            assert_eq!(outcome.status, Status::Code(number));
            assert_eq!(text, format!("{number}\n"));
        })
    });
    for task in each.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

pub(super) async fn two_hundred_at_once(bench: &Bench) {
    let backend = &bench.backend;
    let image = bench.image;
    let each = (0..200).map(|number| {
        let (backend, options) = (backend.clone(), bench.marked(SandboxOptions::default()));
        tokio::spawn(async move {
            let sandbox = backend.create(&image, &options).await.unwrap();
            let text =
                printed(&*sandbox, &format!("echo {number} > /own; sleep 1; cat /own")).await;
            assert_eq!(text, number.to_string());
        })
    });
    for task in each.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    bench.backend.close().await;
    bench.no_leaks();
}

pub(super) async fn nothing_is_left_on_the_machine(bench: &Bench) {
    let mounts = || fs_err::read_to_string("/proc/self/mountinfo").unwrap();
    let own = |text: String| {
        let home = bench.home.path().to_str().unwrap().to_owned();
        text.lines().filter(|line| line.contains(&home)).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = own(mounts());
    let marked = format!("sleep 600.{}", std::process::id());
    let host = SandboxOptions { network: Network::Host, ..SandboxOptions::default() };
    let memory = SandboxOptions { upper: Upper::Memory, ..SandboxOptions::default() };
    for options in [SandboxOptions::default(), host, memory] {
        let dropped = bench.sandbox_with(&options).await;
        let line = format!("setsid {marked} > /dev/null & mkdir -p /a/b; chmod 0 /a");
        printed(&*dropped, &line).await;
        drop(dropped);
        let idle = bench.sandbox_with(&options).await;
        drop(idle);
    }
    bench.backend.close().await;
    assert_eq!(own(mounts()), before);
    let alive = std::process::Command::new("pgrep").args(["-f", &format!("^{marked}")]).output();
    assert_eq!(String::from_utf8_lossy(&alive.unwrap().stdout), "");
    bench.no_leaks();
}
