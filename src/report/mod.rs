//! What people and programs read of a run: pure functions from what the journal says to text.

mod analysis;
mod calibration;
mod compare;
mod denominators;
mod github;
mod html;
mod instance;
mod json;
mod junit;
mod layout;
mod leaderboard;
mod manifest;
mod markdown;
mod material;
mod plain;
mod python_json;
mod record;
mod rows;
mod statistics;
mod submission;
mod summary;
mod table;
mod totals;

pub use analysis::{Analysis, CauseCount, Group, ModelFigures, cause_of};
pub use calibration::{CALIBRATION, Calibrated, Calibration};
pub use compare::{Change, Comparison, Flip, Seen, Side, comparison_markdown, comparison_table};
pub use denominators::{Denominators, Share};
pub use github::{github_annotations, github_summary};
pub use html::html;
pub use instance::instance_report;
pub use json::{JSON_FORMAT, json};
pub use junit::junit;
pub use layout::RunDir;
pub use leaderboard::{
    BoardDataset, Leaderboard, Standing as BoardStanding, leaderboard_csv, leaderboard_html,
    leaderboard_json, leaderboard_markdown,
};
pub use manifest::manifest;
pub use markdown::markdown;
pub use material::{Extent, FailedTest, Material, materials};
pub use plain::{printable, printable_text};
pub use record::{Detail, Entry, Made, Record};
pub use rows::{Row, csv, rows};
pub use statistics::{Interval, Mean, Paired, mcnemar, mean, pass_at_k, quantile, share, wilson};
pub use submission::write_submission;
pub use summary::{Standing, Summary, summary, summary_of};
pub use table::table;
pub use totals::{Counts, ModelReport, Remark, Report};
