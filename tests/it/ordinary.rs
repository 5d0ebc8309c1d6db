//! Tests of this binary run as an ordinary user, when this process is root.

use crate::compiled;
use crate::conformance::bench::{helper, scratch};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// The user: nobody, who owns nothing.
pub(crate) const USER: u32 = 65_534;

/// Runs the tests whose names begin with `filter` as an ordinary user, who need not be able to reach
/// the checkout. Where this process is an ordinary user's already there is nothing to do.
pub(crate) fn run_tests_as_one(filter: &str) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("this is one");
        return;
    }
    let home = tempfile::tempdir_in(scratch()).unwrap();
    let mut tests = command_of_one(home.path());
    let output = tests.arg(filter).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("test result: ok") && !text.contains(" 0 passed"), "{text}");
}

/// This test binary as that user, with copies of what it needs below `home`.
pub(crate) fn command_of_one(home: &Path) -> Command {
    let place = |from: &Path, name: &str| {
        let to = home.join(name);
        fs_err::copy(from, &to).unwrap();
        to
    };
    open_up(home);
    let tests = place(&std::env::current_exe().unwrap(), "tests");
    let evalrun = place(&helper(), "evalrun");
    let (cache, built) = (home.join("own"), home.join("built"));
    fs_err::create_dir(&cache).unwrap();
    fs_err::create_dir(&built).unwrap();
    for entry in fs_err::read_dir(compiled::folder()).into_iter().flatten() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs_err::copy(entry.path(), built.join(entry.file_name())).unwrap();
        }
    }
    let programs = home.join("programs");
    copy_tree(&crate::hostile::programs(), &programs);
    for own in [&cache, &built] {
        std::os::unix::fs::chown(own, Some(USER), Some(USER)).unwrap();
    }
    let mut command = Command::new(tests);
    command.uid(USER).gid(USER).current_dir(&cache).env_clear();
    for kept in [
        "PATH",
        "CI",
        "EVALRUN_TIME_FACTOR",
        "EVALRUN_REPEAT",
        "EVALRUN_HOSTILE",
        "EVALRUN_TEST_HOSTILE",
    ] {
        command.envs(std::env::var_os(kept).map(|value| (kept, value)));
    }
    command
        .env("HOME", &cache)
        .env("TMPDIR", &cache)
        .env("EVALRUN_HELPER", evalrun)
        .env("EVALRUN_TEST_PROGRAMS", &programs)
        .env("EVALRUN_TEST_BUILT", &built);
    command
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let to = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs_err::create_dir(to).unwrap();
        } else {
            fs_err::copy(entry.path(), to).unwrap();
        }
    }
}

/// Lets everybody look into a directory.
fn open_up(directory: &Path) {
    fs_err::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
}
