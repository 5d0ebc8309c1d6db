//! The part of a log that a reader of a verdict wants to see.

/// Where a log speaks of a test: a heading of its own with all below it, as pytest and unittest
/// write it, else the lines that name it with some around. No more than so many lines: of a longer part
/// the beginning and the end.
#[must_use]
pub fn excerpt(text: &str, test: &str, most: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let short = short_name(test);
    let is_rule = |line: &str| line.starts_with("____") || line.starts_with("====");
    let heading = lines.iter().position(|line| {
        (line.starts_with("____") || line.starts_with("FAIL: ") || line.starts_with("ERROR: "))
            && line.contains(short)
    });
    if let Some(start) = heading {
        let length = lines[start + 1..].iter().position(|line| is_rule(line));
        let end = length.map_or(lines.len(), |length| start + 1 + length);
        return cut(&lines[start..end], most);
    }
    let named: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].contains(test))
        .chain((0..lines.len()).filter(|at| lines[*at].contains(short)))
        .take(1)
        .collect();
    match named.first() {
        Some(at) => {
            let (start, end) = (at.saturating_sub(3), (at + 20).min(lines.len()));
            cut(&lines[start..end], most)
        }
        None => vec![format!("the log does not name {test}")],
    }
}

/// A test's own name: without file, class and parameters.
fn short_name(test: &str) -> &str {
    let name = test.split(" (").next().unwrap_or(test);
    let name = name.rsplit("::").next().unwrap_or(name);
    let name = name.split('[').next().unwrap_or(name);
    if name.trim().is_empty() { test } else { name }
}

/// The last lines of a log.
#[must_use]
pub fn log_end(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].iter().map(|line| short_line(line)).collect()
}

fn cut(lines: &[&str], most: usize) -> Vec<String> {
    if lines.len() <= most {
        return lines.iter().map(|line| short_line(line)).collect();
    }
    let half = most / 2;
    let mut shown: Vec<String> = lines[..half].iter().map(|line| short_line(line)).collect();
    shown.push(format!("… {} lines …", lines.len() - 2 * half));
    shown.extend(lines[lines.len() - half..].iter().map(|line| short_line(line)));
    shown
}

/// A line without what is beyond its first 300 characters.
#[must_use]
pub fn short_line(line: &str) -> String {
    line.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_shown_by_its_heading_or_by_its_name() {
        let log = "x\n____ test_a ____\nboom\nE   1 == 2\n____ test_b ____\nother\n";
        assert_eq!(excerpt(log, "t.py::test_a", 60), ["____ test_a ____", "boom", "E   1 == 2"]);
        let long = format!("____ test_a ____\n{}", "line\n".repeat(100));
        let shown = excerpt(&long, "t.py::test_a", 10);
        assert_eq!((shown.len(), shown[5].as_str()), (11, "… 91 lines …"));
        assert_eq!(excerpt("a\nb t[1] c\n", "t[1]", 60), ["a", "b t[1] c"]);
        assert_eq!(excerpt("a\n", "t", 60), ["the log does not name t"]);
        assert_eq!(log_end(&"y\n".repeat(30)).len(), 20);
        assert_eq!(short_line(&"é".repeat(400)).chars().count(), 300);
    }
}
