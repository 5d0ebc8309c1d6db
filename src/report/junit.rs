//! A run as JUnit XML, as CI servers read it: a suite a model and attempt, a case an instance.
//!
//! Written are the elements and attributes that Jenkins' xUnit plugin allows (`junit-10.xsd`) and GitLab
//! reads. GitLab takes the class name for the suite and only the first of cases with the same names, so
//! the class name holds model, attempt and repository.

use super::analysis::cause_of;
use super::material::{FailedTest, Material};
use super::plain::{printable, printable_text};
use super::record::{Entry, Record};
use crate::model::VerdictKind;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::time::Duration;

/// The text; `materials` are those of [`super::materials`], or none.
#[must_use]
pub fn junit(record: &Record, materials: &[Material]) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 1);
    write(record, materials, &mut writer).expect("memory takes what is written");
    let mut text = String::from_utf8(writer.into_inner()).expect("text was written");
    text.push('\n');
    text
}

type Xml = Writer<Vec<u8>>;

/// A case: an entry with what is shown of it.
struct Case<'a> {
    entry: Entry<'a>,
    material: &'a Material,
    class: String,
    result: CaseResult,
}

/// How a case counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CaseResult {
    Passed,
    Failed,
    Error,
    Skipped,
}

fn write(record: &Record, materials: &[Material], xml: &mut Xml) -> io::Result<()> {
    let suites = suites(record, materials);
    let all = || suites.values().flatten();
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let run_id = printable(&record.state.header.run_id);
    let root = xml.create_element("testsuites").with_attributes([
        ("name", run_id.as_str()),
        ("tests", &all().count().to_string()),
        ("failures", &count(all(), CaseResult::Failed)),
        ("errors", &count(all(), CaseResult::Error)),
        ("time", &seconds(all().map(time).sum())),
    ]);
    root.write_inner_content(|xml| {
        for ((model, attempt), cases) in &suites {
            suite(record, (model, *attempt), cases, xml)?;
        }
        Ok(())
    })?;
    Ok(())
}

fn suites<'a>(
    record: &'a Record,
    materials: &'a [Material],
) -> BTreeMap<(&'a str, u32), Vec<Case<'a>>> {
    static NOTHING: Material = Material {
        patch: String::new(),
        patch_left_out: 0,
        tests: Vec::new(),
        tests_left_out: 0,
        log_end: Vec::new(),
    };
    let instances = &record.state.header.instances;
    let repos: HashMap<_, _> = instances.iter().map(|one| (&one.id, &*one.repo)).collect();
    let mut suites: BTreeMap<(&str, u32), Vec<Case<'a>>> = BTreeMap::new();
    for (at, entry) in record.entries().into_iter().enumerate() {
        let key = entry.key;
        let repo = repos.get(&key.instance_id).copied().unwrap_or_default().replace('/', "__");
        let attempt = if key.attempt > 1 { format!("#{}", key.attempt) } else { String::new() };
        let class = printable(&format!("{}{attempt}.{repo}", key.model));
        let material = materials.get(at).unwrap_or(&NOTHING);
        let case = Case { entry, material, class, result: CaseResult::of(&entry) };
        suites.entry((&*key.model, key.attempt)).or_default().push(case);
    }
    suites
}

impl CaseResult {
    /// What failed and passed when it ran again is flaky: a passed case with a flaky failure.
    fn of(entry: &Entry<'_>) -> Self {
        match entry.done.map(|done| (done.kind, done.flaky)) {
            None => Self::Skipped,
            Some((VerdictKind::Resolved, _) | (VerdictKind::Unresolved, true)) => Self::Passed,
            Some((VerdictKind::Infra, _)) => Self::Error,
            Some(_) => Self::Failed,
        }
    }
}

fn suite(
    record: &Record,
    (model, attempt): (&str, u32),
    cases: &[Case<'_>],
    xml: &mut Xml,
) -> io::Result<()> {
    let name = match attempt {
        1 => printable(model),
        more => printable(&format!("{model} (attempt {more})")),
    };
    let element = xml.create_element("testsuite").with_attributes([
        ("name", name.as_str()),
        ("tests", &cases.len().to_string()),
        ("failures", &count(cases.iter(), CaseResult::Failed)),
        ("errors", &count(cases.iter(), CaseResult::Error)),
        ("skipped", &count(cases.iter(), CaseResult::Skipped)),
        ("time", &seconds(cases.iter().map(time).sum())),
        // Jenkins reads a time without zone as UTC.
        ("timestamp", &record.state.began.strftime("%Y-%m-%dT%H:%M:%S").to_string()),
    ]);
    element.write_inner_content(|xml| {
        properties(record, (model, attempt), xml)?;
        for one in cases {
            case(one, xml)?;
        }
        Ok(())
    })?;
    Ok(())
}

fn properties(record: &Record, (model, attempt): (&str, u32), xml: &mut Xml) -> io::Result<()> {
    let header = &record.state.header;
    let properties = [
        ("run_id", header.run_id.clone()),
        ("model", model.to_owned()),
        ("attempt", attempt.to_string()),
        ("dataset", format!("{} ({})", header.dataset.name, header.dataset.split)),
        ("dataset_sha256", header.dataset.digest.to_string()),
        ("evalrun", header.versions.evalrun.clone()),
        ("grader", header.versions.grader.to_string()),
        ("backend", header.host.backend.clone()),
    ];
    xml.create_element("properties").write_inner_content(|xml| {
        for (name, value) in &properties {
            let value = printable(value);
            let element = xml.create_element("property");
            element.with_attributes([("name", *name), ("value", &value)]).write_empty()?;
        }
        Ok(())
    })?;
    Ok(())
}

fn case(case: &Case<'_>, xml: &mut Xml) -> io::Result<()> {
    let element = xml.create_element("testcase").with_attributes([
        ("classname", case.class.as_str()),
        ("name", case.entry.key.instance_id.as_str()),
        ("time", &seconds(time(case))),
    ]);
    let lines = remarks(case);
    let retried = &case.entry.detail.retried;
    if case.result == CaseResult::Passed
        && retried.is_empty()
        && lines.is_empty()
        && case.entry.resolved()
    {
        return element.write_empty().map(|_| ());
    }
    element.write_inner_content(|xml| {
        verdict(case, xml)?;
        again(case, xml)?;
        if !lines.is_empty() {
            let text = lines.join("\n");
            xml.create_element("system-out").write_text_content(BytesText::new(&text))?;
        }
        Ok(())
    })?;
    Ok(())
}

/// The failure, the error, or why there is nothing yet.
fn verdict(case: &Case<'_>, xml: &mut Xml) -> io::Result<()> {
    let name = match case.result {
        CaseResult::Passed => return Ok(()),
        CaseResult::Failed => "failure",
        CaseResult::Error => "error",
        CaseResult::Skipped => "skipped",
    };
    let kind = case.entry.done.map_or("not_run", |done| done.kind.name());
    let element = xml.create_element(name);
    let element = element.with_attributes([("type", kind), ("message", &message(case))]);
    match story(case) {
        text if text.is_empty() => element.write_empty(),
        text => element.write_text_content(BytesText::new(&text)),
    }
    .map(|_| ())
}

/// What ran again: failed tests, and rounds that our own trouble ended.
fn again(case: &Case<'_>, xml: &mut Xml) -> io::Result<()> {
    let passed = case.result == CaseResult::Passed;
    let of_trouble = if passed { "flakyError" } else { "rerunError" };
    for cause in &case.entry.detail.retried {
        rerun(of_trouble, (&cause.reason, &cause.reason), &cause.detail, xml)?;
    }
    let Some(reruns) = &case.entry.detail.reruns else { return Ok(()) };
    if passed && case.entry.done.is_some_and(|done| done.flaky) {
        return rerun("flakyFailure", ("unresolved", &message(case)), &story(case), xml);
    }
    if !passed {
        for _ in 0..reruns.runs {
            let said = format!("passed in a rerun: {}", listed(&reruns.passed));
            rerun("rerunFailure", ("unresolved", "failed again"), &said, xml)?;
        }
    }
    Ok(())
}

fn rerun(
    element: &str,
    (kind, message): (&str, &str),
    story: &str,
    xml: &mut Xml,
) -> io::Result<()> {
    let (kind, message, story) = (printable(kind), printable(message), printable_text(story));
    let element = xml.create_element(element);
    let element = element.with_attributes([("type", kind.as_str()), ("message", &message)]);
    element.write_inner_content(|xml| {
        xml.create_element("stackTrace").write_text_content(BytesText::new(&story))?;
        Ok(())
    })?;
    Ok(())
}

fn message(case: &Case<'_>) -> String {
    let Some(done) = case.entry.done else { return "it has no verdict yet".to_owned() };
    let cause = cause_of(done).unwrap_or_else(|| done.kind.name().replace('_', " "));
    let tests = done.tests.map(|tests| {
        let ((a, b), (c, d)) = (tests.fail_to_pass, tests.pass_to_pass);
        format!(" (FAIL_TO_PASS {a} of {b}, PASS_TO_PASS {c} of {d})")
    });
    printable(&(cause + tests.as_deref().unwrap_or_default()))
}

/// The tests that failed with their part of the log, or what else there is to tell.
fn story(case: &Case<'_>) -> String {
    let mut parts = Vec::new();
    let material = case.material;
    for FailedTest { name, passed_before, log } in &material.tests {
        let should = if *passed_before { "should pass still" } else { "should pass now" };
        parts.push(format!("{should}: {}", printable(name)));
        parts.extend(log.iter().map(|line| format!("    {line}")));
    }
    if material.tests_left_out > 0 {
        parts.push(format!("… and {} more tests", material.tests_left_out));
    }
    let done = case.entry.done;
    if let Some(cause) = done.and_then(|done| done.cause.as_ref()) {
        parts.push(printable_text(&cause.detail));
    }
    parts.extend(material.log_end.iter().cloned());
    parts.join("\n")
}

/// What a reader should know beside the verdict.
fn remarks(case: &Case<'_>) -> Vec<String> {
    let detail = case.entry.detail;
    let mut lines = Vec::new();
    for sign in &detail.signs {
        lines.push(format!("{} ({}): {}", sign.reason, sign.trust.name(), sign.evidence));
    }
    for one in &detail.evidence {
        lines.push(format!("evidence of {}: {}", one.reason, one.detail));
    }
    if let Some(run) = &detail.known_from {
        lines.push(format!("the verdict was known from run {run}"));
    }
    lines.extend(case.entry.done.map(|done| done.notes.clone()).unwrap_or_default());
    lines.iter().map(|line| printable(line)).collect()
}

fn listed(tests: &[String]) -> String {
    if tests.is_empty() { "none".to_owned() } else { tests.join(", ") }
}

fn count<'a>(cases: impl Iterator<Item = &'a Case<'a>>, result: CaseResult) -> String {
    cases.filter(|case| case.result == result).count().to_string()
}

fn time(case: &Case<'_>) -> Duration {
    case.entry.done.map(|done| done.usage.wall).unwrap_or_default()
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}
