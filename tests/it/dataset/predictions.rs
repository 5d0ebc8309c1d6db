//! Predictions and selections.

use super::{data, load, row, write_lines};
use evalrun::dataset::{Dataset, Place, Selection, load_predictions};
use evalrun::model::Prediction;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::path::Path;

fn dataset(ids: &[&str]) -> Dataset {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("rows.jsonl");
    write_lines(&path, &ids.iter().map(|id| row(id)).collect::<Vec<_>>());
    load(&path).unwrap()
}

fn prediction(id: &str, model: &str, patch: impl Into<Value>) -> Map<String, Value> {
    let value =
        json!({"instance_id": id, "model_name_or_path": model, "model_patch": patch.into()});
    let Value::Object(map) = value else { unreachable!() };
    map
}

fn short(all: &[Prediction]) -> Vec<(&str, &str, Option<&str>, u32)> {
    all.iter()
        .map(|one| (one.instance_id.as_str(), &*one.model, one.patch.as_deref(), one.attempt))
        .collect()
}

fn spec(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_real_predictions_load_against_the_real_rows() {
    let (Some(rows), Some(predictions)) =
        (data("swebench/lite.parquet"), data("predictions/sweagent.jsonl"))
    else {
        return;
    };
    let dataset = load(&rows).unwrap();
    let predictions = load_predictions(&[spec(&predictions)], &dataset).unwrap();
    assert_eq!(predictions.len(), 271);
    assert_eq!(predictions.iter().filter(|one| one.is_empty()).count(), 26);
    let gold = load_predictions(&["gold".into()], &dataset).unwrap();
    assert_eq!(gold.len(), 300);
    assert!(gold.iter().all(|one| !one.is_empty() && &*one.model == "gold" && one.attempt == 1));
}

#[test]
fn files_models_and_attempts_are_kept_apart() {
    let dataset = dataset(&["a", "b"]);
    let temp = tempfile::tempdir().unwrap();
    let lines = temp.path().join("one.jsonl");
    write_lines(
        &lines,
        &[prediction("a", "m", "x"), prediction("a", "o/m", "x"), prediction("a", "m", "x")],
    );
    let list = temp.path().join("two.json");
    fs_err::write(&list, json!([prediction("a", "m", "y"), prediction("b", "m", "")]).to_string())
        .unwrap();
    let by_id = temp.path().join("z.json");
    let text = json!({"b": {"model_name_or_path": "m", "model_patch": null}, "a": prediction("a", "m", "z")});
    fs_err::write(&by_id, text.to_string()).unwrap();
    let expected = [
        ("a", "m", Some("x"), 1),
        ("a", "o/m", Some("x"), 1),
        ("a", "m", Some("x"), 2),
        ("a", "m", Some("y"), 3),
        ("b", "m", None, 1),
        ("b", "m", None, 2),
        ("a", "m", Some("z"), 4),
        ("a", "empty", None, 1),
        ("b", "empty", None, 1),
    ];
    let specs = [spec(&lines), spec(&list), spec(&by_id), "empty".to_owned()];
    assert_eq!(short(&load_predictions(&specs, &dataset).unwrap()), expected);
    // The same from the directory, whose files are taken by name.
    let specs = [spec(temp.path()), "empty".to_owned()];
    assert_eq!(short(&load_predictions(&specs, &dataset).unwrap()), expected);
}

#[test]
fn every_bad_prediction_is_told() {
    let dataset = dataset(&["o__n-1", "o__n-2"]);
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("p.jsonl");
    let mut no_model = prediction("o__n-1", "m", "x");
    no_model.remove("model_name_or_path");
    let mut no_patch = prediction("o__n-1", "m", "x");
    no_patch.remove("model_patch");
    let rows = [
        no_model,
        no_patch,
        prediction("o__n-3", "m", "x"),
        prediction("../../etc", "m", "x"),
        prediction("o__n-1", "..", "x"),
        prediction("o__n-1", "m", 7),
        prediction("o__n-1", "a/b", "x"),
        prediction("o__n-1", "a__b", "x"),
    ];
    write_lines(&path, &rows);
    let absent = temp.path().join("absent.jsonl");
    let error =
        load_predictions(&[spec(&path), spec(&absent), "glod".into()], &dataset).unwrap_err();
    let told = error.to_string();
    for part in [
        "p.jsonl:1: o__n-1: field `model_name_or_path`: missing\n  hint: add `\"model_name_or_path\"",
        "p.jsonl:2: o__n-1: field `model_patch`: missing",
        "p.jsonl:3: o__n-3: field `instance_id`: `o__n-3` is no instance of rows, split test\n  hint: did you mean `o__n-1`?",
        "p.jsonl:4: ../../etc: field `instance_id`: `../../etc` cannot be used as an id",
        "p.jsonl:5: o__n-1: field `model_name_or_path`: `..` names a directory",
        "p.jsonl:6: o__n-1: field `model_patch`: a number where text is wanted",
        "p.jsonl:8: field `model_name_or_path`: `a__b` and `a/b` would share one directory",
        "absent.jsonl: no such file",
        "glod: no such file\n  hint: did you mean `gold`?",
    ] {
        assert!(told.contains(part), "{part}\nis not in\n{told}");
    }
    assert_eq!(error.problems().len(), 9, "{told}");
    assert_eq!(error.problems()[0].place, Some(Place::Line(1)));
}

#[test]
fn a_row_without_a_reference_solution_has_no_gold() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("rows.jsonl");
    let mut hidden = row("b");
    hidden.insert("patch".into(), json!(""));
    write_lines(&path, &[row("a"), hidden]);
    let mut dataset = load(&path).unwrap();
    let told = load_predictions(&["gold".into()], &dataset).unwrap_err().to_string();
    assert!(told.contains("gold: b: the row has no reference solution"), "{told}");
    let selection = Selection { instances: vec!["a".into()], ..Selection::default() };
    selection.apply(&mut dataset).unwrap();
    assert_eq!(load_predictions(&["gold".into()], &dataset).unwrap().len(), 1);
    // What was left out is known all the same.
    let file = temp.path().join("p.jsonl");
    write_lines(&file, &[prediction("b", "m", "x")]);
    assert_eq!(load_predictions(&[spec(&file)], &dataset).unwrap().len(), 1);
}

fn selected(selection: &Selection, ids: &[&str]) -> Result<Vec<String>, String> {
    let mut dataset = dataset(ids);
    let digest = dataset.digest;
    selection.apply(&mut dataset).map_err(|error| error.to_string())?;
    assert_eq!(dataset.digest, digest);
    Ok(dataset.instances.iter().map(|one| one.id.to_string()).collect())
}

#[test]
fn globs_filter_shuffle_and_limit() {
    let ids = ["o__n-1", "o__n-10", "o__n-2", "p__q-1", "p__q-[x]"];
    let globs = |globs: &[&str]| Selection {
        instances: globs.iter().map(|&glob| glob.to_owned()).collect(),
        ..Selection::default()
    };
    assert_eq!(selected(&globs(&["p__q-[x]", "o__n-1?"]), &ids).unwrap(), ["o__n-10", "p__q-[x]"]);
    assert_eq!(selected(&globs(&["*-1"]), &ids).unwrap(), ["o__n-1", "p__q-1"]);
    let both = Selection { filter: Some("^o.*1".into()), limit: Some(1), ..globs(&["*n-1*"]) };
    assert_eq!(selected(&both, &ids).unwrap(), ["o__n-1"]);

    let shuffled = |limit| Selection { shuffle: Some(7), limit, ..Selection::default() };
    let order = selected(&shuffled(None), &ids).unwrap();
    // Written down once: the order is a promise.
    assert_eq!(order, ["o__n-10", "o__n-2", "p__q-1", "o__n-1", "p__q-[x]"]);
    assert_eq!(selected(&shuffled(Some(2)), &ids).unwrap(), order[..2]);
    let mut turned = ids;
    turned.reverse();
    assert_eq!(selected(&shuffled(None), &turned).unwrap(), order);

    let bad = Selection {
        filter: Some("a(".into()),
        limit: Some(0),
        ..globs(&["[", "nothing", "o__m-1"])
    };
    let told = selected(&bad, &ids).unwrap_err();
    for part in [
        "--instance: `[` is no glob",
        "--instance: `nothing` fits none of the 5 instances",
        "--instance: `o__m-1` fits none of the 5 instances of rows\n  hint: did you mean `o__n-1`?",
        "--filter: `a(` is no regular expression: unclosed group",
        "--limit: 0 instances are nothing to run",
    ] {
        assert!(told.contains(part), "{part}\nis not in\n{told}");
    }
    let none = Selection { filter: Some("zzz".into()), ..Selection::default() };
    assert!(selected(&none, &ids).unwrap_err().contains("`zzz` fits none of the instances"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_comes_through_every_container(
        patch in ".*", script in "\\PC{1,200}", tests in prop::collection::vec(".*", 0..5), as_text: bool,
    ) {
        let temp = tempfile::tempdir().unwrap();
        let mut one = row("a");
        one.insert("patch".into(), json!(patch));
        one.insert("eval_script".into(), json!(script));
        let list = json!(tests);
        one.insert("FAIL_TO_PASS".into(), if as_text { json!(list.to_string()) } else { list });
        let lines = temp.path().join("rows.jsonl");
        write_lines(&lines, std::slice::from_ref(&one));
        let list = temp.path().join("rows.json");
        fs_err::write(&list, serde_json::to_vec_pretty(&[&one]).unwrap()).unwrap();
        let dataset = load(&lines).unwrap();
        prop_assert_eq!(&load(&list).unwrap().instances, &dataset.instances);
        let table = temp.path().join("rows.csv");
        let mut csv = csv::Writer::from_path(&table).unwrap();
        csv.write_record(one.keys()).unwrap();
        csv.write_record(one.values().map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })).unwrap();
        csv.flush().unwrap();
        prop_assert_eq!(&load(&table).unwrap().instances, &dataset.instances);
        let instance = &dataset.instances[0];
        prop_assert_eq!(instance.gold_patch.as_deref().unwrap_or(""), &patch);
        prop_assert_eq!(&instance.eval_script, &script);
        prop_assert_eq!(&instance.fail_to_pass, &tests);

        let file = temp.path().join("p.jsonl");
        write_lines(&file, &[prediction("a", "m", patch.clone())]);
        let predictions = load_predictions(&[spec(&file)], &dataset).unwrap();
        prop_assert_eq!(predictions[0].patch.as_deref().unwrap_or(""), &patch);
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), end in "(jsonl|json|csv|parquet)") {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(format!("rows.{end}"));
        fs_err::write(&path, bytes).unwrap();
        prop_assert!(load(&path).is_err());
    }
}
