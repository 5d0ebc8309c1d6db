//! What the kernel says of the container we are in: its cgroup, of version 1 or 2, and its disk.

use super::words::Totals;
use std::collections::HashMap;

const TOP: &str = "/sys/fs/cgroup";

/// What the cgroup has counted by now.
pub(super) fn totals() -> Totals {
    match fs_err::metadata(format!("{TOP}/cgroup.controllers")) {
        Ok(_) => version_2(),
        Err(_) => version_1(),
    }
}

fn version_2() -> Totals {
    let cpu = table("cpu.stat");
    let of = |table: &HashMap<String, u64>, name: &str| table.get(name).copied().unwrap_or(0);
    Totals {
        oom_kills: of(&table("memory.events"), "oom_kill"),
        forks_refused: of(&table("pids.events"), "max"),
        throttled_us: of(&cpu, "throttled_usec"),
        user_us: of(&cpu, "user_usec"),
        system_us: of(&cpu, "system_usec"),
        peak_memory: number("memory.peak"),
    }
}

fn version_1() -> Totals {
    let of = |file: &str, name: &str| table(file).get(name).copied().unwrap_or(0);
    // In hundredths of a second, whatever the kernel itself counts in.
    let times = table("cpuacct/cpuacct.stat");
    let time = |name: &str| times.get(name).copied().unwrap_or(0).saturating_mul(10_000);
    Totals {
        oom_kills: of("memory/memory.oom_control", "oom_kill"),
        forks_refused: of("pids/pids.events", "max"),
        throttled_us: of("cpu/cpu.stat", "throttled_time") / 1000,
        user_us: time("user"),
        system_us: time("system"),
        peak_memory: number("memory/memory.max_usage_in_bytes"),
    }
}

fn read(file: &str) -> String {
    fs_err::read_to_string(format!("{TOP}/{file}")).unwrap_or_default()
}

fn number(file: &str) -> u64 {
    read(file).trim().parse().unwrap_or(0)
}

fn table(file: &str) -> HashMap<String, u64> {
    parse(&read(file))
}

fn parse(text: &str) -> HashMap<String, u64> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?))).collect()
}

/// Bytes that are free where the container writes.
pub(super) fn free() -> u64 {
    rustix::fs::statvfs("/").map_or(0, |about| about.f_bavail.saturating_mul(about.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn tables_are_read_and_nonsense_is_passed_over() {
        let table = parse("oom_kill_disable 0\nunder_oom 0\noom_kill 3\nnonsense\nx y\n");
        assert_eq!(table["oom_kill"], 3);
        assert_eq!(table.len(), 3);
    }
}
