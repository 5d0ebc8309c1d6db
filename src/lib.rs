//! evalrun evaluates coding agents: it loads SWE-bench-style task lists, builds cached layered
//! images, runs every candidate patch in an isolated sandbox and turns the outcome into verdicts.
//!
//! The modules stand in the order of their dependencies: each may use only those before it. The
//! test `architecture` reads the `use` lines and enforces it.

// 1. The words: plain values that every other module speaks in.
pub mod model;

// 2. Every foreign dialect of rows and predictions, resolved and validated.
pub mod dataset;

// 3. From what a run left behind to a verdict.
pub mod grade;

// 4. The content-addressed store of root file system layers.
pub mod layers;

// 5. Sandboxes: the traits and their back-ends.
pub mod sandbox;

// 6. Which layers an instance needs, and how they are built.
pub mod image;

// 7. One prediction in one sandbox.
pub mod evaluate;

// 8. The append-only record of a run.
pub mod journal;

// 9. What past runs taught.
pub mod history;

// 10. What people and programs read of a run.
pub mod report;

// 10. …and runs judged anew from their logs.
pub mod regrade;

// 11. The conductor of a run.
pub mod run;

// 13. The command line.
pub mod cli;
