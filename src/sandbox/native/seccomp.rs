//! Which system calls a sandbox may make: Docker's default rules, as a filter that finds the rule
//! by binary search. Loading a filter costs the kernel time in proportion to its length walked, so
//! the search makes it ten times cheaper to load than a list of comparisons.
//!
//! Calls newer than those reviewed here are answered with "not implemented", which libraries take
//! as an old kernel; forbidden ones with "not permitted".

use super::sys::Instruction;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The newest call that was reviewed; the numbers from 424 on are the same on every machine.
const NEWEST: u32 = 466; // removexattrat
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// What a call is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Allow,
    Refuse(u16),
    /// By the flags in the first argument: no new namespaces.
    Clone,
    /// By the address family, and the protocol of `AF_NETLINK`.
    Socket,
    /// By the process in the first argument: not pid 1, which keeps account of the others.
    NotFirst,
    /// By the process in the second argument likewise; nor those of a user, whom the first argument
    /// names by this number.
    Priority(u32),
    /// By the request: no typing into terminals.
    Ioctl,
    /// By the personality asked for.
    Personality,
    /// Answered by pid 1.
    Ask,
    /// By the mode in this argument: device nodes are asked for.
    Node(u32),
}

/// Answered with success, and nothing done.
const PRETEND: Rule = Rule::Refuse(0);

const NOT_PERMITTED: Rule = Rule::Refuse(1);
const NOT_IMPLEMENTED: Rule = Rule::Refuse(38);

/// Namespaces: `CLONE_NEWNS`, `NEWCGROUP`, `NEWUTS`, `NEWIPC`, `NEWUSER`, `NEWPID`, `NEWNET`.
const NAMESPACES: u32 = 0x7e02_0000;
/// `AF_UNIX`, `AF_INET`, `AF_INET6`, `AF_PACKET`. Others are reached without the network namespace or
/// have a history of holes, and asking for one has the machine load a module: they are not there.
const FAMILIES: [u32; 4] = [1, 2, 10, 17];
const AF_NETLINK: u32 = 16;
/// What the kernel tells of the machine's devices is told to every network namespace of its own.
const NETLINK_KOBJECT_UEVENT: u32 = 15;
const NO_FAMILY: Rule = Rule::Refuse(97); // EAFNOSUPPORT
const NO_PROTOCOL: Rule = Rule::Refuse(93); // EPROTONOSUPPORT
/// `TIOCSTI`, `TIOCLINUX`.
const REQUESTS: [u32; 2] = [0x5412, 0x541c];
/// Linux and its 32-bit and uname26 variants, and the question which it is.
const PERSONALITIES: [u32; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// What neither a test nor a build needs and what has let programs out before: kernel modules and
/// images, the machine's clock, swap and accounting, mounts and namespaces, keys, tracing of the
/// kernel, memory placement, file handles that leave the root, asynchronous calls that this filter
/// could not see.
const FORBIDDEN: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_get_mempolicy,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mbind,
    libc::SYS_migrate_pages,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_set_mempolicy,
    libc::SYS_set_mempolicy_home_node,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// Likewise, where only this kind of machine has them.
#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: &[i64] = &[
    174, // create_module
    177, // get_kernel_syms
    178, // query_module
    libc::SYS__sysctl,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_sysfs,
    libc::SYS_uselib,
    libc::SYS_ustat,
];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE: &[i64] = &[];

/// Changes of a process's limits and share of the CPU. Root inside may do that to all of them, and
/// could keep pid 1 from its work: a trouble of ours, where it is the program's own.
const OF_A_PROCESS: [i64; 5] = [
    libc::SYS_prlimit64,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
];

/// Changes of identity, to which there is none in a sandbox with a single user.
const IDENTITY: [i64; 9] = [
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
];

/// Changes of owner.
#[cfg(target_arch = "x86_64")]
const OWNER: [i64; 4] = [libc::SYS_chown, libc::SYS_lchown, libc::SYS_fchown, libc::SYS_fchownat];
#[cfg(not(target_arch = "x86_64"))]
const OWNER: [i64; 2] = [libc::SYS_fchown, libc::SYS_fchownat];

/// What makes nodes, and the argument that says of which kind.
#[cfg(target_arch = "x86_64")]
const NODES: [(i64, u32); 2] = [(libc::SYS_mknod, 1), (libc::SYS_mknodat, 2)];
#[cfg(not(target_arch = "x86_64"))]
const NODES: [(i64, u32); 1] = [(libc::SYS_mknodat, 2)];

/// The filter. With `one_user`, for sandboxes that have no user but root, becoming another user
/// succeeds and does nothing, and giving files to one is left to pid 1 (see [`super::pretend`]).
/// Each is made once.
pub(super) fn program(one_user: bool) -> &'static [Instruction] {
    static PROGRAMS: [OnceLock<Vec<Instruction>>; 2] = [OnceLock::new(), OnceLock::new()];
    PROGRAMS[usize::from(one_user)].get_or_init(|| assemble(one_user))
}

fn assemble(one_user: bool) -> Vec<Instruction> {
    let mut code = vec![
        load(4), // the architecture
        jump(EQUAL, ARCHITECTURE, 1, 0),
        answer(NOT_PERMITTED),
        load(0), // the call's number
    ];
    let mut shared = Shared::new();
    search(&ranges(one_user), &mut code, &mut shared);
    share(shared, &mut code);
    code
}

/// The rules as ranges of call numbers: each begins here and lasts until the next.
fn ranges(one_user: bool) -> Vec<(u32, Rule)> {
    let number = |call: i64| u32::try_from(call).expect("call numbers are small");
    let mut special: BTreeMap<u32, Rule> = BTreeMap::new();
    for call in FORBIDDEN.iter().chain(FORBIDDEN_HERE) {
        special.insert(number(*call), NOT_PERMITTED);
    }
    special.insert(number(libc::SYS_clone), Rule::Clone);
    // Its flags are in memory, out of a filter's sight; the C library falls back to `clone` when
    // it is not there, but not when it is forbidden.
    special.insert(number(libc::SYS_clone3), NOT_IMPLEMENTED);
    special.extend([libc::SYS_socket, libc::SYS_socketpair].map(|c| (number(c), Rule::Socket)));
    special.extend(OF_A_PROCESS.map(|call| (number(call), Rule::NotFirst)));
    special.insert(number(libc::SYS_setpriority), Rule::Priority(2)); // PRIO_USER
    special.insert(number(libc::SYS_ioprio_set), Rule::Priority(3)); // IOPRIO_WHO_USER
    special.insert(number(libc::SYS_ioctl), Rule::Ioctl);
    special.insert(number(libc::SYS_personality), Rule::Personality);
    if one_user {
        special.extend(IDENTITY.map(|call| (number(call), PRETEND)));
        special.extend(OWNER.map(|call| (number(call), Rule::Ask)));
        special.extend(NODES.map(|(call, mode)| (number(call), Rule::Node(mode))));
    }
    let mut ranges: Vec<(u32, Rule)> = Vec::new();
    for call in 0..=NEWEST + 1 {
        let rule = match special.get(&call) {
            _ if call > NEWEST => NOT_IMPLEMENTED,
            Some(rule) => *rule,
            None => Rule::Allow,
        };
        if ranges.last().is_none_or(|(_, last)| *last != rule) {
            ranges.push((call, rule));
        }
    }
    ranges
}

/// Jumps to answers that many share, which stand at the end: the jump, which of its two ways, and
/// the answer.
type Shared = Vec<(usize, bool, Rule)>;

/// Code that finds the range of the number in the accumulator.
fn search(ranges: &[(u32, Rule)], code: &mut Vec<Instruction>, shared: &mut Shared) {
    if let [(_, rule)] = ranges {
        decide(*rule, code);
        return;
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let at = code.len();
    code.push(jump(AT_LEAST, high[0].0, 0, 0));
    match short(low) {
        Some(rule) => shared.push((at, false, rule)),
        None => search(low, code, shared),
    }
    match short(high) {
        Some(rule) => shared.push((at, true, rule)),
        None => {
            code[at].jt = distance(at, code.len());
            search(high, code, shared);
        }
    }
}

/// The answer to these, if that is one instruction.
fn short(ranges: &[(u32, Rule)]) -> Option<Rule> {
    match ranges {
        [(_, rule @ (Rule::Allow | Rule::Refuse(_) | Rule::Ask))] => Some(*rule),
        _ => None,
    }
}

/// Puts the shared answers at the end, each once.
fn share(shared: Shared, code: &mut Vec<Instruction>) {
    let mut answers: Vec<(Rule, usize)> = Vec::new();
    for (at, when, rule) in shared {
        let known = answers.iter().find(|(known, _)| *known == rule).map(|(_, place)| *place);
        let place = known.unwrap_or_else(|| {
            answers.push((rule, code.len()));
            code.push(answer(rule));
            code.len() - 1
        });
        let skipped = distance(at, place);
        let jump = &mut code[at];
        *(if when { &mut jump.jt } else { &mut jump.jf }) = skipped;
    }
}

/// How many instructions a jump leaves out.
fn distance(from: usize, to: usize) -> u8 {
    u8::try_from(to - from - 1).expect("the filter is short")
}

/// Code that answers by a rule. Arguments are 64 bits wide, but the kernel looks at 32 of these.
fn decide(rule: Rule, code: &mut Vec<Instruction>) {
    let listed = |argument: u32, list: &[u32], found: Rule, other: Rule| {
        let mut block = vec![load(16 + 8 * argument)];
        for (index, value) in list.iter().enumerate() {
            let skip = u8::try_from(list.len() - index).expect("the lists are short");
            block.push(jump(EQUAL, *value, skip, 0));
        }
        block.extend([answer(other), answer(found)]);
        block
    };
    match rule {
        Rule::Allow | Rule::Refuse(_) | Rule::Ask => code.push(answer(rule)),
        Rule::Node(argument) => code.extend([
            load(16 + 8 * argument),
            Instruction { code: MASK, jt: 0, jf: 0, k: libc::S_IFMT },
            jump(EQUAL, libc::S_IFCHR, 2, 0),
            jump(EQUAL, libc::S_IFBLK, 1, 0),
            answer(Rule::Allow),
            answer(Rule::Ask),
        ]),
        Rule::Clone => code.extend([
            load(16),
            jump(ANY_BIT, NAMESPACES, 0, 1),
            answer(NOT_PERMITTED),
            answer(Rule::Allow),
        ]),
        Rule::Socket => socket(code),
        Rule::NotFirst => code.extend(listed(0, &[1], NOT_PERMITTED, Rule::Allow)),
        Rule::Priority(user) => code.extend([
            load(24),
            jump(EQUAL, 1, 3, 0),
            load(16),
            jump(EQUAL, user, 1, 0),
            answer(Rule::Allow),
            answer(NOT_PERMITTED),
        ]),
        Rule::Ioctl => code.extend(listed(1, &REQUESTS, NOT_PERMITTED, Rule::Allow)),
        Rule::Personality => code.extend(listed(0, &PERSONALITIES, Rule::Allow, NOT_PERMITTED)),
    }
}

fn socket(code: &mut Vec<Instruction>) {
    let [local, four, six, packet] = FAMILIES;
    code.extend([
        load(16),
        jump(EQUAL, local, 7, 0),
        jump(EQUAL, four, 6, 0),
        jump(EQUAL, six, 5, 0),
        jump(EQUAL, packet, 4, 0),
        jump(EQUAL, AF_NETLINK, 1, 0),
        answer(NO_FAMILY),
        load(32),
        jump(EQUAL, NETLINK_KOBJECT_UEVENT, 1, 0),
        answer(Rule::Allow),
        answer(NO_PROTOCOL),
    ]);
}

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const RETURN: u16 = 0x06; // BPF_RET | BPF_K
const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const MASK: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K

/// Loads 32 bits of what the kernel tells of the call.
fn load(offset: u32) -> Instruction {
    Instruction { code: LOAD, jt: 0, jf: 0, k: offset }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

fn answer(rule: Rule) -> Instruction {
    let k = match rule {
        Rule::Refuse(errno) => 0x0005_0000 | u32::from(errno),
        Rule::Ask => 0x7fc0_0000, // SECCOMP_RET_USER_NOTIF
        _ => 0x7fff_0000,
    };
    Instruction { code: RETURN, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests;
