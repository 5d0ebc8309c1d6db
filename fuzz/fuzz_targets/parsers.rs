//! Every log parser on any bytes: the first picks the parser, the second the subject.

#![no_main]

use evalrun::grade::{Subject, decode, parse, parser_names};
use libfuzzer_sys::fuzz_target;

const SUBJECTS: [(&str, &str); 5] = [
    ("owner__name-2005", "1.27"),
    ("owner__name-2006", "9.5"),
    ("owner__name-8047", "2.1"),
    ("owner__name-8761", "4"),
    ("", ""),
];

fuzz_target!(|bytes: &[u8]| {
    let [parser, subject, log @ ..] = bytes else { return };
    let names: Vec<_> = parser_names().collect();
    // One more than there are: a pattern of the row's own, in the first line.
    let (name, log) = match names.get(usize::from(*parser) % (names.len() + 1)) {
        Some(name) => ((*name).to_owned(), log),
        None => {
            let end = log.iter().position(|byte| *byte == b'\n').unwrap_or(log.len());
            let pattern = String::from_utf8_lossy(&log[..end.min(200)]).into_owned();
            (format!("regex:(?P<name>{pattern})(?P<status>.)"), &log[end..])
        }
    };
    let (instance_id, version) = SUBJECTS[usize::from(*subject) % SUBJECTS.len()];
    let parsed = parse(&name, &decode(log), Subject { instance_id, version });
    assert!(parsed.is_some(), "{name} is registered");
});
