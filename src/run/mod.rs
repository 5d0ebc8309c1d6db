//! The conductor of a run.
