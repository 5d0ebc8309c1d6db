//! Cgroups of version 2: one tree, whose controllers must be handed down level by level, and only
//! from cgroups that have no processes of their own.

use super::{Counters, Facts, Limited, Names, Trees, keyed_in, number_in, write_if_there};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Length of the period that CPU time is measured out in, in microseconds.
const PERIOD: u64 = 100_000;
/// Where this process goes when its own cgroup is to hand down controllers.
const ASIDE: &str = "evalrun.main";

/// Where this process is in the tree, and the cgroups above it as far as they are in view, nearest
/// first.
fn places() -> Option<Vec<PathBuf>> {
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").ok()?;
    let own = fs_err::read_to_string("/proc/self/cgroup").ok()?;
    let (point, own) = place(&mounts, &own)?;
    Some(own.ancestors().take_while(|path| path.starts_with(&point)).map(Path::to_owned).collect())
}

/// Where the tree is mounted, and this process's own place in it.
fn place(mounts: &str, own: &str) -> Option<(PathBuf, PathBuf)> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let own = Path::new(own);
    // A process that went aside before belongs one level up.
    let own = if own.ends_with(ASIDE) { own.parent()? } else { own };
    mounts.lines().find_map(|line| {
        let (left, _) = line.split_once(" - cgroup2 ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let [_, _, _, root, point, ..] = left[..] else { return None };
        let point = PathBuf::from(point);
        // A mount of another part of the tree shows nothing of ours.
        let inner = own.strip_prefix(root).ok()?;
        let own = point.join(inner);
        Some((point, own))
    })
}

/// Directories that cgroups of evalrun processes may be in.
pub(super) fn bases() -> Vec<PathBuf> {
    places().unwrap_or_default()
}

/// Makes a directory of this name with controllers, as near to this process's own place as it may:
/// limits on what is above it are to hold for sandboxes too. Else says why not.
pub(super) fn find(name: &str) -> Result<Trees, String> {
    let places = places().ok_or("cgroup v2 is not mounted")?;
    let mut why = Vec::new();
    for base in &places {
        match establish(base, base == &places[0], name) {
            Ok(trees) => return Ok(trees),
            Err(error) => why.push(error.to_string()),
        }
    }
    why.dedup();
    Err(why.join("; "))
}

fn establish(base: &Path, is_own: bool, name: &str) -> io::Result<Trees> {
    // Nobody else goes aside, or comes back, at the same time.
    let _lock = lock(base)?;
    if !lists(base, "cgroup.controllers", "memory") {
        let why = format!("{} has no memory controller", base.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    hand_down(base).or_else(|error| {
        let busy = error.kind() == io::ErrorKind::ResourceBusy;
        if !(is_own && busy && is_ours(base)) {
            return Err(error);
        }
        move_all(base, &base.join(ASIDE))?;
        hand_down(base)
    })?;
    let directory = base.join(name);
    match fs_err::create_dir(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    hand_down(&directory)?;
    let has = |controller: &str| {
        lists(&directory, "cgroup.subtree_control", controller).then(|| directory.clone())
    };
    Ok(Trees { version: 2, memory: has("memory"), pids: has("pids"), cpu: has("cpu") })
}

/// Has this cgroup to itself, among evalrun processes, until it is dropped. Anybody who may see the
/// directory may lock it, so nobody waits for long.
fn lock(directory: &Path) -> io::Result<fs_err::File> {
    let file = fs_err::File::open(directory)?;
    for _ in 0..100 {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(10)),
            other => return other.map(|()| file).map_err(io::Error::from),
        }
    }
    Ok(file)
}

/// Whether a list of controllers names this one.
fn lists(directory: &Path, file: &str, controller: &str) -> bool {
    fs_err::read_to_string(directory.join(file))
        .is_ok_and(|list| list.split_whitespace().any(|one| one == controller))
}

/// Lets the cgroups below have the controllers. Memory must be among them.
fn hand_down(directory: &Path) -> io::Result<()> {
    let list = "cgroup.subtree_control";
    for controller in ["pids", "cpu", "memory"] {
        if lists(directory, list, controller) {
            continue;
        }
        let given = fs_err::write(directory.join(list), format!("+{controller}"));
        // Without the others their limits are reported as missing.
        if controller == "memory" {
            given?;
        }
    }
    Ok(())
}

/// Whether the processes of our own cgroup may be moved about in it: it has been delegated, is the
/// top of what a container sees, belongs to this user, or has no other process.
fn is_ours(directory: &Path) -> bool {
    let procs = fs_err::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    let delegated = ["user.delegate", "trusted.delegate"]
        .iter()
        .any(|name| xattr::get(directory, name).is_ok_and(|value| value.as_deref() == Some(b"1")));
    let is_top = fs_err::metadata(directory.join("cgroup.type")).is_ok()
        && directory.parent().is_none_or(|above| !above.join("cgroup.procs").exists());
    let user = rustix::process::geteuid();
    let belongs = !user.is_root()
        && rustix::fs::stat(directory).is_ok_and(|stat| stat.st_uid == user.as_raw());
    delegated || is_top || belongs || procs.trim() == std::process::id().to_string()
}

/// Moves every process of a cgroup to another one, which is made if it is not there.
fn move_all(from: &Path, to: &Path) -> io::Result<()> {
    match fs_err::create_dir(to) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Those that are born meanwhile come with the next round.
    for _ in 0..10 {
        let procs = fs_err::read_to_string(from.join("cgroup.procs"))?;
        if procs.is_empty() {
            break;
        }
        for pid in procs.lines() {
            match fs_err::write(to.join("cgroup.procs"), pid) {
                // It has ended.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                other => other?,
            }
        }
    }
    Ok(())
}

/// Takes back, after our own directory is gone, what was done to the cgroup it was in, unless
/// another evalrun process is at work there.
pub(super) fn restore(base: &Path) -> io::Result<()> {
    let _lock = lock(base)?;
    let aside = base.join(ASIDE);
    if !aside.exists() {
        return Ok(());
    }
    for entry in fs_err::read_dir(base)?.flatten() {
        if entry.file_type()?.is_dir() && entry.path() != aside {
            return Ok(());
        }
    }
    for controller in ["memory", "cpu", "pids"] {
        if lists(base, "cgroup.subtree_control", controller) {
            fs_err::write(base.join("cgroup.subtree_control"), format!("-{controller}"))?;
        }
    }
    move_all(&aside, base)?;
    fs_err::remove_dir(aside)
}

/// Whether what is in a cgroup can be frozen.
pub(super) fn can_freeze(directory: &Path) -> bool {
    fs_err::metadata(directory.join("cgroup.freeze")).is_ok()
}

pub(super) fn freeze(directory: &Path, freeze: bool) -> io::Result<()> {
    fs_err::write(directory.join("cgroup.freeze"), if freeze { "1" } else { "0" })
}

pub(super) fn is_frozen(directory: &Path) -> bool {
    let events = fs_err::read_to_string(directory.join("cgroup.events")).unwrap_or_default();
    super::keyed(&events, "frozen") == Some(1)
}

pub(super) fn limit(trees: &Trees, limits: &Limited) -> io::Result<()> {
    if let (Some(directory), Some(memory)) = (&trees.memory, limits.memory) {
        write_if_there(&directory.join("memory.max"), &memory.to_string())?;
        write_if_there(&directory.join("memory.swap.max"), "0")?;
    }
    if let (Some(directory), Some(pids)) = (&trees.pids, limits.pids) {
        // Pid 1 is ours, and does not count.
        write_if_there(&directory.join("pids.max"), &(u64::from(pids) + 1).to_string())?;
    }
    if let (Some(directory), Some(millis)) = (&trees.cpu, limits.cpu_millis) {
        let quota = (u64::from(millis) * PERIOD / 1000).max(1000);
        write_if_there(&directory.join("cpu.max"), &format!("{quota} {PERIOD}"))?;
    }
    Ok(())
}

pub(super) const NAMES: Names =
    Names { memory: "memory.current", peak: "memory.peak", oom: "memory.events" };

pub(super) fn facts(counters: &Counters, limited: &Limited) -> Facts {
    let throttled = counters.throttled.as_ref().filter(|_| limited.cpu_millis.is_some());
    Facts {
        oom_kills: keyed_in(counters.oom.as_ref(), "oom_kill"),
        forks_refused: keyed_in(counters.refused.as_ref(), "max"),
        throttled: Duration::from_micros(keyed_in(throttled, "throttled_usec")),
        peak_memory: number_in(counters.peak.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(mounts: &str, own: &str) -> Option<(String, String)> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        place(mounts, own).map(|(point, own)| (text(point), text(own)))
    }

    #[test]
    fn the_own_place_is_found_in_what_is_mounted() {
        let mount =
            |root: &str| format!("30 23 0:26 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        let found = |own: &str| Some(("/sys/fs/cgroup".to_owned(), format!("/sys/fs/cgroup{own}")));
        assert_eq!(placed(&mount("/"), "0::/a/b\n"), found("/a/b"));
        assert_eq!(placed(&mount("/a"), "0::/a/b\n"), found("/b"));
        assert_eq!(placed(&mount("/"), "1:memory:/x\n0::/a/evalrun.main\n"), found("/a"));
        assert_eq!(placed(&mount("/c"), "0::/a/b\n"), None, "another part of the tree");
        assert_eq!(placed("", "0::/a\n"), None);
    }
}
