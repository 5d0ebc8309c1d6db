//! Task lists and predictions, from files as people have them.

use evalrun::dataset::{self, Dataset, DatasetError, LoadOptions, instance_digest};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

mod bad;
mod hub;
mod predictions;
mod scripts;

/// Options that name nothing outside the project.
fn options() -> LoadOptions {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    LoadOptions {
        split: None,
        registry: root.join("datasets/registry.toml"),
        envs: vec![root.join("configs/envs")],
        cache: PathBuf::from("/nowhere"),
        hf_endpoint: None,
        hf_token: None,
        revision: None,
        offline: true,
        known_parser: Some(evalrun::grade::is_parser),
    }
}

fn load_with(spec: &str, options: &LoadOptions) -> Result<Dataset, DatasetError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(dataset::load(spec, options))
}

fn load(path: &Path) -> Result<Dataset, DatasetError> {
    load_with(path.to_str().unwrap(), &options())
}

/// A file of the real data; none, with a message, where the data is not at hand.
fn data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("EVALRUN_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
    eprintln!("skipped: {} is missing", path.display());
    None
}

/// A whole row of the 5.x format.
fn row(id: &str) -> Map<String, Value> {
    let row = json!({
        "repo": "o/n", "instance_id": id, "version": "1.0", "base_commit": "0123456789abcdef",
        "patch": "diff --git a/x b/x\n", "test_patch": "", "problem_statement": "broken",
        "FAIL_TO_PASS": ["a"], "PASS_TO_PASS": "[\"b\", \"c\"]", "image": "some/image:latest",
        "eval_script": "#!/bin/bash\ntrue\n", "log_parser": "parse_log_pytest",
        "eval_type": "pass_and_fail",
    });
    let Value::Object(row) = row else { unreachable!() };
    row
}

fn write_lines(path: &Path, rows: &[Map<String, Value>]) {
    let lines: Vec<_> = rows.iter().map(|row| serde_json::to_string(row).unwrap() + "\n").collect();
    fs_err::write(path, lines.concat()).unwrap();
}

fn read_lines(path: &Path) -> Vec<Map<String, Value>> {
    let text = fs_err::read_to_string(path).unwrap();
    text.split('\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The rows of a table of texts, read without evalrun.
fn parquet_rows(path: &Path) -> Vec<Map<String, Value>> {
    let reader = SerializedFileReader::new(fs_err::File::open(path).unwrap().into_file()).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    let text = |field: Field| match field {
        Field::Str(text) => Value::String(text),
        other => panic!("{other:?}"),
    };
    rows.map(|row| {
        row.unwrap().into_columns().into_iter().map(|(name, field)| (name, text(field))).collect()
    })
    .collect()
}

#[test]
fn every_real_row_loads() {
    for (name, count) in [
        ("verified.jsonl", 500),
        ("verified.parquet", 500),
        ("lite.parquet", 300),
        ("multilingual.jsonl", 300),
        ("multimodal-dev.jsonl", 102),
    ] {
        let Some(path) = data(&format!("swebench/{name}")) else { return };
        let dataset = load(&path).unwrap();
        assert_eq!(dataset.instances.len(), count, "{name}");
        assert_eq!(dataset.ids.len(), count, "{name}");
        let with_assets =
            dataset.instances.iter().filter(|one| !one.image_assets.is_empty()).count();
        assert_eq!(with_assets > 0, name.starts_with("multimodal"), "{name}");
    }
}

#[test]
fn the_container_and_the_order_of_columns_and_rows_do_not_matter() {
    let (Some(lines), Some(table), Some(lite)) = (
        data("swebench/verified.jsonl"),
        data("swebench/verified.parquet"),
        data("swebench/lite.parquet"),
    ) else {
        return;
    };
    let [lines, table] = [lines, table].map(|path| load(&path).unwrap());
    assert_eq!(lines.instances, table.instances);
    assert_eq!(lines.digest, table.digest);

    let temp = tempfile::tempdir().unwrap();
    let rows = parquet_rows(&lite);
    let from_table = load(&lite).unwrap();
    let path = temp.path().join("lite.jsonl");
    write_lines(&path, &rows);
    let from_lines = load(&path).unwrap();
    assert_eq!(from_lines.instances, from_table.instances);
    assert_eq!(from_lines.digest, from_table.digest);

    let path = temp.path().join("lite.json");
    let turned: Vec<Map<_, _>> =
        rows.iter().rev().map(|row| row.clone().into_iter().rev().collect()).collect();
    fs_err::write(&path, serde_json::to_vec_pretty(&turned).unwrap()).unwrap();
    let from_list = load(&path).unwrap();
    assert!(from_list.instances.iter().rev().eq(&from_table.instances));
    assert_eq!(from_list.digest, from_table.digest);

    let path = temp.path().join("lite.csv");
    let names: Vec<_> = rows[0].keys().collect();
    let mut csv = csv::Writer::from_path(&path).unwrap();
    csv.write_record(&names).unwrap();
    for row in &rows {
        csv.write_record(names.iter().map(|name| row[*name].as_str().unwrap())).unwrap();
    }
    csv.flush().unwrap();
    assert_eq!(load(&path).unwrap().instances, from_table.instances);
}

#[test]
fn the_digest_covers_what_bears_on_verdicts_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("rows.jsonl");
    let digest = |change: &dyn Fn(&mut Map<String, Value>)| {
        let mut changed = row("o__n-1");
        change(&mut changed);
        write_lines(&path, &[changed, row("o__n-2")]);
        let dataset = load(&path).unwrap();
        assert_ne!(instance_digest(&dataset.instances[0]), instance_digest(&dataset.instances[1]));
        dataset.digest
    };
    let set = |name: &'static str, value: Value| {
        move |row: &mut Map<String, Value>| {
            row.insert(name.to_owned(), value.clone());
        }
    };
    let plain = digest(&|_| {});
    for (name, value) in [
        ("problem_statement", json!("other")),
        ("hints_text", json!("x")),
        ("patch", json!("other")),
        ("difficulty", json!("easy")),
        ("FAIL_TO_PASS", json!("[\"a\"]")),
    ] {
        assert_eq!(digest(&set(name, value)), plain, "{name}");
    }
    for (name, value) in [
        ("repo", json!("o/m")),
        ("base_commit", json!("0123456789abcdee")),
        ("version", json!("1.1")),
        ("test_patch", json!("x")),
        ("FAIL_TO_PASS", json!(["a", "d"])),
        ("PASS_TO_PASS", json!([])),
        ("image", json!("other")),
        ("eval_script", json!("other")),
        ("log_parser", json!("parse_log_django")),
        ("eval_type", json!("fail_only")),
        ("image_assets", json!({"test_patch": [{"path": "a", "url": "https://x/a"}]})),
    ] {
        assert_ne!(digest(&set(name, value)), plain, "{name}");
    }
}

#[test]
fn directories_of_splits_and_dataset_directories() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("bench");
    fs_err::create_dir_all(folder.join("data")).unwrap();
    write_lines(&folder.join("test.jsonl"), &[row("o__n-1")]);
    write_lines(&folder.join("data/dev-00000-of-00002.jsonl"), &[row("o__n-2")]);
    write_lines(&folder.join("data/dev-00001-of-00002.jsonl"), &[row("o__n-3")]);
    let dataset = load(&folder).unwrap();
    assert_eq!((dataset.name.as_str(), dataset.split.as_str()), ("bench", "test"));
    assert_eq!(dataset.instances.len(), 1);
    let of = |split: &str| LoadOptions { split: Some(split.into()), ..options() };
    let dev = load_with(folder.to_str().unwrap(), &of("dev")).unwrap();
    assert_eq!((dev.split.as_str(), dev.instances.len()), ("dev", 2));
    let said = load_with(folder.to_str().unwrap(), &of("train")).unwrap_err().to_string();
    assert!(said.contains("its splits are dev, test: name one with --split"), "{said}");

    // Rows of the 4.x format with recipes of their own.
    let own = temp.path().join("own");
    fs_err::create_dir_all(own.join("recipes")).unwrap();
    fs_err::write(
        own.join("dataset.toml"),
        "name = \"mine\"\nrows = \"rows.jsonl\"\nenvs = \"recipes\"\n",
    )
    .unwrap();
    let recipe = "repo = \"o/n\"\n[[env]]\nversions = [\"1.0\"]\nsource = \"dir:../code\"\ntest_command = \"./run\"\nlog_parser = \"parse_log_pytest\"\n";
    fs_err::write(own.join("recipes/o__n.toml"), recipe).unwrap();
    let mut old = row("O__n-1");
    for name in ["image", "eval_script", "log_parser", "eval_type", "base_commit"] {
        old.remove(name);
    }
    write_lines(&own.join("rows.jsonl"), &[old]);
    let dataset = load(&own).unwrap();
    assert_eq!(dataset.name, "mine");
    assert_eq!(dataset.directory.as_deref(), Some(own.as_path()));
    let instance = &dataset.instances[0];
    assert!(instance.image_name.ends_with(".o_1776_n-1:latest"), "{}", instance.image_name);
    assert!(instance.eval_script.contains("\n./run\n"), "{}", instance.eval_script);
    let env = instance.env.as_deref().unwrap();
    assert_eq!(env.repo, evalrun::model::RepoSource::Directory(own.join("code")));

    fs_err::write(own.join("dataset.toml"), "name = \"mine\"\nrow = \"rows.jsonl\"\n").unwrap();
    let said = load(&own).unwrap_err().to_string();
    assert!(said.contains("dataset.toml:2: unknown field `row`"), "{said}");
}
