//! Whose a container or a volume is: a label says which process made it, and so does its name. An
//! image made of a container has its labels, and so has what others make of that image: the label
//! alone proves nothing.

use std::collections::HashMap;

/// The label: `<pid>-<start time>` of the process.
pub(super) const OWNER: &str = "evalrun.owner";

/// This process, told from later ones of the same number, and from those of other machines that use
/// the same daemon.
fn owner() -> String {
    let pid = std::process::id();
    format!("{pid}-{}-{}", start_time(pid).unwrap_or(0), machine())
}

/// Names for what one back-end makes: one process may have several.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { prefix: format!("evalrun-{}-{:08x}-", owner(), rand::random::<u32>()) }
    }

    /// A name that nothing else has.
    pub(super) fn fresh(&self) -> String {
        format!("{}{:016x}", self.prefix, rand::random::<u64>())
    }

    /// Whether it is one of these.
    pub(super) fn has(&self, name: &str) -> bool {
        name.trim_start_matches('/').starts_with(&self.prefix)
    }
}

/// The labels of what this process makes.
pub(super) fn labels() -> HashMap<String, String> {
    HashMap::from([(OWNER.to_owned(), owner())])
}

/// Whether something of this name and these labels was made by an evalrun of this machine that does
/// not run any more.
pub(super) fn is_left_behind(name: &str, labels: Option<&HashMap<String, String>>) -> bool {
    let owner = labels.and_then(|labels| labels.get(OWNER));
    owner.is_some_and(|owner| is_of(name, owner) && !may_live(owner))
}

fn is_of(name: &str, owner: &str) -> bool {
    name.trim_start_matches('/').starts_with(&format!("evalrun-{owner}-"))
}

/// Whether the process still runs, or is none of this machine's.
fn may_live(owner: &str) -> bool {
    let mut parts = owner.splitn(3, '-');
    let (Some(pid), Some(started), Some(on)) = (parts.next(), parts.next(), parts.next()) else {
        return true;
    };
    let (Ok(pid), Ok(started)) = (pid.parse(), started.parse()) else { return true };
    on != machine() || start_time(pid) == Some(started)
}

/// A word for this machine and this view of its processes.
fn machine() -> String {
    let boot = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let view = fs_err::read_link("/proc/self/ns/pid").unwrap_or_default();
    let digest = crate::model::Digest::of(format!("{boot}{}", view.display())).to_string();
    digest[..8].to_owned()
}

/// Field 22 of `/proc/<pid>/stat`, counted behind the last `)`: a name may hold anything.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dead_processes_of_this_machine_made_is_left_behind() {
        let of = |owner: &str| HashMap::from([(OWNER.to_owned(), owner.to_owned())]);
        let (names, others) = (Names::new(), Names::new());
        assert!(names.has(&names.fresh()) && !names.has(&others.fresh()));
        assert!(!is_left_behind(&names.fresh(), Some(&labels())));
        let dead = format!("1-12345-{}", machine());
        assert!(is_left_behind(&format!("/evalrun-{dead}-0"), Some(&of(&dead))));
        assert!(!is_left_behind("/theirs", Some(&of(&dead))), "made of an image of ours");
        assert!(!is_left_behind("/evalrun-1-2-elsewhere-0", Some(&of("1-2-elsewhere"))));
        assert!(!is_left_behind("/evalrun-1-2-x", None));
    }
}
