//! `evalrun compare`: what was gained and lost between runs.

use super::args::CompareArgs;
use super::exit::{self, Failure};
use super::{Session, calibrate, policy};
use crate::report::{Comparison, Side, comparison_markdown, comparison_table};
use anyhow::anyhow;

pub(super) fn run(args: &CompareArgs, session: &Session) -> Result<u8, Failure> {
    let settings = &session.settings;
    let known = calibrate::read(&settings.calibration_file()?)?;
    let runs: Vec<Vec<Side>> =
        args.runs.iter().map(|named| policy::sides(named, settings)).collect::<Result<_, _>>()?;
    let mut pairs: Vec<(&Side, &Side)> = Vec::new();
    match runs.as_slice() {
        [alone] => {
            let Some((first, others)) = alone.split_first().filter(|(_, more)| !more.is_empty())
            else {
                return Err(Failure::input(anyhow!("a run of one model has nothing to compare"))
                    .hint("name a second run, or a report in SWE-bench's form"));
            };
            pairs.extend(others.iter().map(|other| (first, other)));
        }
        [first, others @ ..] => {
            for other in others {
                pairs.extend(policy::pairs(first, other)?);
            }
        }
        [] => {}
    }
    let found: Vec<Comparison> =
        pairs.into_iter().map(|(a, b)| Comparison::of(a, b, known.as_ref())).collect();
    let terminal = &session.terminal;
    if terminal.json {
        terminal.print_json(&found);
    } else {
        let text = if args.markdown { comparison_markdown } else { comparison_table };
        terminal.print(&found.iter().map(text).collect::<Vec<_>>().join("\n"));
    }
    Ok(exit::FINISHED)
}
