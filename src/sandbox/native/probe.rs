//! What this machine can do for sandboxes, for `evalrun doctor`.

use super::cgroup::Cgroups;

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
}

/// Looks at what sandboxes need of this machine. What no look can tell, such as whether a file
/// system takes id-mapped mounts, shows when a sandbox is made.
#[must_use]
pub fn probe() -> Vec<Probe> {
    vec![kernel(), user_namespaces(), overlay(), seccomp(), process_descriptors(), cgroups()]
}

/// Mounts are assembled detached and shifted, which older kernels refuse.
const OLDEST: (u32, u32) = (6, 15);

fn kernel() -> Probe {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let ok = version(&release) >= OLDEST;
    let (major, minor) = OLDEST;
    let remedy =
        (!ok).then(|| format!("a kernel from {major}.{minor} on, or the `docker` back-end"));
    Probe { name: "kernel", ok, detail: release, remedy }
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
    cgroups.remove();
    let detail = match (cgroups.version(), cgroups.missing.is_empty()) {
        (0, _) => {
            "none may be made here: memory is watched, processes are limited by user".to_owned()
        }
        (version, true) => format!("version {version}, with memory, processes and CPU"),
        (version, false) => format!("version {version}; {}", cgroups.missing.join("; ")),
    };
    let remedy = (cgroups.version() == 0)
        .then(|| "systemd-run --user --scope -p Delegate=yes evalrun …".to_owned());
    Probe { name: "cgroups", ok: true, detail, remedy }
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
