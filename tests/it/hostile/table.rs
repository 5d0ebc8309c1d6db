//! The table of `docs/hostile.md` is made from the headers, and says what they say.

use super::case;
use std::path::Path;

const BEGIN: &str = "<!-- made from the headers of the programs -->\n";

#[test]
fn the_documentation_lists_every_program() {
    if std::env::var_os("EVALRUN_HOSTILE").is_some() {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/hostile.md");
    if !path.exists() {
        eprintln!("skipped, the project's files are not here");
        return;
    }
    let text = fs_err::read_to_string(&path).unwrap();
    let (before, _) = text.split_once(BEGIN).unwrap();
    let rows: Vec<String> = case::all(false).iter().map(case::Case::row).collect();
    let head = "| program | what it tries | root keeps it | an ordinary user keeps it |\n|---|---|---|---|\n";
    let made = format!("{before}{BEGIN}{head}{}\n", rows.join("\n"));
    if std::env::var_os("EVALRUN_UPDATE").is_some() {
        fs_err::write(&path, &made).unwrap();
    }
    let text = fs_err::read_to_string(&path).unwrap();
    assert!(text == made, "docs/hostile.md is old: run the test with EVALRUN_UPDATE=1");
}
