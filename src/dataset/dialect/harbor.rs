//! Task directories of Harbor (`task.toml`) and of Terminal-Bench before it (`task.yaml`).
//!
//! Source: the documentation of Harbor (`harborframework.com/docs/tasks`, `…/task-difference`). The
//! verifier is `tests/test.sh`, copied to `/tests`; it leaves a number in
//! `/logs/verifier/reward.txt`, or an object in `reward.json`, and 1 is resolved. Terminal-Bench runs
//! `run-tests.sh` and reads pytest's summary; all tests must pass there, which is when it exits
//! with 0. Here each task is one expected test, `reward` or `tests`. A candidate is a patch of the
//! work tree, which stands at the last `WORKDIR` of the task's Dockerfile; a reference solution is a
//! script and no patch, so such tasks have none.

use super::NO_VERSION;
use super::polybench::work_dir;
use super::script::{Script, write_file};
use crate::dataset::Place;
use crate::dataset::error::Problem;
use crate::dataset::read::Row;
use crate::dataset::script::quoted;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The files of a task's tests may have so many bytes: they travel in the evaluation script.
const MAX_TESTS: u64 = 8 << 20;

/// Whether a directory is a task, or holds directories that are.
pub(in crate::dataset) fn holds_tasks(folder: &Path) -> bool {
    let inside = || fs_err::read_dir(folder).into_iter().flatten().flatten();
    is_task(folder) || inside().any(|entry| is_task(&entry.path()))
}

/// Whether a directory is a task.
fn is_task(folder: &Path) -> bool {
    folder.join("task.toml").is_file()
        || folder.join("task.yaml").is_file() && folder.join("run-tests.sh").is_file()
}

/// A row for each task: of the folder itself if it is one, else of the folders in it.
pub(in crate::dataset) fn tasks(
    folder: &Path,
    sink: &mut dyn FnMut(&Path, Result<Row, Problem>),
) -> std::io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    if !is_task(folder) {
        folders.clear();
        for entry in fs_err::read_dir(folder)? {
            folders.push(entry?.path());
        }
        folders.retain(|folder| is_task(folder));
        folders.sort();
    }
    for folder in folders {
        let harbor = folder.join("task.toml");
        let (file, row) = if harbor.is_file() {
            (harbor, of_harbor(&folder))
        } else {
            (folder.join("task.yaml"), of_terminal_bench(&folder))
        };
        sink(&file, row);
    }
    Ok(())
}

fn of_harbor(folder: &Path) -> Result<Row, Problem> {
    let file = folder.join("task.toml");
    let text = read(&file)?;
    let task: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| {
            Place::Line(text[..span.start.min(text.len())].matches('\n').count() as u64 + 1)
        });
        Problem::new(&file, error.message().trim_end()).at(line)
    })?;
    let section = |name: &str, key: &str| {
        let value = task.get(name).and_then(|section| section.get(key));
        value.and_then(toml::Value::as_str).map(str::to_owned)
    };
    let name = section("task", "name").unwrap_or_else(|| stem(folder));
    let dockerfile = read(&folder.join("environment/Dockerfile")).unwrap_or_default();
    let work_dir = work_dir(&dockerfile).unwrap_or("/app");
    let script = Script {
        work_dir,
        prepare: with_tests(&folder.join("tests"))?
            + "rm -rf /logs/verifier\nmkdir -p /logs/verifier\n",
        test: "bash /tests/test.sh\n\
            set +x\n\
            evalrun_reward=$(cat /logs/verifier/reward.txt 2>/dev/null || sed -n \
            's/.*\"reward\"[^0-9]*\\([0-9.]*\\).*/\\1/p' /logs/verifier/reward.json 2>/dev/null)\n\
            printf '\\nreward: %s\\n' \"$evalrun_reward\""
            .to_owned(),
        ..Script::default()
    };
    let parts = Parts {
        name,
        image: section("environment", "docker_image"),
        instruction: read(&folder.join("instruction.md"))?,
        difficulty: section("metadata", "difficulty"),
        script: script.text(),
        work_dir,
        parser: ("reward", "reward"),
    };
    Ok(parts.row())
}

fn of_terminal_bench(folder: &Path) -> Result<Row, Problem> {
    let file = folder.join("task.yaml");
    let text = read(&file)?;
    let parser = scalar(&text, "parser_name").unwrap_or("pytest");
    if parser != "pytest" {
        let what = format!("`{parser}` is a parser of that benchmark alone");
        let problem = Problem::new(&file, what).field("parser_name");
        return Err(problem.hint("only tasks that are read by `pytest` can be converted"));
    }
    let dockerfile = read(&folder.join("Dockerfile")).unwrap_or_default();
    let work_dir = work_dir(&dockerfile).unwrap_or("/app");
    let runner = write_file("/tests/run-tests.sh", &read(&folder.join("run-tests.sh"))?);
    let script = Script {
        work_dir,
        prepare: format!("{}{runner}export TEST_DIR=/tests\n", with_tests(&folder.join("tests"))?),
        test: "bash /tests/run-tests.sh\n\
            { evalrun_status=$?; set +x; } 2>/dev/null\n\
            printf '\\nexit status: %s\\n' \"$evalrun_status\""
            .to_owned(),
        ..Script::default()
    };
    let parts = Parts {
        name: stem(folder),
        image: None,
        instruction: block(&text, "instruction"),
        difficulty: scalar(&text, "difficulty").map(str::to_owned),
        script: script.text(),
        work_dir,
        parser: ("exit-status", "tests"),
    };
    Ok(parts.row())
}

/// What a task's row is made of.
struct Parts<'a> {
    name: String,
    image: Option<String>,
    instruction: String,
    difficulty: Option<String>,
    script: String,
    work_dir: &'a str,
    /// The parser, and the one test it gives.
    parser: (&'a str, &'a str),
}

impl Parts<'_> {
    fn row(self) -> Row {
        let id = self.name.replace('/', "__");
        let repo = match self.name.split_once('/') {
            Some(_) => self.name.clone(),
            None => format!("tasks/{}", self.name),
        };
        // Where a task names no image, one under its own name has to be there.
        let image = self.image.unwrap_or_else(|| format!("{}:latest", id.to_lowercase()));
        let (parser, test) = self.parser;
        let row = json!({
            "instance_id": id,
            "repo": repo,
            "version": NO_VERSION,
            "problem_statement": self.instruction,
            "difficulty": self.difficulty,
            "test_patch": "",
            "FAIL_TO_PASS": [test],
            "PASS_TO_PASS": [],
            "image": image,
            "eval_script": self.script,
            "log_parser": parser,
            "eval_type": "pass_and_fail",
            "work_dir": self.work_dir,
        });
        let fields: Map<String, Value> = match row {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        Row { place: Place::Line(1), key: None, fields }
    }
}

/// Lines that write the files of a folder below `/tests`.
fn with_tests(folder: &Path) -> Result<String, Problem> {
    let mut script = "rm -rf /tests\nmkdir -p /tests\n".to_owned();
    let mut left = MAX_TESTS;
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in walkdir::WalkDir::new(folder).follow_links(true).sort_by_file_name() {
        let entry =
            entry.map_err(|error| Problem::new(folder, format!("cannot be read: {error}")))?;
        if entry.file_type().is_file() {
            files.push(entry.into_path());
        }
    }
    if files.is_empty() {
        return Err(Problem::new(folder, "holds no test"));
    }
    for file in files {
        let bytes = fs_err::read(&file)
            .map_err(|error| Problem::new(&file, format!("cannot be read: {error}")))?;
        left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            Problem::new(folder, format!("the tests have more than {} MiB", MAX_TESTS >> 20))
                .hint("make an image that holds the large files")
        })?;
        let inside = file.strip_prefix(folder).unwrap_or(&file);
        let path = format!("/tests/{}", inside.display());
        if let Some((parent, _)) = path.rsplit_once('/')
            && parent != "/tests"
        {
            let _ = writeln!(script, "mkdir -p {}", quoted(parent));
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) if !text.contains('\0') && text.ends_with('\n') => {
                script.push_str(&write_file(&path, text));
            }
            _ => {
                let _ = writeln!(script, "printf '{}' > {}", octal(&bytes), quoted(&path));
            }
        }
    }
    Ok(script)
}

/// Bytes as the shell's `printf` writes them.
fn octal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\{byte:03o}");
        text
    })
}

fn read(path: &Path) -> Result<String, Problem> {
    fs_err::read_to_string(path)
        .map_err(|error| Problem::new(path, format!("cannot be read: {error}")))
}

fn stem(folder: &Path) -> String {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    folder.file_name().map_or_else(|| "task".to_owned(), |name| name.to_string_lossy().into())
}

/// The value of a top-level key of YAML that stands in its line.
fn scalar<'t>(yaml: &'t str, key: &str) -> Option<&'t str> {
    let value = yaml.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let value = value.split(" #").next().unwrap_or(value).trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then_some(value)
}

/// The text of a top-level key, in its line or in the indented block below it.
fn block(yaml: &str, key: &str) -> String {
    let mut lines = yaml.lines().skip_while(|line| {
        line.strip_prefix(key).and_then(|rest| rest.strip_prefix(':')).is_none()
    });
    let first = lines.next().and_then(|line| line.split_once(':')).map_or("", |(_, text)| text);
    if !first.trim().starts_with(['|', '>']) && !first.trim().is_empty() {
        return first.trim().trim_matches(['"', '\'']).to_owned();
    }
    let inside: Vec<&str> =
        lines.take_while(|line| line.starts_with([' ', '\t']) || line.trim().is_empty()).collect();
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let filled = inside.iter().filter(|line| !line.trim().is_empty());
    let least = filled.map(indent).min().unwrap_or(0);
    let lines = inside.iter().map(|line| line.get(least..).unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}
