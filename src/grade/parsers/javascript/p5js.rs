//! p5.js's mocha output, in which dumps of objects and pages of HTML stand between the failures.

use super::suites::indent;
use super::without_colours;
use crate::grade::parsers::{StatusMap, pattern};
use crate::grade::text::{is_space, lines, strip};
use std::collections::HashMap;

/// Failures alone: numbered headings, up to their first colon.
pub(in crate::grade::parsers) fn p5js(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    let text = without_elements(&without_blocks(&without_colours(text)));
    let mut at = 0;
    while let Some(number) = pattern!(r"(?m)^\s*\d+\)").find_at(&text, at) {
        at = number.end();
        let Some(length) = memchr::memchr(b':', &text.as_bytes()[at..]) else { break };
        let heading = &text[at..at + length];
        // Longer headings do not count; the check by bytes spares the count for far colons.
        if length > 4000 || heading.chars().count() > 1000 {
            continue;
        }
        at += length + 1;
        if is_stepped(heading) {
            tests.failed(lines(heading).map(strip).collect::<Vec<_>>().join(":"));
        }
    }
    tests
}

/// Whether every line is indented more than the one before.
fn is_stepped(heading: &str) -> bool {
    let mut last = 0;
    lines(heading).all(|line| indent(line) > std::mem::replace(&mut last, indent(line)))
}

/// Without the lines of dumps in braces or brackets.
fn without_blocks(text: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let (mut braces, mut brackets) = (false, false);
    for full in lines(text) {
        let line = full.trim_end_matches(is_space);
        if line.ends_with('{') {
            braces = true;
        } else if line.ends_with('[') {
            brackets = true;
        } else if line == "}" && braces {
            braces = false;
        } else if line == "]" && brackets {
            brackets = false;
        } else {
            let dump = line.starts_with('{') && line.ends_with('}')
                || line.starts_with('[') && line.ends_with(']');
            if !braces && !brackets && !dump {
                kept.push(full);
            }
        }
    }
    kept.join("\n")
}

fn is_word(c: char) -> bool {
    c == '_'
        || c.is_ascii_alphanumeric()
        || !c.is_ascii() && pattern!(r"\w").is_match(c.encode_utf8(&mut [0; 4]))
}

/// Where the tags of one name stand in the text.
#[derive(Default)]
struct Tags {
    openers: Vec<usize>,
    /// Start and end.
    closers: Vec<(usize, usize)>,
    next_opener: usize,
    next_closer: usize,
}

impl Tags {
    /// The first end tag at or behind a place.
    fn closer(&mut self, from: usize) -> Option<(usize, usize)> {
        while self.closers.get(self.next_closer)?.0 < from {
            self.next_closer += 1;
        }
        self.closers.get(self.next_closer).copied()
    }

    /// How many start tags stand between two places.
    fn openers_between(&mut self, from: usize, to: usize) -> usize {
        while self.openers.get(self.next_opener).is_some_and(|at| *at < from) {
            self.next_opener += 1;
        }
        let first = self.next_opener;
        while self.openers.get(self.next_opener).is_some_and(|at| *at < to) {
            self.next_opener += 1;
        }
        self.next_opener - first
    }
}

/// A start tag left in the output, since no end tag follows.
struct Unclosed {
    at: usize,
    name: String,
    /// What [`Remover::open`] was before it.
    before: Vec<usize>,
}

/// Removes elements, `<x>` to the next `</x>`, the leftmost first, again and again; start tags of
/// the same name inside are put back but for one, so that nested elements go as a whole.
///
/// One pass: a tag is seen at its `>`, in the text as it is after the removals before it. (A
/// removal can join the halves of a tag.)
struct Remover<'t> {
    text: &'t str,
    at: usize,
    tags: HashMap<&'t str, Tags>,
    kept: String,
    /// Where the tag begins that the output ends in the middle of; below it, the same for the
    /// output without that tag.
    open: Vec<usize>,
    unclosed: Vec<Unclosed>,
}

fn without_elements(text: &str) -> String {
    let mut tags: HashMap<&str, Tags> = HashMap::new();
    for found in pattern!(r"<(/?)(\w+)>").captures_iter(text) {
        let (Some(whole), Some(slash), Some(name)) = (found.get(0), found.get(1), found.get(2))
        else {
            continue;
        };
        let tags = tags.entry(name.as_str()).or_default();
        if slash.is_empty() {
            tags.openers.push(whole.start());
        } else {
            tags.closers.push((whole.start(), whole.end()));
        }
    }
    if tags.values().all(|tags| tags.openers.is_empty()) {
        return text.to_owned();
    }
    let kept = String::with_capacity(text.len());
    let mut remover = Remover { text, at: 0, tags, kept, open: Vec::new(), unclosed: Vec::new() };
    remover.run();
    remover.kept
}

impl Remover<'_> {
    fn run(&mut self) {
        while let Some(c) = self.text[self.at..].chars().next() {
            self.at += c.len_utf8();
            self.push(c);
            if c == '>'
                && let Some(start) = self.open.pop()
            {
                self.end_tag(start);
            }
        }
    }

    fn push(&mut self, c: char) {
        let slash = c == '/' && self.kept.ends_with('<');
        if c == '<' {
            self.open.push(self.kept.len());
        } else if c != '>' && !slash && !is_word(c) {
            self.open.clear();
        }
        self.kept.push(c);
    }

    /// A `>` ended what began with a `<` here and went on with letters.
    fn end_tag(&mut self, start: usize) {
        let inner = self.kept[start + 1..self.kept.len() - 1].to_owned();
        match inner.strip_prefix('/') {
            Some(name) if self.unclosed.iter().any(|tag| tag.name == name) => {
                self.end_unclosed(name)
            }
            None if !inner.is_empty() => self.start_tag(start, &inner),
            _ => self.open.clear(),
        }
    }

    fn start_tag(&mut self, start: usize, name: &str) {
        let mut depth = 1;
        if let Some(tags) = self.tags.get_mut(name) {
            while depth > 0
                && let Some((close, end)) = tags.closer(self.at)
            {
                depth += tags.openers_between(self.at, close);
                depth -= 1;
                self.at = end;
            }
        }
        self.kept.truncate(start);
        self.leave(depth, name);
    }

    /// An end tag that a removal put together closes a start tag left before.
    fn end_unclosed(&mut self, name: &str) {
        let Some(first) = self.unclosed.iter().position(|tag| tag.name == name) else { return };
        let mut closed = self.unclosed.drain(first..);
        let Some(tag) = closed.next() else { return };
        let depth = closed.filter(|tag| tag.name == name).count();
        self.kept.truncate(tag.at);
        self.open = tag.before;
        self.leave(depth, name);
    }

    fn leave(&mut self, count: usize, name: &str) {
        for _ in 0..count {
            let before = std::mem::take(&mut self.open);
            self.unclosed.push(Unclosed { at: self.kept.len(), name: name.to_owned(), before });
            self.kept.push('<');
            self.kept.push_str(name);
            self.kept.push('>');
        }
    }
}
