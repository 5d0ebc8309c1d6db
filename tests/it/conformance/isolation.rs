//! What a command can reach, and what it is born with.

use super::bench::{Bench, actor, bring_actor, printed, run, shell};
use evalrun::sandbox::{Network, SandboxOptions};

pub(super) async fn no_network_unless_asked_for(bench: &Bench) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let alone = bench.sandbox().await;
    bring_actor(&*alone).await;
    let (outcome, _) = run(&*alone, actor(["connect", "127.0.0.1", &port])).await;
    assert!(!outcome.success(), "the machine's loopback is not its own");
    // The first ports are root's alone where root inside is an ordinary user outside.
    let own = if bench.has_owners { "80" } else { "8080" };
    let (outcome, text) = run(&*alone, actor(["serve", own])).await;
    assert!(outcome.success(), "its own loopback works: {text}");
    let (_, text) = run(&*alone, actor(["connect", "192.0.2.1", "80"])).await;
    assert!(text.contains("unreachable"), "{text}");
    let host = SandboxOptions { network: Network::Host, ..SandboxOptions::default() };
    let joined = bench.sandbox_with(&host).await;
    bring_actor(&*joined).await;
    let (outcome, text) = run(&*joined, actor(["connect", "127.0.0.1", &port])).await;
    assert!(outcome.success(), "{text}");
}

pub(super) async fn what_a_command_is_born_with(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let status = printed(&*sandbox, "cat /proc/self/status").await;
    for line in [
        "CapBnd:\t00000000a80425fb",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "SigIgn:\t0000000000000000",
        "SigBlk:\t0000000000000000",
    ] {
        assert!(status.contains(line), "{line} in\n{status}");
    }
    assert_eq!(printed(&*sandbox, "ls /proc/self/fd | tr '\\n' ' '").await, "0 1 2 3");
    for file in ["exe", "root", "cwd", "environ", "mem", "fd", "maps"] {
        let line = match file {
            // Where root inside is the machine's, the numbers can be seen, but not what they are of.
            "fd" if bench.backend.name() == "docker" => "readlink /proc/1/fd/*".to_owned(),
            file => format!("cat /proc/1/{file} || ls /proc/1/{file}/"),
        };
        let (outcome, _) = shell(&*sandbox, &line).await;
        assert!(!outcome.success(), "/proc/1/{file} is open");
    }
    let (outcome, text) = shell(&*sandbox, "mount -t tmpfs x /mnt; unshare -U true; chroot /proc/1/root ls; kill -9 1; sleep 0.1; echo still here").await;
    assert!(outcome.success() && text.ends_with("still here\n"), "{text}");
    let leaked = printed(&*sandbox, "cat /proc/self/mountinfo /proc/self/cgroup").await;
    assert!(!leaked.contains("sandbox_under_test"), "{leaked}");
    let groups = printed(&*sandbox, "cut -d: -f3 /proc/self/cgroup | sort -u").await;
    if bench.has_cgroups {
        assert_eq!(groups, "/");
    }
}
