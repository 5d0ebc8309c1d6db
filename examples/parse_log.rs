//! Reads logs with any log parser: a JSON object a line on standard input, `{"parser", "hex"}` with
//! the log's bytes in hexadecimal and, where the parser asks for them, `instance_id` and `version`;
//! a line `{"tests": [[name, status], …], "failure"}` each on standard output.

use evalrun::grade::{Subject, decode, parse};
use serde_json::{Value, json};
use std::io::{BufRead, Write, stdin, stdout};

fn main() -> anyhow::Result<()> {
    let mut output = stdout().lock();
    for line in stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let text = |key: &str| request[key].as_str().unwrap_or_default();
        let log = hex::decode(text("hex"))?;
        let subject = Subject { instance_id: text("instance_id"), version: text("version") };
        let answer = match parse(text("parser"), &decode(&log), subject) {
            Some(parsed) => {
                let tests: Vec<_> = parsed.tests.iter().collect();
                json!({ "tests": tests, "failure": parsed.failure })
            }
            None => json!({ "error": "no such parser" }),
        };
        writeln!(output, "{answer}")?;
    }
    Ok(())
}
