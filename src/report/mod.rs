//! What people and programs read of a run: pure functions from what the journal says to text.

mod calibration;
mod denominators;
mod instance;
mod layout;
mod manifest;
mod python_json;
mod summary;
mod table;
mod totals;

pub use calibration::{CALIBRATION, Calibrated, Calibration};
pub use denominators::{Denominators, Share};
pub use instance::instance_report;
pub use layout::RunDir;
pub use manifest::manifest;
pub use summary::{Standing, Summary, summary, summary_of};
pub use table::table;
pub use totals::{Counts, ModelReport, Report};
