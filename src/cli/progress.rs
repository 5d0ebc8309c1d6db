//! How far a run is, for people: one moving line on a terminal, plain lines elsewhere.

use super::terminal::Terminal;
use crate::model::VerdictKind;
use crate::run::{Progress, ProgressSink, Silent, Tally};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use std::fmt::Write as _;
use std::time::Duration;

/// Without a terminal a line is written at least this often.
const SILENCE: Duration = Duration::from_secs(30);

/// What fits the terminal.
pub(super) fn sink(terminal: &Terminal) -> Box<dyn ProgressSink> {
    if terminal.quiet {
        Box::new(Silent)
    } else if terminal.moving {
        Box::new(Moving::new())
    } else {
        Box::new(Plain { terminal: terminal.clone(), said: Duration::ZERO })
    }
}

/// One line that is drawn over itself.
struct Moving {
    bar: ProgressBar,
}

impl Moving {
    fn new() -> Self {
        let style =
            ProgressStyle::with_template("{elapsed_precise} {bar:24} {pos}/{len} {wide_msg}")
                .expect("the template is well-formed");
        let bar = ProgressBar::new(0).with_style(style);
        Self { bar }
    }
}

impl ProgressSink for Moving {
    fn progress(&mut self, event: &Progress<'_>, tally: &Tally) {
        self.bar.set_length(tally.total as u64);
        self.bar.set_position(tally.finished() as u64);
        self.bar.set_message(numbers(tally));
        match event {
            Progress::Retrying { .. } | Progress::Stopping => {
                if let Some(line) = line(event) {
                    self.bar.println(line);
                }
            }
            Progress::Done { kind: VerdictKind::Infra, .. } => {
                if let Some(line) = line(event) {
                    self.bar.println(line);
                }
            }
            Progress::Tick => self.bar.tick(),
            _ => {}
        }
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A line an event.
struct Plain {
    terminal: Terminal,
    /// When something was said last, from the beginning of the session.
    said: Duration,
}

impl ProgressSink for Plain {
    fn progress(&mut self, event: &Progress<'_>, tally: &Tally) {
        let text = match line(event) {
            Some(line) => format!("[{}/{}] {line}", tally.finished(), tally.total),
            None if tally.elapsed.saturating_sub(self.said) >= SILENCE => {
                format!("[{}/{}] {}", tally.finished(), tally.total, numbers(tally))
            }
            None => return,
        };
        self.said = tally.elapsed;
        self.terminal.say(&text);
    }
}

/// What an event says, if it is worth a line.
fn line(event: &Progress<'_>) -> Option<String> {
    Some(match event {
        Progress::Done { key, kind, why, took, known } => {
            let mut text = match known {
                Some(known) => format!("{} {key} (known from {})", kind.name(), known.run_id),
                None => format!("{} {key} ({:.1}s)", kind.name(), took.as_secs_f64()),
            };
            if let Some(why) = why {
                let _ = write!(text, ": {}", first_line(why));
            }
            text
        }
        Progress::Retrying { key, cause, after } => format!(
            "trouble with {key}, again in {:.0}s: {}: {}",
            after.as_secs_f64(),
            cause.reason,
            first_line(&cause.detail)
        ),
        Progress::ImageReady { name, built, took } if *built > 0 => {
            format!("built {name} ({built} layers, {:.1}s)", took.as_secs_f64())
        }
        Progress::Stopping => "ending what runs …".to_owned(),
        _ => return None,
    })
}

/// The first line, without what could drive a terminal: it may come from a program under test.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    line.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// The run in numbers.
fn numbers(tally: &Tally) -> String {
    let resolved = tally.of(VerdictKind::Resolved);
    let infra = tally.of(VerdictKind::Infra);
    let mut text = format!(
        "{resolved} resolved, {} unresolved, {infra} infra, {} running",
        tally.finished() - resolved - infra,
        tally.running
    );
    for (count, what) in
        [(tally.building, "building"), (tally.retrying, "retrying"), (tally.ready, "waiting")]
    {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    if let Some(eta) = tally.eta {
        let _ = write!(text, ", {} left", HumanDuration(eta));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InstanceId, PredictionKey};

    #[test]
    fn the_numbers_add_up_and_zeroes_are_left_out() {
        let done =
            [(VerdictKind::Resolved, 3), (VerdictKind::PatchRejected, 2), (VerdictKind::Infra, 1)];
        let tally = Tally {
            total: 10,
            done: done.into_iter().collect(),
            running: 2,
            eta: Some(Duration::from_secs(90)),
            ..Tally::default()
        };
        let text = numbers(&tally);
        assert_eq!(text, "3 resolved, 2 unresolved, 1 infra, 2 running, 2 minutes left");
    }

    #[test]
    fn what_a_program_under_test_said_cannot_drive_the_terminal() {
        let key = PredictionKey {
            model: "m".into(),
            instance_id: InstanceId::new("a__a-1").unwrap(),
            attempt: 1,
        };
        let event = Progress::Done {
            key: &key,
            kind: VerdictKind::LogUnusable,
            why: Some("\u{1b}[2Jgone\nmore"),
            took: Duration::from_millis(1234),
            known: None,
        };
        assert_eq!(line(&event).unwrap(), "log_unusable a__a-1 by m (1.2s): [2Jgone");
    }
}
