//! Scripts made for rows of the 4.x format, against the published scripts of the same tasks.

use super::{data, load, read_lines, write_lines};
use evalrun::dataset::recipe;
use std::path::Path;

/// The lines that bring in the tests and run them; set-up and install come before, the reset of
/// the test files stands around them.
fn tests_of(script: &str) -> &str {
    let start = script.find("git apply -v - <<").unwrap();
    let end = script.find(": '>>>>> End Test Output'").unwrap();
    &script[start..end]
}

#[test]
fn scripts_made_from_recipes_are_those_published() {
    let Some(path) = data("swebench/verified.jsonl") else { return };
    let published = load(&path).unwrap();
    let mut rows = read_lines(&path);
    for row in &mut rows {
        for name in ["image", "eval_script", "log_parser", "eval_type"] {
            row.remove(name);
        }
    }
    let temp = tempfile::tempdir().unwrap();
    let old = temp.path().join("old.jsonl");
    write_lines(&old, &rows);
    let made = load(&old).unwrap();
    let mut same = 0;
    let mut other_tests = Vec::new();
    for (published, made) in published.instances.iter().zip(&made.instances) {
        assert_eq!(published.id, made.id);
        assert_eq!(published.image_name, made.image_name);
        assert_eq!(published.eval_type, made.eval_type);
        let [published_script, made_script] =
            [published, made].map(|one| one.eval_script.trim_end());
        same += usize::from(published_script == made_script);
        if tests_of(published_script) != tests_of(made_script) {
            other_tests.push(made.id.as_str());
        }
    }
    eprintln!("{same} of {} scripts are the published ones to the byte", made.instances.len());
    // Two rows have lines of their own before the tests. In the others that are not the same to
    // the byte the published line of the reset also names files that the test patch brings, with
    // which `git checkout` resets nothing at all; ours names those that are there.
    assert_eq!(other_tests, ["astropy__astropy-8707", "astropy__astropy-8872"]);
    assert!(same >= 450, "{same}");
}

#[test]
fn every_recipe_of_the_project_is_sound() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/envs");
    let mut count = 0;
    for entry in fs_err::read_dir(folder).unwrap() {
        recipe::validate(&entry.unwrap().path()).unwrap();
        count += 1;
    }
    assert!(count >= 12, "{count}");
}
