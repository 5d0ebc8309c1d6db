//! Hostile programs: each is contained, is reported as itself, and leaves the machine as it was.
//!
//! A case is a file below `programs/`: shell, Python, or C that is compiled on the spot (with
//! `hostile.h` before it), with a header that says what must happen (see `case.rs`). A program that
//! tries to get out ends with 0 when it was held, and says `ESCAPED` when it was not; but nobody
//! relies on its word: the secret it is after must not be in its output, nobody may have come to the
//! machine's listeners, and the machine's files, processes, clock and kernel log are looked at after
//! every program.
//!
//! They want the machine for themselves, so `cargo test` alone leaves them out; `.ci/deep hostile` runs
//! them, as root and as an ordinary user.
//!
//! Environment: `EVALRUN_TEST_HOSTILE` (they are run), `EVALRUN_HOSTILE` (programs whose names hold this), `EVALRUN_REPEAT` (times),
//! `EVALRUN_TIME_FACTOR` (for slow machines), `EVALRUN_TEST_PROGRAMS` and `EVALRUN_TEST_BUILT`
//! (where programs and their compiled forms are).

mod case;
mod deeds;
mod host;
mod images;
mod neighbour;
mod suite;
mod table;

pub(crate) use case::folder as programs;

/// How often everything is tried.
fn times() -> usize {
    std::env::var("EVALRUN_REPEAT").map_or(1, |times| times.parse().unwrap())
}

/// Whether the machine is theirs.
fn wanted() -> bool {
    let wanted = std::env::var_os("EVALRUN_TEST_HOSTILE").is_some();
    if !wanted {
        eprintln!("skipped, wants the machine for itself: .ci/deep hostile");
    }
    wanted
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_held() {
    if !wanted() {
        return;
    }
    for _ in 0..times() {
        suite::run().await;
    }
}

#[test]
fn an_ordinary_user_s_sandboxes_hold_them_too() {
    if !wanted() {
        return;
    }
    for case in
        case::all(true).iter().filter(|case| case.path.extension().is_some_and(|e| e == "c"))
    {
        suite::compile(case);
    }
    crate::ordinary::run_tests_as_one("hostile::programs_are_held");
}
