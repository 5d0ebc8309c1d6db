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
    let name = names[usize::from(*parser) % names.len()];
    let (instance_id, version) = SUBJECTS[usize::from(*subject) % SUBJECTS.len()];
    let parsed = parse(name, &decode(log), Subject { instance_id, version });
    assert!(parsed.is_some(), "{name} is registered");
});
