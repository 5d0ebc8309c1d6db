//! Network namespaces of the zygote's making, used again and again: making one costs half a
//! millisecond, entering one a microsecond. They belong to the zygote's user namespace, so root in
//! a sandbox has no power over them.

use super::proto::{At, Fault};
use super::sys;
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::thread::LinkNameSpaceType;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

/// A network namespace.
pub(super) struct Netns {
    namespace: OwnedFd,
    /// A detached sysfs that shows this namespace's devices, where the machine allows one.
    pub(super) sysfs: Option<OwnedFd>,
    /// Its counts of sockets. An open file of this kind tells of the namespace it was opened in.
    sockstat: OwnedFd,
}

/// All that were made, and those of them that are free.
pub(super) struct Pool {
    host: Netns,
    all: Vec<Netns>,
    /// Nothing is left in these of who used them last.
    free: VecDeque<u32>,
    /// In these something is left: connections that linger for a minute.
    lingering: VecDeque<u32>,
}

impl Pool {
    /// A pool with none in it yet. This thread's own namespace is the machine's.
    pub(super) fn new() -> Result<Self, Fault> {
        let host = Netns::current()?;
        Ok(Self { host, all: Vec::new(), free: VecDeque::new(), lingering: VecDeque::new() })
    }

    /// Enters the machine's own.
    pub(super) fn enter_host(&self) -> Result<&Netns, Fault> {
        // Where it was never left it need not, and by an ordinary user cannot, be entered.
        if !self.all.is_empty() {
            enter(&self.host)?;
        }
        Ok(&self.host)
    }

    /// Enters a free one, or a new one.
    pub(super) fn enter(&mut self) -> Result<(u32, &Netns), Fault> {
        if self.free.is_empty()
            && let Some(number) = self.lingering.pop_front()
        {
            self.release(number);
        }
        let number = match self.free.pop_front() {
            Some(number) => {
                enter(self.at(number)?)?;
                number
            }
            None => self.make()?,
        };
        Ok((number, self.at(number)?))
    }

    /// Makes one ahead of need.
    pub(super) fn prepare(&mut self) -> Result<(), Fault> {
        let number = self.make()?;
        self.free.push_back(number);
        Ok(())
    }

    /// How many are free.
    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    /// Takes one back whose processes are all gone. Connections that linger belong to its last user:
    /// the next must not meet them.
    pub(super) fn release(&mut self, number: u32) {
        let known = self.free.contains(&number) || self.lingering.contains(&number);
        match self.at(number) {
            Ok(netns) if !known => match netns.is_quiet() {
                true => self.free.push_back(number),
                false => self.lingering.push_back(number),
            },
            _ => {}
        }
    }

    fn at(&self, number: u32) -> Result<&Netns, Fault> {
        self.all.get(number as usize).ok_or(Errno::NOENT).at("find a network namespace")
    }

    fn make(&mut self) -> Result<u32, Fault> {
        sys::unshare(libc::CLONE_NEWNET).at("make a network namespace")?;
        sys::loopback_up().at("bring up the loopback device")?;
        // What a container's root expects although it has no power over the namespace. Not
        // being able to set it costs no more than that.
        let _ = fs_err::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
        let _ = fs_err::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
        self.all.push(Netns::current()?);
        u32::try_from(self.all.len() - 1).map_err(|_| Errno::OVERFLOW).at("number a namespace")
    }
}

impl Netns {
    /// The one that this thread is in.
    fn current() -> Result<Self, Fault> {
        let open = |path| fs_err::File::open(path).map(|file| file.into_parts().0.into());
        Ok(Self {
            namespace: open("/proc/self/ns/net").at("open the network namespace")?,
            sysfs: sysfs(),
            sockstat: open("/proc/self/net/sockstat").at("open the counts of sockets")?,
        })
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

fn enter(netns: &Netns) -> Result<(), Fault> {
    rustix::thread::move_into_link_name_space(
        netns.namespace.as_fd(),
        Some(LinkNameSpaceType::Network),
    )
    .at("enter a network namespace")
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
