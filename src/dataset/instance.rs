//! From a row, of the 4.x or the 5.x format, to a resolved instance.

use super::assets;
use super::error::{Place, Problems};
use super::fields::{Fields, short};
use super::read::Row;
use super::recipe::Recipes;
use super::script;
use crate::model::{EnvSpec, EvalType, Instance, InstanceId, RepoSource, TESTBED};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Repositories whose 4.x rows count a test as failed only if it is seen to fail, as in swebench
/// 4.1.0; rows of the 5.x format say it themselves (`eval_type`).
const FAIL_ONLY: [&str; 3] = ["chartjs/Chart.js", "markedjs/marked", "processing/p5.js"];

/// What rows are resolved against.
pub(super) struct Resolver<'a> {
    pub(super) recipes: Recipes,
    pub(super) known_parser: Option<fn(&str) -> bool>,
    pub(super) problems: &'a mut Problems,
    /// Where the ids of the rows so far stand.
    pub(super) seen: HashMap<InstanceId, (PathBuf, Place)>,
}

impl Resolver<'_> {
    /// The instance of a row; none if something is wrong with it, which is noted.
    pub(super) fn instance(&mut self, path: &Path, row: Row) -> Option<Instance> {
        let Self { recipes, known_parser, problems, seen } = self;
        let mut row = Fields::new(path, row, problems);
        let id = id(&mut row, seen);
        let repo = repo(&mut row);
        let version =
            row.required("version", "every row names the version of its project, as text");
        let env = match (&repo, &version) {
            (Some(repo), Some(version)) => recipes.find(repo, version),
            _ => None,
        };
        let image =
            ["image", "image_name", "docker_image"].iter().find_map(|name| row.filled(name));
        if let Some(name) = &image
            && name.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            row.wrong("image", format!("`{}` is no image name", short(name)), "");
        }
        let built = row.has("dockerfile");
        if let (None, None, false, Some(repo), Some(version)) =
            (&image, &env, built, &repo, &version)
        {
            let what = format!("missing, and no recipe fits version `{version}` of {repo}");
            row.wrong("image", what, recipes.remedy(repo));
        }
        let base_commit = commit(&mut row, "base_commit");
        let from_git = env.as_ref().is_some_and(|env| env.repo == RepoSource::Git);
        if base_commit.is_none() && image.is_none() && from_git && row.good() {
            row.wrong(
                "base_commit",
                "missing",
                "the image is built from the repository at this commit",
            );
        }
        let test_patch = test_patch(&mut row);
        let log_parser = log_parser(&mut row, env.as_deref(), *known_parser);
        let eval_type = eval_type(&mut row, repo.as_deref().unwrap_or(""));
        let eval_script =
            eval_script(&mut row, env.as_deref(), &test_patch, base_commit.as_deref());
        let work_dir = work_dir(&mut row);
        let instance = Instance {
            work_dir,
            dockerfile: dockerfile(&mut row),
            image_name: image.or_else(|| id.as_ref().map(image_name)).unwrap_or_default(),
            environment_setup_commit: commit(&mut row, "environment_setup_commit"),
            gold_patch: row.filled("patch"),
            difficulty: row.filled("difficulty"),
            fail_to_pass: row.list("FAIL_TO_PASS").unwrap_or_default(),
            pass_to_pass: row.list("PASS_TO_PASS").unwrap_or_default(),
            image_assets: assets::take(&mut row),
            id: id?,
            repo: repo?,
            version: version?,
            base_commit,
            env: env.map(|env| Arc::clone(&env)),
            test_patch,
            eval_script,
            log_parser,
            eval_type,
        };
        row.good().then_some(instance)
    }
}

fn id(
    row: &mut Fields<'_>,
    seen: &mut HashMap<InstanceId, (PathBuf, Place)>,
) -> Option<InstanceId> {
    let hint = "every row has an id of its own, by custom `owner__name-number`";
    let text = row.required("instance_id", hint)?;
    let id = match InstanceId::new(&text) {
        Ok(id) => id,
        Err(error) => {
            let hint = "an id is used in file names: leave out `/`, `\\` and control characters";
            row.wrong("instance_id", error.to_string(), hint);
            return None;
        }
    };
    match seen.entry(id.clone()) {
        Entry::Occupied(first) => {
            let (path, place) = first.get();
            let what = format!("the id stands at {}{place} already", path.display());
            row.wrong("instance_id", what, hint);
        }
        Entry::Vacant(free) => {
            free.insert((row.path().to_owned(), row.place()));
        }
    }
    Some(id)
}

fn repo(row: &mut Fields<'_>) -> Option<String> {
    let hint = "write the repository as `owner/name`";
    let text = row.required("repo", hint)?;
    if !super::is_repo(&text) {
        row.wrong("repo", format!("`{}` is not of the form `owner/name`", short(&text)), hint);
        return None;
    }
    Some(text)
}

/// The file that a row says its image is built from; relative to the folder of the rows' file.
fn dockerfile(row: &mut Fields<'_>) -> Option<PathBuf> {
    let named = row.filled("dockerfile")?;
    let path = row.path().parent().unwrap_or(Path::new(".")).join(&named);
    if !path.is_file() {
        let what = format!("no such file: {}", path.display());
        row.wrong("dockerfile", what, "name a Dockerfile, whose folder is the context");
        return None;
    }
    Some(std::path::absolute(&path).unwrap_or(path))
}

fn work_dir(row: &mut Fields<'_>) -> String {
    let Some(path) = row.filled("work_dir") else { return TESTBED.to_owned() };
    let steps_out = path.split('/').any(|part| part == "..");
    if !path.starts_with('/') || path.len() < 2 || steps_out || path.contains(char::is_control) {
        let what = format!("`{}` is no absolute path", short(&path));
        row.wrong("work_dir", what, "write where the repository stands, for example `/testbed`");
    }
    path
}

fn commit(row: &mut Fields<'_>, name: &str) -> Option<String> {
    let text = row.filled(name)?;
    let valid = (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !valid {
        row.wrong(
            name,
            format!("`{}` is no commit id", short(&text)),
            "write 7 to 64 hexadecimal digits",
        );
        return None;
    }
    Some(text)
}

/// The change that brings the tests; a row with a script of its own carries it there as well.
fn test_patch(row: &mut Fields<'_>) -> String {
    let needed = !row.has("eval_script");
    let there = row.has("test_patch");
    let text = row.text("test_patch");
    if needed && text.is_none() && !there {
        row.wrong(
            "test_patch",
            "missing",
            "the evaluation script is made from it; write \"\" if there is none",
        );
    }
    text.unwrap_or_default()
}

fn log_parser(
    row: &mut Fields<'_>,
    env: Option<&EnvSpec>,
    known: Option<fn(&str) -> bool>,
) -> String {
    let own = row.filled("log_parser");
    let name = own.or_else(|| env.map(|env| env.log_parser.clone())).unwrap_or_default();
    if name.is_empty() {
        // A missing recipe is a problem of its own already.
        if row.good() {
            row.wrong(
                "log_parser",
                "missing, and the recipe names none",
                "name one, for example `parse_log_pytest`",
            );
        }
    } else if known.is_some_and(|known| !known(&name)) {
        let what = format!("no log parser is called `{}`", short(&name));
        row.wrong(
            "log_parser",
            what,
            "take one of swebench's names, for example `parse_log_pytest`, another that `evalrun \
             parse --list` shows, or `regex:` and a pattern with the groups `name` and `status`",
        );
    }
    name
}

fn eval_type(row: &mut Fields<'_>, repo: &str) -> EvalType {
    match row.filled("eval_type").as_deref() {
        Some("pass_and_fail") => EvalType::PassAndFail,
        Some("fail_only") => EvalType::FailOnly,
        None if FAIL_ONLY.contains(&repo) => EvalType::FailOnly,
        None => EvalType::PassAndFail,
        Some(other) => {
            let what = format!("`{}` is not known", short(other));
            row.wrong("eval_type", what, "write `pass_and_fail` or `fail_only`");
            EvalType::PassAndFail
        }
    }
}

fn eval_script(
    row: &mut Fields<'_>,
    env: Option<&EnvSpec>,
    test_patch: &str,
    base_commit: Option<&str>,
) -> String {
    if let Some(script) = row.filled("eval_script") {
        return script;
    }
    match env {
        Some(env) if !env.test_command.is_empty() => script::generate(env, test_patch, base_commit),
        Some(env) => {
            let what = "missing, and the recipe has no `test_command` to make one from";
            row.wrong("eval_script", what, format!("add `test_command` to {}", env.origin));
            String::new()
        }
        None => {
            if row.good() {
                row.wrong(
                    "eval_script",
                    "missing",
                    "rows without one need a recipe with a `test_command`",
                );
            }
            String::new()
        }
    }
}

/// The name under which the incumbent's images of this instance are published.
fn image_name(id: &InstanceId) -> String {
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let id = id.as_str().replace("__", "_1776_").to_lowercase();
    format!("swebench/sweb.eval.{arch}.{id}:latest")
}
