//! Reports of a made-up run, as a user asks for them.

#[path = "../../examples/synthetic_run/run/mod.rs"]
mod run;

use super::cli::evalrun;
use evalrun::report::{Record, RunDir, Side};
use run::{HOSTILE, Shape};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A cache, and the reports of one run of 60 instances, 3 models and 2 attempts.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shape = Shape { instances: 60, ..Shape::default() };
        run::write(&folder.path().join("reports"), &shape).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn call(&self, args: &[&str]) -> Output {
        let reports = self.path("reports");
        let args: Vec<&str> =
            args.iter().copied().chain(["--report-dir", reports.to_str().unwrap()]).collect();
        evalrun(&self.path("home"), &args)
    }

    fn report(&self, format: &str) -> String {
        let output = self.call(&["report", "synthetic", "--format", format]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn code(output: &Output) -> Option<i32> {
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    output.status.code()
}

#[test]
fn every_format_tells_of_every_attempt() {
    let place = Place::new();
    let json: Value = serde_json::from_str(&place.report("json")).unwrap();
    let results = json["results"].as_array().unwrap();
    assert_eq!(results.len(), 60 * 3 * 2);
    let resolved = |model: &str, last: u64| {
        let own = results.iter().filter(|row| row["model"] == model && row["resolved"] == true);
        own.filter(|row| row["attempt"].as_u64().unwrap() <= last).count()
    };
    for model in json["models"].as_array().unwrap() {
        let name = model["model"].as_str().unwrap();
        assert_eq!(model["resolved"], resolved(name, 1));
        let all = resolved(name, 2);
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let mean = all as f64 / 120.0;
        assert!((model["pass_at"][0]["value"].as_f64().unwrap() - mean).abs() < 1e-9);
        assert!(model["pass_at"][1]["value"].as_f64().unwrap() >= mean);
    }
    let mut rows = csv::Reader::from_reader(std::io::Cursor::new(place.report("csv")));
    assert_eq!(rows.records().map(Result::unwrap).count(), results.len());
    let markdown = place.report("markdown");
    assert!(markdown.contains("| aurora-2 |") && markdown.contains("&lt;img src=x"));
    assert!(!markdown.contains("<img") && !markdown.contains("<script"));
    let table = place.report("table");
    assert!(table.contains("aurora-2") && table.contains("resolved %"));
}

#[test]
fn nothing_of_a_model_drives_a_terminal_or_a_page() {
    let place = Place::new();
    for format in ["table", "json", "csv", "markdown", "html", "junit", "github"] {
        let text = place.report(format);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{format}");
    }
    let page = place.report("html");
    assert!(!page.contains("<img") && !page.contains("pwned=1</script>"));
    assert!(page.contains("&#60;img src=x"), "the name is shown as text");
    assert_eq!(page.matches("<script").count(), page.matches("</script>").count());
    assert!(!page.contains(" style=") && !page.contains(" onclick"));
    assert!(page.contains("default-src &#39;none&#39;"), "there is a policy");
}

#[test]
fn policies_for_ci_have_their_codes() {
    let place = Place::new();
    let better = Shape { run_id: "better".into(), instances: 60, skill: 0.4, ..Shape::default() };
    run::write(&place.path("reports"), &better).unwrap();
    let report = |run: &str, flags: &[&str]| {
        let args: Vec<&str> = ["report", run, "--quiet"].iter().chain(flags).copied().collect();
        code(&place.call(&args))
    };
    assert_eq!(report("synthetic", &[]), Some(0));
    assert_eq!(report("synthetic", &["--fail-under", "1%"]), Some(0));
    assert_eq!(report("synthetic", &["--fail-under", "99%"]), Some(4));
    assert_eq!(report("synthetic", &["--fail-on-regression", "better"]), Some(5));
    assert_eq!(report("better", &["--fail-on-regression", "better"]), Some(0));
    assert_eq!(report("synthetic", &["--fail-on-infra", "0"]), Some(6));
    assert_eq!(report("synthetic", &["--max-infra", "0"]), Some(6));
    assert_eq!(report("synthetic", &["--fail-on-infra", "50%"]), Some(0));
    // A run that goes on meets no policy.
    let journal = place.path("reports/better/journal.jsonl");
    let text = fs_err::read_to_string(&journal).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    fs_err::write(&journal, lines[..lines.len() - 40].join("\n") + "\n").unwrap();
    assert_eq!(report("better", &["--fail-under", "1%"]), Some(7));
    assert_eq!(report("better", &[]), Some(0));
    assert_eq!(report("nothing", &[]), Some(2));
    assert_eq!(report("synthetic", &["--fail-on-regression", "nothing"]), Some(2));
}

#[test]
fn a_report_of_another_harness_is_a_baseline() {
    let place = Place::new();
    let dir = RunDir::new(&place.path("reports"), "synthetic");
    let record = Record::load(dir.path()).unwrap();
    let side = Side::of(&record, "aurora-2", "x");
    let not = side.seen.iter().filter(|(_, seen)| seen.resolved == Some(false) && !seen.flaky);
    let id = not.map(|(id, _)| id).next().unwrap();
    let baseline = place.path("aurora-2.theirs.json");
    let one = |id: &str| format!("{{\"resolved_ids\": [\"{id}\"], \"unresolved_ids\": []}}");
    fs_err::write(&baseline, one(id)).unwrap();
    let args = ["report", "synthetic", "-q", "--fail-on-regression", baseline.to_str().unwrap()];
    let output = place.call(&args);
    assert_eq!(code(&output), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("regression: {id} was")));
    fs_err::write(&baseline, one("not__here-1")).unwrap();
    assert_eq!(code(&place.call(&args)), Some(0));
}

#[test]
fn junit_is_what_jenkins_and_gitlab_read() {
    let place = Place::new();
    let file = place.path("junit.xml");
    let args = ["report", "synthetic", "--format", "junit", "--to", file.to_str().unwrap()];
    assert_eq!(code(&place.call(&args)), Some(0));
    let text = fs_err::read_to_string(&file).unwrap();
    for element in ["<failure ", "<error ", "<flakyFailure ", "<rerunFailure "] {
        assert!(text.contains(element), "no {element}");
    }
    for schema in ["jenkins.xsd", "gitlab.xsd"] {
        let schema =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/junit").join(schema);
        let checked = Command::new("xmllint")
            .args(["--noout", "--schema", schema.to_str().unwrap(), file.to_str().unwrap()])
            .output();
        let Ok(checked) = checked else {
            assert!(std::env::var("CI").is_err(), "xmllint is not here");
            eprintln!("skipped: there is no xmllint");
            return;
        };
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn github_gets_a_summary_and_annotations() {
    let place = Place::new();
    let text = place.report("github");
    assert!(text.contains("## evalrun: synthetic"));
    let commands: Vec<&str> = text.lines().filter(|line| line.starts_with("::")).collect();
    assert!(commands[0].starts_with("::notice title=evalrun%3A "), "{}", commands[0]);
    assert!(commands.iter().any(|line| line.starts_with("::warning file=")));
    assert!(commands.len() <= 30);
    let summary = place.path("summary.md");
    let output = Command::new(env!("CARGO_BIN_EXE_evalrun"))
        .args(["report", "synthetic", "--format", "github", "--report-dir"])
        .arg(place.path("reports"))
        .env("EVALRUN_HOME", place.path("home"))
        .env("GITHUB_STEP_SUMMARY", &summary)
        .output()
        .unwrap();
    assert_eq!(code(&output), Some(0));
    assert!(fs_err::read_to_string(summary).unwrap().contains("## evalrun: synthetic"));
    assert!(String::from_utf8(output.stdout).unwrap().lines().all(|line| line.starts_with("::")));
}

/// By the program that GitHub renders Markdown with.
#[test]
fn the_summary_is_rendered() {
    let place = Place::new();
    let summary = place.path("summary.md");
    fs_err::write(&summary, place.report("markdown")).unwrap();
    let rendered = Command::new("cmark-gfm")
        .args(["--unsafe", "--extension", "table", "--extension", "autolink"])
        .args(["--extension", "strikethrough", "--extension", "tagfilter"])
        .arg(&summary)
        .output();
    let Ok(rendered) = rendered else {
        assert!(std::env::var("CI").is_err(), "cmark-gfm is not here");
        eprintln!("skipped: there is no cmark-gfm");
        return;
    };
    let page = String::from_utf8(rendered.stdout).unwrap();
    let count = |what: &str| page.matches(what).count();
    // Two tables of models, and four by what the instances are, each to open.
    assert_eq!((count("<table>"), count("</details>")), (6, 5), "{page}");
    assert!(count("</td>") > 3 * 6 && count("</h2>") == 1);
    assert!(!page.contains("|:"), "a table that is none: {page}");
    // A model's name is text.
    let known = "h2 p table thead tbody tr th td ul li strong code a details summary sub";
    let is_known = |tag: &str| {
        let tag = tag.trim_start_matches('/');
        let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
        known.split(' ').any(|known| known == name)
    };
    let unknown: Vec<&str> = page.split('<').skip(1).filter(|tag| !is_known(tag)).collect();
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn a_submission_has_the_leaderboards_layout() {
    let place = Place::new();
    let to = place.path("20260301_aurora");
    let args = ["report", "synthetic", "--format", "swebench", "--to", to.to_str().unwrap()];
    assert_eq!(code(&place.call(&args)), Some(2), "there are several models");
    let named: Vec<&str> = args.iter().copied().chain(["--model", "aurora-2"]).collect();
    assert_eq!(code(&place.call(&named)), Some(0));
    let predictions = fs_err::read_to_string(to.join("all_preds.jsonl")).unwrap();
    let lines: Vec<Value> =
        predictions.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 60);
    assert!(lines.iter().all(|line| line["model_name_or_path"] == "aurora-2"));
    let results = fs_err::read_to_string(to.join("results/results.json")).unwrap();
    let results: Value = serde_json::from_str(&results).unwrap();
    let id = results["resolved"][0].as_str().unwrap();
    assert!(to.join("logs").join(id).join("test_output.txt").is_file());
    let metadata = fs_err::read_to_string(to.join("metadata.yaml")).unwrap();
    assert!(metadata.contains("name: \"aurora-2\"") && metadata.contains("attempts: \"2+\""));
    assert_eq!(code(&place.call(&named)), Some(2), "a folder that holds something is kept");
    let hostile: Vec<&str> = args.iter().copied().chain(["--model", HOSTILE]).collect();
    let other = place.path("other");
    let hostile: Vec<&str> = hostile
        .into_iter()
        .map(|arg| if Path::new(arg) == to { other.to_str().unwrap() } else { arg })
        .collect();
    assert_eq!(code(&place.call(&hostile)), Some(0));
    let readme = fs_err::read_to_string(other.join("README.md")).unwrap();
    assert!(!readme.contains("<script") && readme.contains("&lt;script"));
}

#[test]
fn runs_are_compared_and_ranked() {
    let place = Place::new();
    let better = Shape { run_id: "better".into(), instances: 60, skill: 0.4, ..Shape::default() };
    run::write(&place.path("reports"), &better).unwrap();
    let output = place.call(&["compare", "synthetic", "better", "--json"]);
    assert_eq!(code(&output), Some(0));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 3, "a comparison a model");
    let one = &found[1];
    let count = |key: &str| one["paired"][key].as_u64().unwrap();
    let total = count("both") + count("gained") + count("lost") + count("neither");
    assert_eq!(total + one["without_verdict"].as_u64().unwrap(), 60);
    assert_eq!(one["gained"].as_array().unwrap().len() as u64, count("gained"));
    assert!(count("gained") > count("lost") && one["difference"].as_f64().unwrap() > 0.0);
    // The made-up models propose the same both times.
    let flips = one["gained"].as_array().unwrap().iter().chain(one["lost"].as_array().unwrap());
    assert!(flips.clone().all(|flip| flip["same_patch"] == true));
    let text = String::from_utf8(place.call(&["compare", "synthetic", "better"]).stdout).unwrap();
    assert!(text.contains("McNemar") && text.contains("django/django"), "{text}");
    let models = place.call(&["compare", "synthetic", "--markdown"]);
    assert!(String::from_utf8(models.stdout).unwrap().contains("aurora-2 (synthetic)"));

    let board = |flags: &[&str]| {
        let args: Vec<&str> =
            ["leaderboard", "synthetic", "better"].iter().chain(flags).copied().collect();
        let output = place.call(&args);
        assert_eq!(code(&output), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    let ranked: Value = serde_json::from_str(&board(&["--json"])).unwrap();
    let ranking = ranked["datasets"][0]["ranking"].as_array().unwrap();
    assert_eq!(ranking.len(), 6);
    let shares: Vec<f64> = ranking.iter().map(|one| one["share"].as_f64().unwrap()).collect();
    assert!(shares.windows(2).all(|pair| pair[0] >= pair[1]));
    let costs = place.path("costs.json");
    fs_err::write(&costs, "{\"aurora-2\": 12.5}").unwrap();
    let csv = board(&["--csv", "--costs", costs.to_str().unwrap()]);
    assert!(csv.lines().count() == 7 && csv.contains(",12.5,"));
    assert!(board(&["--markdown"]).contains("pass@2"));
    let page = board(&["--html"]);
    assert_eq!(page, board(&["--html"]), "the same runs give the same page");
    assert!(
        !page.contains("<script")
            && !page.contains("<img")
            && page.contains("id=\"synthetic--test-")
    );
    let ids: Vec<&str> =
        page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let links = page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next());
    for link in links {
        assert!(ids.contains(&link), "{link} leads nowhere");
    }
}
