//! One suite for every back-end: what a sandbox must do, whoever makes it.
//!
//! A case is a function of a [`Bench`]: a back-end, an image with a shell and coreutils, and what
//! that back-end can do. [`conformance`] makes a test of every case for every back-end; a back-end
//! joins by a constructor of [`Bench`] of its name, a list of the cases that it cannot be asked for
//! with the reason, and one line below.
//!
//! The native back-end needs the machine's root or unprivileged user namespaces. Where it cannot
//! be had the cases say so and pass; with `CI=true` they fail. As root, they run as an ordinary user
//! too.

mod alive;
pub(crate) mod bench;
mod commands;
mod ends;
mod files;
mod isolation;
mod limits;
mod scripted;
mod snapshots;

use bench::Bench;

/// A test of every case for a back-end.
macro_rules! tests {
    ($backend:ident: $($file:ident::{$($case:ident)*})*) => {
        mod $backend {
            $($(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    if let Some(bench) = super::Bench::$backend(stringify!($case)).await {
                        super::$file::$case(&bench).await;
                        bench.backend.close().await;
                    }
                }
            )*)*

            /// The names of all cases.
            pub(super) const CASES: &[&str] = &[$($(stringify!($case),)*)*];
        }
    };
}

/// All cases.
macro_rules! conformance {
    ($backend:ident) => {
        tests!($backend:
            commands::{
                exit_codes_and_signals
                what_cannot_start_is_told_apart
                output_to_a_pipe_and_to_a_file
                standard_error
                standard_input
                pipes_both_ways
                terminals
                the_environment
                users
                what_holds_the_output_holds_up_nobody
            }
            limits::{
                a_time_out_is_told
                a_time_out_ends_grandchildren
                a_time_out_spares_other_commands
                memory_is_limited
                processes_are_limited
                output_is_limited
                disk_is_limited_in_memory
                disk_is_limited_on_disk
                cpu_is_limited
                a_lifetime_ends_all
            }
            files::{
                files_in_and_out
                odd_files_in_and_out
                trees_in_and_out
                directories_of_the_machine
            }
            snapshots::{
                an_unknown_image_is_refused
                writes_never_reach_the_image
                a_snapshot_is_an_image
                snapshots_keep_what_a_file_system_has
            }
            isolation::{
                no_network_unless_asked_for
                what_a_command_is_born_with
            }
            ends::{
                the_end
                many_commands_at_once
                two_hundred_at_once
                nothing_is_left_on_the_machine
            }
        );
    };
}

conformance!(native);
conformance!(fake);
conformance!(docker);

// What can differ where mounts are made in other ways.
tests!(native_older:
    commands::{terminals users}
    limits::{memory_is_limited disk_is_limited_in_memory disk_is_limited_on_disk}
    files::{odd_files_in_and_out directories_of_the_machine}
    snapshots::{writes_never_reach_the_image snapshots_keep_what_a_file_system_has}
    isolation::{no_network_unless_asked_for what_a_command_is_born_with}
    ends::{many_commands_at_once nothing_is_left_on_the_machine}
);

#[test]
fn what_a_back_end_cannot_names_cases() {
    for (cannot, cases) in [
        (bench::NATIVE_CANNOT, native::CASES),
        (bench::FAKE_CANNOT, fake::CASES),
        (bench::DOCKER_CANNOT, docker::CASES),
    ] {
        let unknown = cannot.iter().find(|(case, _)| !cases.contains(case));
        assert_eq!(unknown, None, "there is no such case");
        assert!(cannot.len() < cases.len());
    }
    assert!(native_older::CASES.iter().all(|case| native::CASES.contains(case)));
}

#[test]
fn all_of_it_as_an_ordinary_user() {
    crate::ordinary::run_tests_as_one("conformance::native::");
}
