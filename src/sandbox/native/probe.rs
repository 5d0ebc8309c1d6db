//! What this machine can do for sandboxes, for `evalrun doctor`.

use super::cgroup::Cgroups;
use crate::sandbox::Limits;
use std::path::Path;
use std::time::{Duration, Instant};

/// One property of the machine.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Probe {
    /// What was looked at.
    pub name: &'static str,
    /// It is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What would mend it, where it is not.
    pub remedy: Option<String>,
    /// How long its use takes, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took: Option<Duration>,
}

/// Looks at what sandboxes need of this machine. What no look can tell, such as whether a file
/// system takes id-mapped mounts, shows when a sandbox is made.
#[must_use]
pub fn probe() -> Vec<Probe> {
    vec![kernel(), user_namespaces(), overlay(), seccomp(), process_descriptors(), cgroups()]
}

/// Older ones have no way to do what sandboxes need, or were never tried; what newer ones have
/// besides is tried by the zygote (see [`super::ways`]).
const OLDEST: (u32, u32) = (6, 1);

fn kernel() -> Probe {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let ok = version(&release) >= OLDEST;
    let (major, minor) = OLDEST;
    let remedy = (!ok).then(|| format!("a kernel from {major}.{minor} on, or --backend docker"));
    Probe { name: "kernel", ok, detail: release, remedy, took: None }
}

fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn found(name: &'static str, ok: bool, remedy: &str) -> Probe {
    Probe {
        name,
        ok,
        detail: if ok { "available" } else { "missing" }.to_owned(),
        remedy: (!ok).then(|| remedy.to_owned()),
        took: None,
    }
}

fn overlay() -> Probe {
    let list = fs_err::read_to_string("/proc/filesystems").unwrap_or_default();
    // As a module it is loaded when it is first used, and listed only then.
    let loaded = list.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay");
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let module = format!("/lib/modules/{release}/kernel/fs/overlayfs");
    let ok = loaded || fs_err::metadata(module).is_ok();
    found("overlayfs", ok, "modprobe overlay, or a kernel with CONFIG_OVERLAY_FS")
}

fn seccomp() -> Probe {
    let actions = fs_err::read_to_string("/proc/sys/kernel/seccomp/actions_avail");
    let ok = actions.is_ok_and(|actions| actions.split_whitespace().any(|one| one == "errno"));
    found("seccomp", ok, "a kernel with CONFIG_SECCOMP_FILTER")
}

fn process_descriptors() -> Probe {
    let own = rustix::process::getpid();
    let ok = rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty()).is_ok();
    found("process descriptors", ok, "a kernel from 5.3 on")
}

/// Sandboxes can do without, with limits watched instead of enforced.
fn cgroups() -> Probe {
    let name = super::leftovers::own_name().unwrap_or_else(|_| "probe".to_owned());
    let cgroups = Cgroups::find(&format!("{name}-probe"));
    let took = (cgroups.version() != 0).then(|| made_and_removed(&cgroups)).flatten();
    let place = cgroups.base().map(Path::to_owned);
    cgroups.remove();
    let detail = match (cgroups.version(), cgroups.missing.is_empty()) {
        (0, _) => format!(
            "none may be made here: memory is watched, processes are limited by user ({})",
            cgroups.missing.first().map_or("", String::as_str)
        ),
        (version, true) => format!("version {version}, with memory, processes and CPU"),
        (version, false) => format!("version {version}; {}", cgroups.missing.join("; ")),
    };
    let joined = match cgroups.version() {
        2 => ", born inside",
        1 => ", joined by writing to `tasks`",
        _ => "",
    };
    let place = place.map_or(String::new(), |place| format!(", in {}", place.display()));
    let took_text = took.map_or(String::new(), |took| format!(", {} µs each", took.as_micros()));
    let detail = format!("{detail}{place}{joined}{took_text}");
    let remedy = (cgroups.version() == 0)
        .then(|| "systemd-run --user --scope -p Delegate=yes evalrun …".to_owned());
    Probe { name: "cgroups", ok: true, detail, remedy, took }
}

/// How long it takes to make, limit and remove the cgroups of a sandbox.
fn made_and_removed(cgroups: &Cgroups) -> Option<Duration> {
    const ROUNDS: u32 = 16;
    let started = Instant::now();
    for round in 0..ROUNDS {
        cgroups.make(&format!("probe-{round}"), &Limits::default()).ok()?.remove();
    }
    Some(started.elapsed() / ROUNDS)
}

fn user_namespaces() -> Probe {
    let number = |path: &str| {
        fs_err::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok())
    };
    let (ok, detail, remedy) = if number("/proc/sys/user/max_user_namespaces") == Some(0) {
        (false, "none may be made", Some("sysctl user.max_user_namespaces=10000"))
    } else if rustix::process::geteuid().is_root() {
        (true, "permitted", None)
    } else if number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        (false, "forbidden to ordinary users", Some("sysctl kernel.unprivileged_userns_clone=1"))
    } else if number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        (
            false,
            "restricted by AppArmor",
            Some("sysctl kernel.apparmor_restrict_unprivileged_userns=0, or run as root"),
        )
    } else {
        (true, "permitted", None)
    };
    Probe {
        name: "user namespaces",
        ok,
        detail: detail.to_owned(),
        remedy: remedy.map(str::to_owned),
        took: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        assert!(version("6.18.44-fc") > version("6.2.0-33-generic"));
        assert!(version("7.0-rc1") > OLDEST);
        assert_eq!(version("nonsense"), (0, 0));
    }
}
