//! Signals to many processes of a sandbox at once, sent by its pid 1.

use rustix::process::{Pid, Signal};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// How long stopped processes may take to stop.
const STOPPING: Duration = Duration::from_millis(500);

/// A process as its `/proc/<pid>/stat` tells.
struct Seen {
    parent: i32,
    session: i32,
    state: u8,
}

/// Sends `signal` to the tree of `pid`. With no other command running that is every process but
/// pid 1, whatever it did to hide; else those that descend from it or are in its session. What has
/// left both is ended with the sandbox.
pub(super) fn signal_tree(pid: Pid, signal: Signal, others: &[i32]) {
    if others.is_empty() {
        super::sys::kill_everyone(signal.as_raw());
        return;
    }
    let mut sent = HashSet::new();
    // What is born while the first round goes on is found by a later one.
    for _ in 0..8 {
        let seen = all();
        let mut new = 0;
        for (process, about) in &seen {
            let ours = about.session == pid.as_raw_pid() || descends(&seen, *process, pid);
            if ours && about.state != b'Z' && sent.insert(*process) {
                new += 1;
                if let Some(process) = Pid::from_raw(*process) {
                    let _ = rustix::process::kill_process(process, signal);
                }
            }
        }
        if new == 0 || signal != Signal::KILL {
            return;
        }
    }
}

fn descends(seen: &HashMap<i32, Seen>, process: i32, ancestor: Pid) -> bool {
    let mut at = process;
    for _ in 0..seen.len() + 1 {
        if at == ancestor.as_raw_pid() {
            return true;
        }
        match seen.get(&at) {
            Some(about) if about.parent > 1 => at = about.parent,
            _ => return false,
        }
    }
    false
}

/// Stops every process but pid 1 and waits until they stand, or lets them go on.
pub(super) fn stop_all(stop: bool) {
    if !stop {
        super::sys::kill_everyone(Signal::CONT.as_raw());
        return;
    }
    super::sys::kill_everyone(Signal::STOP.as_raw());
    let started = Instant::now();
    while started.elapsed() < STOPPING {
        let moving = all()
            .iter()
            .any(|(pid, about)| *pid != 1 && !matches!(about.state, b'T' | b't' | b'Z' | b'X'));
        if !moving {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Every process of the sandbox.
fn all() -> HashMap<i32, Seen> {
    let Ok(entries) = fs_err::read_dir("/proc") else { return HashMap::new() };
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs_err::read(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parse(&String::from_utf8_lossy(&stat))?))
        })
        .collect()
}

/// The name stands in parentheses and may hold anything, parentheses too.
fn parse(stat: &str) -> Option<Seen> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Seen { parent, session, state })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_mislead() {
        let seen = parse("12 (a) R 9 (b) S 4 5 6 0 -1 4194304").unwrap();
        assert_eq!((seen.state, seen.parent, seen.session), (b'S', 4, 6));
        assert!(parse("12 (").is_none());
    }
}
