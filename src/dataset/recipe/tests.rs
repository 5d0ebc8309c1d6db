use super::super::error::Place;
use super::*;
use crate::model::{PythonSpec, RepoSource, RootSource};

const REQUESTS: &str = r#"
repo = "psf/requests"
[defaults]
log_parser = "parse_log_pytest_options"
base = "debian:bookworm"
base_packages = ["git", "build-essential"]
python = "3.9"
python_alternatives = ["3.11"]
packages = ["pytest"]
install = ["python -m pip install -e ."]
test_command = "pytest -rA"
env = { LANG = "C.UTF-8" }
[[env]]
versions = ["0.7", "0.8"]
[[env]]
versions = ["*"]
python = ""
packages = []
base = "dir:../root"
env = {}
source = "sdist:requests==2.0"
"#;

fn parsed(text: &str) -> Result<Recipe, Problems> {
    parse::parse(Path::new("/r/psf__requests.toml"), text, Some(Path::new("/r")))
}

fn problems(text: &str) -> Vec<String> {
    parsed(text).unwrap_err().list().iter().map(ToString::to_string).collect()
}

#[test]
fn a_key_of_an_env_replaces_the_default() {
    let recipe = parsed(REQUESTS).unwrap();
    let old = recipe.version("0.8").unwrap();
    assert_eq!(old.origin, "/r/psf__requests.toml, version 0.8");
    assert_eq!(old.base, RootSource::Debian("bookworm".into()));
    assert_eq!(old.repo, RepoSource::Git);
    let python = PythonSpec {
        version: Some("3.9".into()),
        alternatives: vec!["3.11".into()],
        packages: vec!["pytest".into()],
        ..PythonSpec::default()
    };
    assert_eq!(old.python, Some(python));
    assert_eq!(old.env["LANG"], "C.UTF-8");
    let other = recipe.version("2.31").unwrap();
    assert_eq!(other.base, RootSource::Directory("/root".into()));
    assert_eq!(other.repo, RepoSource::Sdist("requests==2.0".into()));
    assert_eq!(other.python, None);
    assert!(other.env.is_empty());
    assert_eq!(recipe.versions().collect::<Vec<_>>(), ["0.7", "0.8", "*"]);
}

#[test]
fn every_problem_is_found_with_its_line() {
    let found = problems(
        r#"repo = "requests"
[defaults]
test_comand = "pytest"
versions = ["1"]
base = "ubuntu"
source = "dir:"
[[env]]
versions = ["1.0", 2]
python = 3.9
packages = ["a"]
[[env]]
versions = ["1.0"]
env = { "A B" = "x" }
[[env]]
"#,
    );
    let all = found.join("\n");
    for part in [
        "toml:1: field `repo`: `requests` is not of the form `owner/name`",
        "toml:3: field `test_comand`: unknown key\n  hint: did you mean `test_command`?",
        "toml:4: field `versions`: unknown key",
        "toml:5: field `base`: `ubuntu` is no root source\n  hint: write `host`",
        "toml:6: field `source`: `dir:` is no source",
        "toml:8: field `versions`: a number where text is wanted\n  hint: put it in double quotes",
        "toml:9: field `python`: a number where text is wanted",
        "toml:12: field `versions`: version `1.0` has more than one `[[env]]`",
        "toml:13: field `env`: `A B` is no name of an environment variable",
        "toml:14: field `versions`: names no version",
    ] {
        assert!(all.contains(part), "{part}\nis not in\n{all}");
    }
    assert_eq!(found.len(), 10, "{all}");
}

#[test]
fn broken_toml_names_its_lines() {
    let errors = parsed("repo = \n[[env]\nversions = [\"1\"]\n").unwrap_err();
    assert!(errors.list().iter().any(|problem| problem.place == Some(Place::Line(1))), "{errors}");
    assert!(errors.to_string().contains("not valid TOML"), "{errors}");
}

#[test]
fn the_first_folder_that_knows_the_version_wins() {
    let temp = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| temp.path().join(name));
    for folder in [&one, &two] {
        fs_err::create_dir(folder).unwrap();
    }
    let write = |folder: &Path, versions: &str, test: &str| {
        let text = format!(
            "repo = \"o/n\"\n[[env]]\nversions = [{versions}]\ntest_command = \"{test}\"\n"
        );
        fs_err::write(folder.join("o__n.toml"), text).unwrap();
    };
    write(&one, "\"1\"", "first");
    write(&two, "\"1\", \"2\"", "second");
    let mut recipes = Recipes::new(vec![temp.path().join("absent"), one.clone(), two.clone()]);
    assert_eq!(recipes.find("o/n", "1").unwrap().test_command, "first");
    assert_eq!(recipes.find("o/n", "2").unwrap().test_command, "second");
    assert_eq!(recipes.find("o/n", "3"), None);
    assert!(recipes.remedy("o/n").contains("one/o__n.toml knows 1;"), "{}", recipes.remedy("o/n"));
    assert!(recipes.remedy("o/other").contains("configs/envs/o__other.toml"));
    assert!(recipes.into_problems().is_empty());
    assert!(validate(&one.join("o__n.toml")).is_ok());
    fs_err::rename(one.join("o__n.toml"), one.join("x.toml")).unwrap();
    let said = validate(&one.join("x.toml")).unwrap_err().to_string();
    assert!(said.contains("name the file `o__n.toml`"), "{said}");
}
