//! What a sandbox's pid 1 does between its birth and its first command, decided as data: limits
//! and properties of the machine in, a list of operations out. The keeper sends the first, the zygote
//! makes the second of it, once for all sandboxes on the same terms. [`super::init`] performs them.

use super::proto::Join;
use serde::{Deserialize, Serialize};

/// One thing that pid 1 does. Paths are relative to the new root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SetupOp {
    /// Writes 0 to the `tasks` files it was given.
    JoinCgroups,
    /// Waits until its ids are mapped, then becomes root inside.
    BecomeRoot,
    /// Makes the cgroup it is in the root of what it sees. After joining: a namespace made before
    /// would show the way from the old cgroup to the new one.
    UnshareCgroups,
    /// Attaches the root that the zygote assembled, and goes there.
    EnterRoot,
    /// Mounts a file system of the kernel.
    Mount {
        /// Its type.
        kind: String,
        /// Where.
        target: String,
        /// Its options.
        options: Vec<(String, String)>,
        /// `MOUNT_ATTR_*`.
        attributes: u64,
    },
    /// Hides a directory behind an empty one, if it is there.
    HideDirectory(String),
    /// Hides a file behind `/dev/null`, if it is there.
    HideFile(String),
    /// Makes a directory read-only, if it is there.
    ReadOnly(String),
    /// Leaves the old root for good.
    PivotRoot,
    /// Names the machine it sees.
    Hostname(String),
    /// Sets a resource limit.
    Rlimit {
        /// Which.
        resource: Rlimit,
        /// Soft limit.
        soft: u64,
        /// Hard limit, lowered to what is allowed.
        hard: u64,
    },
    /// Gives up, for good, all capabilities but these.
    KeepCapabilities(u64),
    /// Set-user-id programs give nothing any more.
    NoNewPrivileges,
    /// Keeps its socket as descriptor 3 and `/dev/null` as 0, 1 and 2, closes all others.
    CloseDescriptors,
    /// Dies when the zygote does. Late: a change of credentials takes this back.
    DieWithParent,
    /// Nobody inside may look into pid 1 or trace it.
    Undumpable,
    /// Loads the filter of system calls.
    FilterCalls {
        /// Root is the only user there is, and pid 1 answers for what needs others.
        one_user: bool,
    },
}

/// Resource limits that are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rlimit {
    /// Size of core dumps.
    Core,
    /// Number of a process's descriptors.
    Files,
    /// Size of a file.
    FileSize,
    /// Processes of a user inside.
    Processes,
}

/// What a setup depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    /// Limits: memory in bytes, processes, bytes on disk.
    pub(super) memory: Option<u64>,
    pub(super) pids: Option<u32>,
    pub(super) disk: Option<u64>,
    /// More than one id is mapped.
    pub(super) many_ids: bool,
    /// How it joins cgroups.
    pub(super) join: Join,
    /// The name of the machine it sees.
    pub(super) hostname: String,
}

/// Docker's default capabilities.
pub(super) const CAPABILITIES: u64 = bit(0) // CHOWN
    | bit(1) // DAC_OVERRIDE
    | bit(3) // FOWNER
    | bit(4) // FSETID
    | bit(5) // KILL
    | bit(6) // SETGID
    | bit(7) // SETUID
    | bit(8) // SETPCAP
    | bit(10) // NET_BIND_SERVICE
    | bit(13) // NET_RAW
    | bit(18) // SYS_CHROOT
    | bit(27) // MKNOD
    | bit(29) // AUDIT_WRITE
    | bit(31); // SETFCAP

const fn bit(capability: u32) -> u64 {
    1 << capability
}

/// What Docker hides: directories.
const HIDDEN_DIRECTORIES: [&str; 5] =
    ["proc/acpi", "proc/asound", "proc/scsi", "sys/firmware", "sys/devices/virtual/powercap"];
/// What Docker hides: files. And locks of the machine's that belong to no process, which are listed
/// everywhere.
const HIDDEN_FILES: [&str; 8] = [
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/locks",
    "proc/sched_debug",
    "proc/timer_list",
    "proc/timer_stats",
];
/// What Docker makes read-only.
const READ_ONLY: [&str; 5] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"];

const OPEN_FILES: u64 = 1 << 20;
const SHARED_MEMORY: u64 = 1 << 30;

/// The operations for a sandbox on these terms.
pub(super) fn plan(terms: &Terms) -> Vec<SetupOp> {
    use SetupOp::{
        BecomeRoot, CloseDescriptors, DieWithParent, EnterRoot, FilterCalls, HideDirectory,
        HideFile, Hostname, JoinCgroups, KeepCapabilities, NoNewPrivileges, PivotRoot, ReadOnly,
        Undumpable, UnshareCgroups,
    };
    let mut ops = Vec::with_capacity(48);
    if matches!(terms.join, Join::Tasks(_)) {
        ops.push(JoinCgroups);
    }
    ops.push(BecomeRoot);
    // Without a cgroup of its own too: else it would see where its keeper is.
    ops.push(UnshareCgroups);
    ops.push(EnterRoot);
    ops.extend(mounts(terms));
    ops.extend(HIDDEN_DIRECTORIES.map(|path| HideDirectory(path.to_owned())));
    ops.extend(HIDDEN_FILES.map(|path| HideFile(path.to_owned())));
    ops.extend(READ_ONLY.map(|path| ReadOnly(path.to_owned())));
    ops.extend([PivotRoot, Hostname(terms.hostname.clone())]);
    ops.extend(rlimits(terms));
    // The order of the last ones is the kernel's: what comes later is undone by what comes before,
    // or needs what the next takes away.
    ops.extend([
        KeepCapabilities(CAPABILITIES),
        NoNewPrivileges,
        CloseDescriptors,
        DieWithParent,
        Undumpable,
        FilterCalls { one_user: !terms.many_ids },
    ]);
    ops
}

fn mounts(terms: &Terms) -> Vec<SetupOp> {
    let quiet = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;
    let mut terminals = vec![("ptmxmode", "0666".to_owned()), ("mode", "0620".to_owned())];
    if terms.many_ids {
        terminals.push(("gid", "5".to_owned())); // tty
    }
    // Shared memory counts as memory: a file system as large as the limit would turn "no space
    // left" into a killed process.
    let shared = terms.memory.map_or(SHARED_MEMORY, |memory| (memory / 2).min(SHARED_MEMORY));
    let shared = vec![("mode", "1777".to_owned()), ("size", shared.to_string())];
    let no_devices = quiet | libc::MOUNT_ATTR_NODEV;
    [
        ("devpts", "dev/pts", terminals, quiet),
        ("tmpfs", "dev/shm", shared, no_devices),
        ("proc", "proc", Vec::new(), no_devices),
    ]
    .into_iter()
    .map(|(kind, target, options, attributes)| SetupOp::Mount {
        kind: kind.to_owned(),
        target: target.to_owned(),
        options: options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        attributes,
    })
    .collect()
}

fn rlimits(terms: &Terms) -> Vec<SetupOp> {
    let limit = |resource, value| SetupOp::Rlimit { resource, soft: value, hard: value };
    let mut ops = vec![limit(Rlimit::Core, 0), limit(Rlimit::Files, OPEN_FILES)];
    if let Some(disk) = terms.disk {
        ops.push(limit(Rlimit::FileSize, disk));
    }
    if let (Join::None, Some(pids)) = (terms.join, terms.pids) {
        // Counted by user and user namespace, and each sandbox has a user namespace of its own.
        ops.push(limit(Rlimit::Processes, pids.into()));
    }
    ops
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        Terms {
            memory: None,
            pids: None,
            disk: None,
            many_ids: true,
            join: Join::Born,
            hostname: "box".to_owned(),
        }
    }

    fn position(ops: &[SetupOp], wanted: impl Fn(&SetupOp) -> bool) -> usize {
        ops.iter().position(wanted).unwrap()
    }

    #[test]
    fn the_order_is_the_one_the_kernel_needs() {
        let ops = plan(&Terms { join: Join::Tasks(3), ..terms() });
        let at = |op: SetupOp| position(&ops, |other| *other == op);
        assert!(at(SetupOp::JoinCgroups) < at(SetupOp::UnshareCgroups));
        assert!(at(SetupOp::BecomeRoot) < at(SetupOp::EnterRoot));
        let proc = position(&ops, |op| matches!(op, SetupOp::Mount { kind, .. } if kind == "proc"));
        assert!(proc < at(SetupOp::HideFile("proc/kcore".to_owned())));
        assert!(proc < at(SetupOp::PivotRoot), "proc needs the zygote's own in view");
        assert!(at(SetupOp::KeepCapabilities(CAPABILITIES)) < at(SetupOp::DieWithParent));
        assert_eq!(at(SetupOp::FilterCalls { one_user: false }), ops.len() - 1);
    }

    #[test]
    fn without_cgroups_processes_are_limited_by_the_user_namespace() {
        let join = Join::None;
        let alone = Terms { pids: Some(7), many_ids: false, join, ..terms() };
        let ops = plan(&alone);
        let wanted = SetupOp::Rlimit { resource: Rlimit::Processes, soft: 7, hard: 7 };
        assert!(ops.contains(&wanted));
        assert!(ops.contains(&SetupOp::UnshareCgroups));
    }
}
