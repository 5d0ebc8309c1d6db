//! The script of the fake back-end in this suite: as much shell as the cases for it need.

use bytes::Bytes;
use evalrun::model::Status;
use evalrun::sandbox::fake::{Invocation, Reply};
use std::collections::HashMap;
use std::time::Duration;

/// Answers for `sh -c LINE` and for single words; what it does not know is code 127.
pub(crate) fn answer(invocation: &Invocation<'_>) -> Reply {
    let argv: Vec<&str> = invocation.command.argv.iter().map(String::as_str).collect();
    let mut shell = Shell { reply: Reply::code(0, ""), files: invocation.files.clone() };
    match &argv[..] {
        ["/bin/sh" | "sh", "-c", line] => {
            let _ = line.split("; ").try_for_each(|step| shell.step(step));
        }
        words => drop(shell.step(&words.join(" "))),
    }
    shell.reply
}

struct Shell {
    reply: Reply,
    files: HashMap<String, Bytes>,
}

/// The command ends here.
struct End;

impl Shell {
    fn step(&mut self, step: &str) -> Result<(), End> {
        let (words, to) = step.split_once(" > ").map_or((step, None), |(a, b)| (a, Some(b)));
        let words: Vec<&str> = words.split(' ').collect();
        match &words[..] {
            ["true"] => {}
            ["exit", code] => return self.end(Status::Code(code.parse().unwrap_or(2))),
            ["kill", signal, "$$"] => {
                let signal = signal.trim_start_matches('-').parse().unwrap_or(15);
                return self.end(Status::Signal(signal));
            }
            ["sleep", seconds] => {
                self.reply.takes += Duration::from_secs_f64(seconds.parse().unwrap_or(0.0));
            }
            ["echo", rest @ ..] => self.print(format!("{}\n", rest.join(" ")).into(), to),
            ["head", "-c", count, "/dev/zero"] => {
                self.print(vec![0; count.parse().unwrap_or(0)].into(), to);
            }
            // More than any limit on output in this suite lets through.
            ["yes"] => {
                self.print(b"y\n".repeat(16 << 20).into(), to);
                self.reply.takes += Duration::from_secs(3600);
            }
            ["cat", path] => match self.files.get(*path).cloned() {
                Some(bytes) => self.print(bytes, to),
                None => return self.end(Status::Code(1)),
            },
            _ => return self.end(Status::Code(127)),
        }
        Ok(())
    }

    fn end(&mut self, status: Status) -> Result<(), End> {
        self.reply.status = status;
        Err(End)
    }

    fn print(&mut self, bytes: Bytes, to: Option<&str>) {
        match to {
            Some(path) => {
                self.files.insert(path.to_owned(), bytes.clone());
                self.reply.writes.push((path.to_owned(), bytes));
            }
            None => self.reply.stdout = [&self.reply.stdout[..], &bytes[..]].concat().into(),
        }
    }
}
