//! Bad input: everything that is wrong is told at once, with place, field and remedy.

use super::{load, load_with, options, row, write_lines};
use evalrun::dataset::{DatasetError, LoadOptions, Place, Problem};
use serde_json::{Map, Value, json};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

fn problems(path: &Path) -> Vec<Problem> {
    let error = load(path).unwrap_err();
    assert!(matches!(error, DatasetError::Input(_)), "{error}");
    error.problems().to_vec()
}

fn with(id: &str, name: &str, value: Value) -> Map<String, Value> {
    let mut row = row(id);
    row.insert(name.to_owned(), value);
    row
}

fn without(id: &str, name: &str) -> Map<String, Value> {
    let mut row = row(id);
    row.remove(name);
    row
}

/// A folder and a file in it.
fn file(name: &str) -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join(name);
    (temp, path)
}

#[test]
fn every_bad_field_is_named_with_line_and_remedy() {
    let cases = [
        (without("a", "instance_id"), "instance_id", "missing"),
        (with("a", "instance_id", json!("../x")), "instance_id", "path separator"),
        (with("a", "instance_id", json!(7)), "instance_id", "a number where text"),
        (with("a", "instance_id", json!("")), "instance_id", "empty"),
        (without("b", "repo"), "repo", "missing"),
        (with("b", "repo", json!("a/../b")), "repo", "owner/name"),
        (with("c", "version", json!(1.5)), "version", "a number where text is wanted"),
        (without("c", "version"), "version", "missing"),
        (with("d", "base_commit", json!("main; rm -rf /")), "base_commit", "no commit id"),
        (without("e", "FAIL_TO_PASS"), "FAIL_TO_PASS", "missing"),
        (with("e", "FAIL_TO_PASS", Value::Null), "FAIL_TO_PASS", "missing"),
        (with("e", "FAIL_TO_PASS", json!("a, b")), "FAIL_TO_PASS", "no JSON list"),
        (with("e", "FAIL_TO_PASS", json!("{}")), "FAIL_TO_PASS", "the JSON text of an object"),
        (with("f", "PASS_TO_PASS", json!(["a", 1])), "PASS_TO_PASS", "the list holds a number"),
        (with("f", "PASS_TO_PASS", json!({"a": 1})), "PASS_TO_PASS", "an object where a list"),
        (without("g", "image"), "image", "no recipe fits version `1.0` of o/n"),
        (with("g", "image", json!("a b")), "image", "no image name"),
        (without("h", "eval_script"), "eval_script", "missing"),
        (without("i", "log_parser"), "log_parser", "missing"),
        (with("i", "log_parser", json!("parse_log_x")), "log_parser", "no log parser is called"),
        (with("j", "eval_type", json!("pass")), "eval_type", "`pass` is not known"),
        (with("k", "patch", json!(["x"])), "patch", "a list where text is wanted"),
        (with("l", "image_assets", json!("{")), "image_assets", "no JSON"),
        (with("l", "image_assets", json!([1])), "image_assets", "a list where an object"),
        (
            with("m", "image_assets", json!({"test_patch": ["https://x/y.png"]})),
            "image_assets.test_patch",
            "without a path",
        ),
        (
            with("m", "image_assets", json!({"patch": [{"path": "../x", "url": "https://x/y"}]})),
            "image_assets.patch",
            "leaves the work tree",
        ),
        (
            with(
                "m",
                "image_assets",
                json!({"patch": [{"path": "x", "url": "file:///etc/passwd"}]}),
            ),
            "image_assets.patch",
            "no http or https",
        ),
    ];
    let (_temp, path) = file("rows.jsonl");
    let rows: Vec<_> = cases.iter().map(|(row, ..)| row.clone()).collect();
    write_lines(&path, &rows);
    let found = problems(&path);
    for (index, (_, field, what)) in cases.iter().enumerate() {
        let place = Some(Place::Line(index as u64 + 1));
        let at: Vec<_> = found.iter().filter(|problem| problem.place == place).collect();
        let fits = |problem: &&&Problem| {
            problem.field.as_deref() == Some(*field)
                && problem.what.contains(what)
                && problem.path == path
        };
        assert!(
            at.iter().any(|problem| fits(&problem)),
            "line {}: {field}: {what} is not in {at:?}",
            index + 1
        );
    }
    let said = load(&path).unwrap_err().to_string();
    assert!(said.starts_with(&format!("{} problems in the input:\n", found.len())), "{said}");
    assert!(said.contains("\n  hint: "), "{said}");
    assert!(said.ends_with(&format!("… and {} more", found.len() - 20)), "{said}");
}

#[test]
fn an_id_that_stands_twice_names_both_places() {
    let (_temp, path) = file("rows.jsonl");
    // The first is bad besides: that hides nothing.
    write_lines(&path, &[with("a", "version", json!("")), row("b"), row("a")]);
    let mut found = problems(&path);
    assert_eq!(found.len(), 2);
    found.remove(0);
    assert_eq!(found[0].place, Some(Place::Line(3)));
    assert!(found[0].what.ends_with("rows.jsonl:1 already"), "{}", found[0].what);
}

#[test]
fn damaged_files_are_told_from_wrong_rows() {
    let (_temp, path) = file("rows.jsonl");
    let good = serde_json::to_string(&row("a")).unwrap();
    let mut text = good.clone().into_bytes();
    text.extend(b"\n{\"instance_id\": \"\xfe\"}\nnot json\n[]\n");
    text.extend(&good.as_bytes()[..good.len() / 2]);
    fs_err::write(&path, text).unwrap();
    let found = problems(&path);
    let said: Vec<_> = found.iter().map(|problem| problem.what.as_str()).collect();
    assert_eq!(found.len(), 4, "{said:?}");
    assert!(said[0].contains("not valid UTF-8"));
    assert!(said[1].contains("not valid JSON"));
    assert!(said[2].contains("a list, not an object"));
    assert!(said[3].contains("ends in the middle of a row"));
    assert!(found.iter().all(|problem| problem.remedy.is_some()));

    fs_err::write(&path, "").unwrap();
    assert!(problems(&path)[0].what.contains("holds no row"));
    let (_temp, path) = file("rows.xlsx");
    fs_err::write(&path, "x").unwrap();
    assert!(problems(&path)[0].remedy.as_deref().unwrap().contains(".jsonl"));
}

#[test]
fn a_line_of_200_megabytes_is_refused_and_the_others_are_still_read() {
    let (_temp, path) = file("rows.jsonl");
    let mut file = fs_err::File::create(&path).unwrap();
    // A hole reads as zeros: a line without an end, and no room on the disk.
    file.seek(SeekFrom::Start(200 << 20)).unwrap();
    writeln!(file, "\n{}", serde_json::to_string(&without("a", "repo")).unwrap()).unwrap();
    let found = problems(&path);
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[0].place, &*found[0].what),
        (Some(Place::Line(1)), "the row is larger than 32 MiB")
    );
    assert_eq!(found[1].place, Some(Place::Line(2)));
}

#[test]
fn a_damaged_table_is_an_error_wherever_it_is_damaged() {
    let Some(real) = super::data("swebench/lite.parquet") else { return };
    let whole = fs_err::read(&real).unwrap();
    let (_temp, path) = file("rows.parquet");
    for length in [0, 3, 4, 100, whole.len() / 2, whole.len() - 1] {
        fs_err::write(&path, &whole[..length]).unwrap();
        let found = problems(&path);
        assert!(found[0].what.contains("not a whole Parquet file"), "{length}: {}", found[0].what);
    }
}

#[test]
fn text_of_a_table_that_is_no_text_is_told_with_its_column() {
    use parquet::data_type::{ByteArray, ByteArrayType};
    let schema =
        "message rows { required binary instance_id (utf8); required binary repo (utf8); }";
    let schema = parquet::schema::parser::parse_message_type(schema).unwrap();
    let (_temp, path) = file("rows.parquet");
    let file = fs_err::File::create(&path).unwrap().into_file();
    let mut writer =
        parquet::file::writer::SerializedFileWriter::new(file, schema.into(), Default::default())
            .unwrap();
    let mut group = writer.next_row_group().unwrap();
    for values in [[&b"a"[..], b"b"], [b"o/n", b"o/\xff"]] {
        let mut column = group.next_column().unwrap().unwrap();
        let values = values.map(|value| ByteArray::from(value.to_vec()));
        column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    let found = problems(&path);
    let told = found.last().unwrap();
    assert_eq!((told.place, told.field.as_deref()), (Some(Place::Row(2)), Some("repo")), "{told}");
    assert_eq!(told.what, "the text is not valid UTF-8");
}

#[test]
fn a_bad_recipe_is_told_before_the_rows_that_need_it() {
    let temp = tempfile::tempdir().unwrap();
    fs_err::write(temp.path().join("o__n.toml"), "repo = \"o/n\"\n[[env]]\nversion = [\"1.0\"]\n")
        .unwrap();
    let path = temp.path().join("rows.jsonl");
    write_lines(&path, &[without("a", "image")]);
    let options = LoadOptions { envs: vec![temp.path().to_owned()], ..options() };
    let said = load_with(path.to_str().unwrap(), &options).unwrap_err().to_string();
    let recipe =
        said.find("o__n.toml:3: field `version`: unknown key\n  hint: did you mean `versions`?");
    let row = said.find("rows.jsonl:1: a: field `image`: missing");
    assert!(recipe.is_some() && recipe < row, "{said}");
}

#[test]
fn bad_names_are_told_with_what_is_known() {
    let said = |spec: &str| load_with(spec, &options()).unwrap_err().to_string();
    assert!(said("verfied").contains("did you mean `verified`?"));
    assert!(said("no/such/file.jsonl").contains("no such file"));
    // Offline, and never loaded.
    let (temp, _) = file("x");
    let options = LoadOptions { cache: temp.path().to_owned(), ..options() };
    let error = load_with("verified", &options).unwrap_err();
    assert!(matches!(error, DatasetError::Hub { .. }), "{error}");
    assert!(error.to_string().contains("hint: load it once without --offline"), "{error}");
}
