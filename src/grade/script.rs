//! Evaluation scripts: where their tests begin and end, and how their exit status is recorded.

mod lexer;

#[cfg(test)]
mod tests;

/// Stands in the line before the tests.
pub const START: &str = ">>>>> Start Test Output";
/// Stands in the line after the tests.
pub const END: &str = ">>>>> End Test Output";
/// Stands before the tests' exit status in a log.
pub const EXIT_CODE: &str = ">>>>> Test Exit Code";

/// Stands before the path of a file that was taken out of the sandbox into a log; its content
/// follows in the next line.
pub const RESULT_FILE: &str = ">>>>> Result File";

const SHEBANG: &str = "#!/bin/bash";
const OPTIONS: &str = "set -uxo pipefail";
const STATUS_VARIABLE: &str = "SWEBENCH_TEST_EXIT_CODE";

/// An evaluation script, by its two marker lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut<'a> {
    /// Both marker lines stand once, as commands of their own at the script's top level, the
    /// start before the end. The parts are whole lines; the marker lines belong to none.
    ThreeParts {
        /// Before the start marker.
        prepare: &'a str,
        /// The tests.
        test: &'a str,
        /// After the end marker.
        finish: &'a str,
    },
    /// The script cannot be cut: its tests are known by the text of the log alone.
    Whole,
}

/// Cuts a script at its marker lines, `: '>>>>> …'` or `echo '>>>>> …'`.
///
/// A marker counts where a command of the top level may stand: not in a here-document (a test
/// patch may quote one), nor in quotes, a function, a loop, a group or a subshell. A script whose
/// later parts could not be run by a shell of their own (it sets traps, redirects the shell itself
/// or leaves jobs behind) is not cut.
#[must_use]
pub fn cut(eval_script: &str) -> Cut<'_> {
    let Some(lines) = lexer::top_level_lines(eval_script) else { return Cut::Whole };
    let (Some(start), Some(end)) = (only(&lines, START), only(&lines, END)) else {
        return Cut::Whole;
    };
    if start.end > end.start {
        return Cut::Whole;
    }
    Cut::ThreeParts {
        prepare: &eval_script[..start.start],
        test: &eval_script[start.end..end.start],
        finish: &eval_script[end.end..],
    }
}

/// The line of this marker, if the marker stands outside here-documents exactly once and the line
/// is a command of its own.
fn only<'l>(lines: &'l lexer::Lines<'_>, marker: &str) -> Option<&'l lexer::Line> {
    let mut mentions = lines.all.iter().filter(|line| lines.text(line).contains(marker));
    let line = mentions.next()?;
    let alone = mentions.next().is_none() && line.top_level;
    (alone && is_marker_command(lines.text(line), marker)).then_some(line)
}

/// Whether the script prints its markers with `echo`, tracing switched off, instead of having
/// them appear in the shell's trace.
#[must_use]
pub fn echoes_markers(eval_script: &str) -> bool {
    eval_script
        .lines()
        .any(|line| line.trim_start().starts_with("echo ") && is_marker_command(line, END))
}

fn is_marker_command(line: &str, marker: &str) -> bool {
    let line = line.trim_matches([' ', '\t', '\r', '\n']);
    let argument = line.strip_prefix(": ").or_else(|| line.strip_prefix("echo "));
    let Some(argument) = argument.map(|text| text.trim_start_matches([' ', '\t'])) else {
        return false;
    };
    ['\'', '"'].into_iter().any(|quote| {
        argument.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) == Some(marker)
    })
}

/// The script as the incumbent runs it: shebang and shell options once and at the top, the exit
/// status of the command before the first line that holds the end marker kept, and printed after
/// that line. A script without an end marker only gets the top.
#[must_use]
pub fn with_recorded_status(eval_script: &str) -> String {
    let mut script = format!("{SHEBANG}\n{OPTIONS}\n");
    let mut recorded = false;
    let body = eval_script.trim_matches(super::text::is_space);
    for line in body.split('\n').filter(|line| *line != SHEBANG && *line != OPTIONS) {
        let ends = !recorded && line.contains(END);
        if ends {
            script.push_str(&format!("{STATUS_VARIABLE}=$?\n"));
        }
        script.push_str(line);
        script.push('\n');
        if ends {
            script.push_str(&format!("echo \"{EXIT_CODE}: ${STATUS_VARIABLE}\"\n"));
            recorded = true;
        }
    }
    script
}

/// What the shell's trace writes between the tests' last output and the end marker, in a log of
/// [`with_recorded_status`]. The incumbent's parsers read it as part of the section.
pub(super) fn trace_after_tests(status: i32) -> String {
    format!("+ {STATUS_VARIABLE}={status}\n+ : '")
}
