//! What this machine can do for sandboxes, for `evalrun doctor`.

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

/// Looks at everything that sandboxes need of this machine.
#[must_use]
pub fn probe() -> Vec<Probe> {
    vec![kernel(), user_namespaces()]
}

fn kernel() -> Probe {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let ok = version >= (6, 7);
    let remedy = (!ok).then(|| "use a kernel from 6.7 on, or `--backend docker`".to_owned());
    Probe { name: "kernel", ok, detail: release, remedy }
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
