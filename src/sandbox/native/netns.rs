//! Network namespaces of the zygote's making, used again and again: making one costs half a
//! millisecond, entering one a microsecond. They belong to the zygote's user namespace, so root in
//! a sandbox has no power over them.

use super::den::proc_mount;
use super::proto::{At, Fault};
use super::sys;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::thread::LinkNameSpaceType;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A network namespace.
#[derive(Debug)]
pub(super) struct Netns {
    namespace: OwnedFd,
    /// Its counts of sockets. An open file of this kind tells of the namespace it was opened in.
    sockstat: OwnedFd,
}

/// The zygote's side: what network namespaces are made with, and a few made ahead. All others are with
/// the keeper: what the zygote holds, every sandbox is born with and must close.
pub(super) struct Maker {
    host: Netns,
    /// A sysfs that shows the machine's devices, where the machine allows one.
    host_sysfs: Option<OwnedFd>,
    /// One that shows those of a namespace of nobody's: the same that every other shows. One for
    /// each would make all of them slower to make, the more there are.
    sysfs: Option<OwnedFd>,
    /// That namespace, which goes with its devices when nobody holds it; what shows it does not.
    nobodys: Option<Netns>,
    knobs: Knobs,
    /// Whether this thread has left the machine's namespace.
    left: bool,
    ahead: Vec<Netns>,
}

impl Maker {
    /// One that has made none yet. This thread's own namespace is the machine's.
    pub(super) fn new() -> Result<Self, Fault> {
        Ok(Self {
            host: Netns::current()?,
            host_sysfs: sysfs(),
            sysfs: None,
            nobodys: None,
            knobs: Knobs::default(),
            left: false,
            ahead: Vec::new(),
        })
    }

    /// Enters the machine's own.
    pub(super) fn enter_host(&mut self) -> Result<(), Fault> {
        // Where it was never left it need not, and by an ordinary user cannot, be entered.
        if self.left {
            self.host.enter()?;
        }
        Ok(())
    }

    /// Enters one that was used before.
    pub(super) fn enter(&mut self, netns: &Netns) -> Result<(), Fault> {
        self.left = true;
        self.make_sysfs()?;
        netns.enter()
    }

    /// Enters a new one.
    pub(super) fn enter_new(&mut self) -> Result<Netns, Fault> {
        match self.ahead.pop() {
            Some(netns) => netns.enter().map(|()| netns),
            None => self.make(),
        }
    }

    /// Makes one ahead of need.
    pub(super) fn prepare(&mut self) -> Result<(), Fault> {
        let netns = self.make()?;
        self.ahead.push(netns);
        Ok(())
    }

    /// How many are ready.
    pub(super) fn ready(&self) -> usize {
        self.ahead.len()
    }

    /// The sysfs to show in the machine's namespace, or in one of ours.
    pub(super) fn sysfs(&self, host: bool) -> Option<&OwnedFd> {
        if host { self.host_sysfs.as_ref() } else { self.sysfs.as_ref() }
    }

    fn make_sysfs(&mut self) -> Result<(), Fault> {
        if self.nobodys.is_none() {
            unshare()?;
            self.nobodys = Some(Netns::current()?);
            self.sysfs = sysfs();
        }
        Ok(())
    }

    fn make(&mut self) -> Result<Netns, Fault> {
        self.left = true;
        self.make_sysfs()?;
        unshare()?;
        // What a container's root expects although it has no power over the namespace. Not
        // being able to set it costs no more than that.
        let _ = self.knobs.set("ip_unprivileged_port_start", "0");
        let _ = self.knobs.set("ping_group_range", "0 2147483647");
        Netns::current()
    }
}

/// The keeper's side: those that were used and are free again.
#[derive(Debug, Default)]
pub(super) struct Pool(VecDeque<Netns>);

impl Pool {
    /// How many are looked at for one in which nothing is left.
    const LOOKS: usize = 4;

    /// One in which nothing is left of who used it last. Connections linger in some for a minute:
    /// the next must not meet them.
    pub(super) fn take(&mut self) -> Option<Netns> {
        for _ in 0..Self::LOOKS.min(self.0.len()) {
            let netns = self.0.pop_front()?;
            if netns.is_quiet() {
                return Some(netns);
            }
            self.0.push_back(netns);
        }
        None
    }

    /// Takes one back whose processes are all gone.
    pub(super) fn give_back(&mut self, netns: Netns) {
        self.0.push_back(netns);
    }
}

/// Leaves the namespace that this thread is in for a new one.
fn unshare() -> Result<(), Fault> {
    sys::unshare(libc::CLONE_NEWNET).at("make a network namespace")?;
    sys::loopback_up().at("bring up the loopback device")
}

/// What can be set in the namespace that this thread is in, by a proc of ours. It remembers the
/// files of every namespace by the same names, and finds each by going through all: a new one is
/// mounted now and then.
#[derive(Default)]
struct Knobs {
    proc: Option<OwnedFd>,
    uses: u32,
}

impl Knobs {
    /// How often one proc is used.
    const OFTEN: u32 = 64;

    fn set(&mut self, name: &str, value: &str) -> Result<(), Errno> {
        if self.proc.is_none() || self.uses >= Self::OFTEN {
            self.proc = proc_mount().ok();
            self.uses = 0;
        }
        self.uses += 1;
        let path = format!("sys/net/ipv4/{name}");
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = match &self.proc {
            Some(proc) => openat(proc, path, flags, Mode::empty())?,
            None => openat(CWD, format!("/proc/{path}"), flags, Mode::empty())?,
        };
        rustix::io::write(&file, value.as_bytes()).map(drop)
    }
}

impl Netns {
    /// The one that this thread is in.
    fn current() -> Result<Self, Fault> {
        let open = |path| fs_err::File::open(path).map(|file| file.into_parts().0.into());
        Ok(Self {
            namespace: open("/proc/self/ns/net").at("open the network namespace")?,
            sockstat: open("/proc/self/net/sockstat").at("open the counts of sockets")?,
        })
    }

    fn enter(&self) -> Result<(), Fault> {
        let kind = Some(LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(self.namespace.as_fd(), kind)
            .at("enter a network namespace")
    }

    /// What it takes to have it elsewhere.
    pub(super) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.namespace.as_fd(), self.sockstat.as_fd()]
    }

    /// The same, given away.
    pub(super) fn into_descriptors(self) -> [OwnedFd; 2] {
        [self.namespace, self.sockstat]
    }

    /// One that was elsewhere.
    pub(super) fn from_descriptors([namespace, sockstat]: [OwnedFd; 2]) -> Self {
        Self { namespace, sockstat }
    }

    /// Whether nothing is left in it. Sockets of every family count, and connections of both
    /// versions of IP.
    fn is_quiet(&self) -> bool {
        let mut text = [0; 1024];
        match rustix::io::pread(&self.sockstat, &mut text, 0) {
            Ok(count) => std::str::from_utf8(&text[..count]).is_ok_and(shows_quiet),
            Err(_) => false,
        }
    }
}

/// Orphaned connections and memory are counted for the whole machine, the rest by namespace.
fn shows_quiet(sockstat: &str) -> bool {
    sockstat.lines().all(|line| {
        let mut words = line.split_ascii_whitespace();
        let subject = words.next().unwrap_or("");
        let words: Vec<&str> = words.collect();
        words.chunks_exact(2).all(|pair| {
            let counted =
                matches!((subject, pair[0]), ("sockets:", "used") | (_, "inuse") | ("TCP:", "tw"));
            !counted || pair[1] == "0"
        })
    })
}

/// A read-only sysfs of the namespace this thread is in.
pub(super) fn sysfs() -> Option<OwnedFd> {
    let context = rustix::mount::fsopen("sysfs", FsOpenFlags::FSOPEN_CLOEXEC).ok()?;
    rustix::mount::fsconfig_create(&context).ok()?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lingering_connections_are_seen() {
        let quiet =
            "sockets: used 0\nTCP: inuse 0 orphan 3 tw 0 alloc 9 mem 2\nUDP: inuse 0 mem 0\n";
        assert!(shows_quiet(quiet));
        assert!(!shows_quiet(&quiet.replace("tw 0", "tw 1")));
        assert!(!shows_quiet(&quiet.replace("used 0", "used 1")));
        assert!(!shows_quiet(&quiet.replace("UDP: inuse 0", "UDP: inuse 4")));
        assert!(shows_quiet("TCP6: inuse 0\n"));
        assert!(!shows_quiet("TCP6: inuse 1\n"));
    }
}
