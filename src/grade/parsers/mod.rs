//! The log parsers: text of a log → ordered map of test name → status. One file a language.
//!
//! They follow the behaviour of the incumbent's parsers of the same registry names, quirks
//! included, since the expected tests of published rows are named by them. They take time linear
//! in the log and accept any text.

mod c;
mod colours;
mod custom;
mod dotnet;
mod go;
mod java;
mod javascript;
mod php;
mod python;
mod reports;
mod ruby;
mod rust;
mod status_map;

#[cfg(test)]
mod tests;

pub use status_map::StatusMap;

use regex::Regex;

/// What some parsers look at beside the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    /// The id of the instance.
    pub instance_id: &'a str,
    /// The version of the project.
    pub version: &'a str,
}

/// What a parser read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The tests by name, in the order of the log.
    pub tests: StatusMap,
    /// Why the log is beyond the parser, where the incumbent's gives up with an exception. The
    /// map then holds what had been read so far.
    pub failure: Option<String>,
}

impl From<StatusMap> for Parsed {
    fn from(tests: StatusMap) -> Self {
        Self { tests, failure: None }
    }
}

impl Parsed {
    fn failed(tests: StatusMap, why: impl Into<String>) -> Self {
        Self { tests, failure: Some(why.into()) }
    }
}

/// Reads a log with the parser of this name; nothing if there is no such parser.
///
/// A name is one of the registry; or `regex:` and a pattern; or one of the registry, `:` and the
/// absolute path of a file in the sandbox ([`result_file`]), of which the path is of no matter here.
/// `text` is as [`super::decode`] gives it.
#[must_use]
pub fn parse(parser: &str, text: &str, subject: Subject<'_>) -> Option<Parsed> {
    if let Some(pattern) = parser.strip_prefix(custom::PREFIX) {
        return Some(custom::custom(pattern, text));
    }
    let parser = split_file(parser).map_or(parser, |(name, _)| name);
    let (_, parse) = REGISTRY.iter().find(|(name, _)| *name == parser)?;
    Some(match parse {
        Plain(parse) => parse(text).into(),
        Fallible(parse) => parse(text),
        OfSubject(parse) => parse(text, subject),
    })
}

/// The file of the sandbox that a parser of the form `NAME:/PATH` reads in place of the log.
#[must_use]
pub fn result_file(parser: &str) -> Option<&str> {
    if parser.starts_with(custom::PREFIX) {
        return None;
    }
    split_file(parser).map(|(_, path)| path)
}

fn split_file(parser: &str) -> Option<(&str, &str)> {
    let (name, path) = parser.split_once(':')?;
    (path.starts_with('/') && !path.contains(char::is_control)).then_some((name, path))
}

/// The names of all log parsers, the incumbent's 57 first.
pub fn parser_names() -> impl Iterator<Item = &'static str> {
    REGISTRY.iter().map(|(name, _)| *name)
}

/// Whether this is the name of a log parser.
#[must_use]
pub fn is_parser(name: &str) -> bool {
    if let Some(pattern) = name.strip_prefix(custom::PREFIX) {
        return custom::compile(pattern).is_ok();
    }
    let name = split_file(name).map_or(name, |(name, _)| name);
    parser_names().any(|known| known == name)
}

/// Why a name of the form `regex:PATTERN` is no parser.
#[must_use]
pub fn pattern_problem(name: &str) -> Option<String> {
    custom::compile(name.strip_prefix(custom::PREFIX)?).err()
}

enum Parser {
    Plain(fn(&str) -> StatusMap),
    Fallible(fn(&str) -> Parsed),
    OfSubject(fn(&str, Subject<'_>) -> Parsed),
}

use Parser::{Fallible, OfSubject, Plain};

const REGISTRY: &[(&str, Parser)] = &[
    ("parse_log_pytest", Plain(python::pytest)),
    ("parse_log_pytest_options", Plain(python::pytest_options)),
    ("parse_log_django", Fallible(python::django)),
    ("parse_log_pytest_v2", Plain(python::pytest_v2)),
    ("parse_log_seaborn", Plain(python::seaborn)),
    ("parse_log_sympy", Plain(python::sympy)),
    ("parse_log_matplotlib", Plain(python::matplotlib)),
    ("parse_log_astroid", Plain(python::pytest)),
    ("parse_log_flask", Plain(python::pytest)),
    ("parse_log_marshmallow", Plain(python::pytest)),
    ("parse_log_pvlib", Plain(python::pytest)),
    ("parse_log_pyvista", Plain(python::pytest)),
    ("parse_log_sqlfluff", Plain(python::pytest)),
    ("parse_log_xarray", Plain(python::pytest)),
    ("parse_log_pydicom", Plain(python::pytest_options)),
    ("parse_log_requests", Plain(python::pytest_options)),
    ("parse_log_pylint", Plain(python::pytest_options)),
    ("parse_log_astropy", Plain(python::pytest_v2)),
    ("parse_log_scikit", Plain(python::pytest_v2)),
    ("parse_log_sphinx", Plain(python::pytest_v2)),
    ("parse_log_calypso", Fallible(javascript::calypso)),
    ("parse_log_bpmn_js", Plain(javascript::bpmn_js)),
    ("parse_log_carbon", Plain(javascript::carbon)),
    ("parse_log_eslint", Plain(javascript::eslint)),
    ("parse_log_grommet", Plain(javascript::grommet)),
    ("parse_log_highlightjs", Plain(javascript::highlightjs)),
    ("parse_log_lighthouse", OfSubject(javascript::lighthouse)),
    ("parse_log_next", OfSubject(javascript::next)),
    ("parse_log_openlayers", Plain(javascript::openlayers)),
    ("parse_log_prismjs", Fallible(javascript::prismjs)),
    ("parse_log_quarto_cli", Plain(javascript::quarto_cli)),
    ("parse_log_chart_js", Plain(javascript::chart_js)),
    ("parse_log_marked", Plain(javascript::marked)),
    ("parse_log_p5js", Plain(javascript::p5js)),
    ("parse_log_react_pdf", Plain(javascript::carbon)),
    ("parse_log_jest", Plain(javascript::jest)),
    ("parse_log_jest_json", Plain(javascript::jest_json)),
    ("parse_log_vitest", Plain(javascript::vitest)),
    ("parse_log_karma", Fallible(javascript::karma)),
    ("parse_log_tap", Plain(javascript::tap)),
    ("parse_log_immutable_js", OfSubject(javascript::immutable_js)),
    ("parse_log_redis", Plain(c::redis)),
    ("parse_log_jq", Plain(c::jq)),
    ("parse_log_doctest", Fallible(c::doctest)),
    ("parse_log_micropython_test", Plain(c::micropython_test)),
    ("parse_log_googletest", Plain(c::googletest)),
    ("parse_log_gotest", Plain(go::gotest)),
    ("parse_log_maven", Plain(java::maven)),
    ("parse_log_ant", Plain(java::ant)),
    ("parse_log_gradle_custom", Plain(java::gradle_custom)),
    ("parse_log_phpunit", Plain(php::phpunit)),
    ("parse_log_minitest", Plain(ruby::minitest)),
    ("parse_log_cucumber", Plain(ruby::cucumber)),
    ("parse_log_ruby_unit", Plain(ruby::ruby_unit)),
    ("parse_log_rspec_transformed_json", Plain(ruby::rspec_transformed_json)),
    ("parse_log_jekyll", OfSubject(ruby::jekyll)),
    ("parse_log_cargo", Plain(rust::cargo)),
    ("unittest", Plain(python::unittest)),
    ("pytest-verbose", Plain(python::pytest_verbose)),
    ("pytest-json", Plain(reports::pytest_json)),
    ("junit-xml", Fallible(reports::junit_xml)),
    ("cargo-nextest", Plain(rust::nextest)),
    ("go-test-json", Plain(reports::go_test_json)),
    ("mocha", Plain(javascript::mocha)),
    ("dotnet", Plain(dotnet::dotnet)),
    ("ctest", Plain(c::ctest)),
    ("tap", Plain(javascript::tap13)),
    ("jest-report", Plain(reports::jest_report)),
    ("jest-report-titles", Plain(reports::jest_titles)),
    ("mocha-files", Plain(reports::mocha_files)),
    ("surefire-xml", Fallible(reports::surefire_xml)),
    ("results-json", Plain(reports::results_json)),
    ("reward", Plain(reports::reward)),
    ("exit-status", Plain(reports::exit_status)),
    ("multi-go", Plain(go::multi_go)),
    ("polybench-js", Plain(reports::polybench_js)),
    ("polybench-bazel", Plain(reports::polybench_bazel)),
    ("polybench-python", Plain(reports::polybench_python)),
];

/// A regular expression with the incumbent's meaning of `\s` (the separators U+001C–U+001F belong
/// to it) and `\w` (letters, numbers of any kind and `_`).
fn regex(text: &str) -> Regex {
    let text = text
        .replace(r"\s", r"[\s\x1c-\x1f]")
        .replace(r"\S", r"[^\s\x1c-\x1f]")
        .replace(r"\w", r"[\p{L}\p{N}_]");
    Regex::new(&text).expect("the pattern is a constant of ours")
}

/// A [`regex()`], compiled at its first use.
macro_rules! pattern {
    ($text:expr) => {{
        static PATTERN: std::sync::LazyLock<regex::Regex> =
            std::sync::LazyLock::new(|| $crate::grade::parsers::regex($text));
        &*PATTERN
    }};
}
use pattern;
