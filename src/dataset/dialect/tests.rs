//! Rows of the relatives, made by hand in their true shapes, and the rows that become of them.

use super::*;
use serde_json::json;

fn row(value: Value) -> Row {
    let Value::Object(fields) = value else { panic!("a row is an object") };
    Row { place: Place::Line(3), key: None, fields }
}

fn translated(value: Value) -> Map<String, Value> {
    let mut problems = Problems::default();
    let row = translate(Path::new("rows.jsonl"), row(value), &mut problems);
    assert!(problems.is_empty(), "{problems}");
    row.unwrap().fields
}

fn refused(value: Value) -> String {
    let mut problems = Problems::default();
    assert!(translate(Path::new("rows.jsonl"), row(value), &mut problems).is_none());
    problems.to_string()
}

fn text<'r>(row: &'r Map<String, Value>, name: &str) -> &'r str {
    row[name].as_str().unwrap()
}

const TEST_PATCH: &str = "diff --git a/tests/test_a.py b/tests/test_a.py\n--- a/tests/test_a.py\n+++ b/tests/test_a.py\n@@ -1 +1 @@\n-x\n+y\n";

#[test]
fn rows_of_swe_bench_are_left_alone() {
    let own = json!({"instance_id": "a__b-1", "test_cmds": ["x"], "eval_script": "y", "extra": 1});
    assert_eq!(Value::Object(translated(own.clone())), own);
    let old = json!({"instance_id": "a__b-1", "repo": "a/b", "patch": "p", "test_patch": ""});
    assert_eq!(Value::Object(translated(old.clone())), old);
}

#[test]
fn live_with_pytest_and_with_a_parser_of_its_own() {
    let mut live = json!({
        "repo": "owner/name", "pull_number": "12", "instance_id": "Owner__Name-12",
        "issue_numbers": ["3"], "base_commit": "0123456789abcdef", "patch": "p",
        "test_patch": TEST_PATCH, "problem_statement": "do", "hints_text": "", "all_hints_text": "",
        "commit_urls": [], "created_at": "2025-01-01", "version": "0.1", "log_parser": "pytest",
        "test_cmds": ["pytest -rA", "pytest -rA more"], "difficulty": {"files": 1, "hunks": 1},
        "FAIL_TO_PASS": ["tests/test_a.py::x"], "PASS_TO_PASS": []
    });
    let new = translated(live.clone());
    assert_eq!(text(&new, "image"), "starryzhang/sweb.eval.x86_64.owner_1776_name-12");
    assert_eq!(text(&new, "log_parser"), "parse_log_pytest");
    let script = text(&new, "eval_script");
    assert!(script.contains("\npytest -rA ; pytest -rA more\n: '>>>>> End"), "{script}");
    assert!(script.contains("\ngit checkout 0123456789abcdef tests/test_a.py\n"), "{script}");

    live["log_parser"] = "def parser(log: str) -> dict[str, str]:\n    return {}".into();
    live["print_cmds"] = json!(["cat out.txt"]);
    live["rebuild_cmds"] = json!(["make"]);
    live["docker_image"] = "starryzhang/own:1".into();
    let new = translated(live.clone());
    assert_eq!(
        (text(&new, "image"), text(&new, "log_parser")),
        ("starryzhang/own:1", "results-json")
    );
    let script = text(&new, "eval_script");
    let order =
        ["def parser(log", "git apply -v", "\nmake\n", "Start Test", "cat out.txt", "python3 /tmp"];
    let places: Vec<_> = order.iter().map(|piece| script.find(piece).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}: {script}");

    live["docker_image"] = "starryzhang/sweb.eval.win.x".into();
    assert!(refused(live).contains("rows.jsonl:3: Owner__Name-12: field `docker_image`"));
}

#[test]
fn rebench_of_both_versions() {
    let first = json!({
        "instance_id": "0b01001001__spectree-64", "base_commit": "a091fab020ac26548250c907bae0855273a98778",
        "repo": "0b01001001/spectree", "patch": "p", "test_patch": TEST_PATCH, "version": "0.3",
        "environment_setup_commit": null, "requirements": "x==1", "environment": "name: x",
        "FAIL_TO_PASS": ["tests/test_a.py::x"], "PASS_TO_PASS": [], "FAIL_TO_FAIL": [], "license_name": "MIT",
        "meta": {"llm_score": {"difficulty_score": 1}},
        "install_config": {"env_vars": null, "env_yml_path": null, "install": "pip install -e .[flask]",
            "log_parser": "parse_log_pytest", "no_use_env": null, "packages": "requirements.txt",
            "pip_packages": ["pytest"], "pre_install": null, "python": "3.9", "reqs_path": ["requirements/base.txt"],
            "test_cmd": "pytest --no-header -rA --tb=line --color=no -p no:cacheprovider -W ignore::DeprecationWarning"}
    });
    let new = translated(first);
    let script = text(&new, "eval_script");
    assert!(script.contains("conda activate testbed\ncd /testbed\n"), "{script}");
    assert!(script.contains("\npip install -e .[flask]\n"), "{script}");
    assert!(script.contains("DeprecationWarning tests/test_a.py\n: '>>>>> End"), "{script}");
    assert_eq!(text(&new, "image"), "swerebench/sweb.eval.x86_64.0b01001001_1776_spectree-64");
    assert_eq!(text(&new, "version"), "0.3");

    let second = json!({
        "instance_id": "owner__name-7", "repo": "owner/Name", "base_commit": "0123456", "patch": "p",
        "test_patch": TEST_PATCH, "problem_statement": "do", "image_name": "docker.io/swerebenchv2/owner-name:7-0123456",
        "language": "go", "FAIL_TO_PASS": "[\"TestA\"]", "PASS_TO_PASS": "[]",
        "install_config": "{\"base_image_name\": \"go_1.22\", \"install\": [\"go mod download\"], \"log_parser\": \"parse_log_gotest\", \"test_cmd\": [\"cd x\", \"go test -v ./...\"]}"
    });
    let new = translated(second);
    assert_eq!((text(&new, "work_dir"), text(&new, "log_parser")), ("/Name", "parse_log_gotest"));
    let script = text(&new, "eval_script");
    assert!(script.contains("Start Test Output'\ncd x\ngo test -v ./...\n"), "{script}");
    assert!(!script.contains("conda") && !script.contains("mod download"), "{script}");
    assert_eq!(text(&new, "image"), "docker.io/swerebenchv2/owner-name:7-0123456");
    assert_eq!(text(&new, "version"), "0");

    let wrong = json!({"instance_id": "a__b-1", "install_config": {"python": "3.9"}});
    assert!(refused(wrong).contains("field `install_config`: names no `test_cmd`"));
    let wrong = json!({"instance_id": "a__b-1", "install_config": "{"});
    assert!(refused(wrong).contains("field `install_config`: text that is no JSON"));
}

#[test]
fn smith_turns_the_bug_around() {
    let bug = "diff --git a/addict/addict.py b/addict/addict.py\nindex 1..2 100644\n--- a/addict/addict.py\n+++ b/addict/addict.py\n@@ -10,2 +10,3 @@ class Dict\n a\n-b\n+c\n+d\n";
    let smith = json!({
        "instance_id": "mewwts__addict.75284f95.combine_file__0fceycuu", "repo": "swesmith/mewwts__addict.75284f95",
        "patch": bug, "FAIL_TO_PASS": ["test_addict.py::Tests::test_a"],
        "PASS_TO_PASS": ["test_addict.py::Tests::test_b", "other.py::test_c"], "created_at": "2025",
        "image_name": "swebench/swesmith.x86_64.mewwts_1776_addict.75284f95",
        "base_commit": "75284f9593dfb929cadd900aff9e35e7c7aec54b", "problem_statement": "do"
    });
    let new = translated(smith.clone());
    assert_eq!(text(&new, "repo"), "mewwts/addict");
    assert_eq!(new["PASS_TO_PASS"], json!(["test_addict.py::Tests::test_b"]));
    let script = text(&new, "eval_script");
    assert!(
        script
            .contains("\npytest --disable-warnings --color=no --tb=no --verbose test_addict.py\n")
    );
    let turned = "diff --git a/addict/addict.py b/addict/addict.py\nindex 2..1 100644\n--- a/addict/addict.py\n+++ b/addict/addict.py\n@@ -10,3 +10,2 @@ class Dict\n a\n-c\n-d\n+b\n";
    assert_eq!(text(&new, "patch"), turned);
    assert_eq!(smith::reverse(turned), bug);
    let mut go = smith;
    go["FAIL_TO_PASS"] = json!(["TestA"]);
    assert!(refused(go.clone()).contains("add `test_cmd` and `log_parser`"));
    go["test_cmd"] = "go test -v ./...".into();
    go["log_parser"] = "parse_log_gotest".into();
    assert_eq!(text(&translated(go), "log_parser"), "parse_log_gotest");
}

#[test]
fn reversed_patches_make_and_remove_files_and_keep_odd_lines() {
    let patch = "diff --git a/new b/new\nnew file mode 100644\nindex 0..1\n--- /dev/null\n+++ b/new\n@@ -0,0 +1,2 @@\n+--- not a header\n+y\n\\ No newline at end of file\ndiff --git a/q b/q\n--- a/q\n+++ b/q\n@@ -1,2 +1 @@\n--- old\n-x\n\\ No newline at end of file\n+++ new\n";
    let turned = smith::reverse(patch);
    let expected = "diff --git a/new b/new\ndeleted file mode 100644\nindex 1..0\n--- a/new\n+++ /dev/null\n@@ -1,2 +0,0 @@\n---- not a header\n-y\n\\ No newline at end of file\ndiff --git a/q b/q\n--- a/q\n+++ b/q\n@@ -1 +1,2 @@\n-++ new\n+-- old\n+x\n\\ No newline at end of file\n";
    assert_eq!(turned, expected);
    assert_eq!(smith::reverse(&turned).matches("new file mode").count(), 1);
}

#[test]
fn pro_needs_its_scripts() {
    let dir = tempfile::tempdir().unwrap();
    let id = "instance_NodeBB__NodeBB-04998908ba6721d64eba79ae3b65a351dcfbc5b5-vnan";
    let pro = json!({
        "repo": "NodeBB/NodeBB", "instance_id": id, "base_commit": "1e137b07052bc3ea0da44ed201702c94055b8ad2",
        "patch": "p", "test_patch": TEST_PATCH, "problem_statement": "do", "requirements": "r", "interface": "i",
        "repo_language": "js", "fail_to_pass": "['test/a.js | it\\'s so', \"test/b.js | x\"]", "pass_to_pass": "[]",
        "issue_specificity": "[]", "before_repo_set_cmd": "git reset --hard 1e\ngit clean -fd\ngit checkout 0499 -- test/a.js",
        "selected_test_files_to_run": "[\"test/a.js\", \"test/b.js\"]", "dockerhub_tag": "nodebb.nodebb-NodeBB__NodeBB-04"
    });
    let said = refused(pro.clone());
    assert!(said.contains("field `run_script`: missing") && said.contains("run_scripts"), "{said}");
    let scripts = dir.path().join("run_scripts").join(id);
    fs_err::create_dir_all(&scripts).unwrap();
    fs_err::write(scripts.join("run_script.sh"), "npx mocha $1\n").unwrap();
    fs_err::write(scripts.join("parser.py"), "print()\n").unwrap();
    let mut problems = Problems::default();
    let new = translate(&dir.path().join("rows.csv"), row(pro), &mut problems).unwrap().fields;
    assert_eq!(text(&new, "image"), "jefzda/sweap-images:nodebb.nodebb-NodeBB__NodeBB-04");
    assert_eq!((text(&new, "work_dir"), text(&new, "log_parser")), ("/app", "results-json"));
    assert_eq!(new["FAIL_TO_PASS"], json!(["test/a.js | it's so", "test/b.js | x"]));
    let script = text(&new, "eval_script");
    let order = [
        "npx mocha",
        "cd /app",
        "git checkout 0499 -- test/a.js",
        "Start Test",
        "run_script.sh test/a.js,test/b.js",
        "output.json\n: '",
    ];
    let places: Vec<_> = order.iter().map(|piece| script.find(piece).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}: {script}");
}

#[test]
fn polybench_and_multi_swe_bench() {
    let poly = json!({
        "repo": "serverless/serverless", "pull_number": 3799, "instance_id": "serverless__serverless-3799",
        "issue_numbers": "", "base_commit": "ee42120eb8f7ba0cc5aa0b0b41f2a9e2e1b6ce28", "patch": "p",
        "test_patch": TEST_PATCH, "problem_statement": "do", "hints_text": "", "created_at": "2017", "language": "JavaScript",
        "Dockerfile": "FROM polybench_javascript_base\nWORKDIR /testbed\nCOPY . .\nRUN npm i\n", "P2P": "['a b']", "F2P": "[\"c d\"]",
        "F2F": null, "test_command": "npx mocha --reporter json", "task_category": "Bug", "modified_nodes": "[]"
    });
    let new = translated(poly.clone());
    assert_eq!(
        text(&new, "image"),
        "ghcr.io/timesler/swe-polybench.eval.x86_64.serverless__serverless-3799:latest"
    );
    assert_eq!((text(&new, "log_parser"), &new["FAIL_TO_PASS"]), ("mocha", &json!(["c d"])));
    assert!(text(&new, "eval_script").contains("Output'\nnpx mocha --reporter json\n"));
    let mut other = poly;
    other["repo"] = "a/b".into();
    assert!(refused(other).contains("field `repo`: `a/b` is no repository of the benchmark"));

    let multi = json!({
        "org": "cli", "repo": "cli", "number": 10388, "state": "closed", "title": "t", "body": "b",
        "base": {"label": "cli:trunk", "ref": "trunk", "sha": "4bf4a1a9a5c1d3d5d6d7d8d9d0d1d2d3d4d5d6d7"},
        "resolved_issues": [{"number": 1, "title": "issue", "body": "text"}], "fix_patch": "p", "test_patch": TEST_PATCH,
        "fixed_tests": {"TestA": {"run": "NONE", "test": "NONE", "fix": "PASS"}}, "p2p_tests": {"TestB/x": {"run": "PASS", "test": "PASS", "fix": "PASS"}},
        "f2p_tests": {}, "s2p_tests": {}, "n2p_tests": {}, "run_result": {}, "test_patch_result": {}, "fix_patch_result": {}
    });
    let new = translated(multi.clone());
    assert_eq!((text(&new, "instance_id"), text(&new, "repo")), ("cli__cli-10388", "cli/cli"));
    assert_eq!(
        (text(&new, "image"), text(&new, "work_dir")),
        ("mswebench/cli_m_cli:pr-10388", "/home/cli")
    );
    assert_eq!(
        (&new["FAIL_TO_PASS"], &new["PASS_TO_PASS"]),
        (&json!(["TestA"]), &json!(["TestB/x"]))
    );
    assert_eq!(
        (text(&new, "log_parser"), text(&new, "problem_statement")),
        ("multi-go", "issue\n\ntext")
    );
    assert!(text(&new, "eval_script").contains("Output'\nbash /home/test-run.sh\n"));
    let mut other = multi;
    other["repo"] = "other".into();
    assert!(
        refused(other).contains("field `log_parser`: missing, and none is known for cli/other")
    );
}

#[test]
fn lists_in_the_text_of_python() {
    let read = |text: &str| python::literal(text);
    assert_eq!(read("[]"), Some(vec![]));
    assert_eq!(read(r#"['a\n', "b'c", 'd\x41\u00e9\\', ]"#).unwrap(), ["a\n", "b'c", "dAé\\"]);
    assert_eq!(read("('x',)").unwrap(), ["x"]);
    for bad in ["[", "['a", "[1]", "['a' 'b']", "x", "['\\x4']", "['a'] + ['b']"] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn task_directories() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &[u8]| {
        let path = dir.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    };
    write("hello/task.toml", b"version = \"1.0\"\n[task]\nname = \"acme/hello\"\n[metadata]\ndifficulty = \"easy\"\n[environment]\ndocker_image = \"acme/hello:1\"\n");
    write("hello/instruction.md", b"Say hello.\n");
    write("hello/environment/Dockerfile", b"FROM debian\nWORKDIR /work\n");
    write("hello/tests/test.sh", b"echo 1 > /logs/verifier/reward.txt\n");
    write("hello/tests/data/x.bin", b"\x00'\xff");
    write("old/task.yaml", b"instruction: |-\n  Make a file.\n\n    Indented.\ndifficulty: hard\nparser_name: pytest\nmax_test_timeout_sec: 60\n");
    write("old/run-tests.sh", b"pytest $TEST_DIR/test_outputs.py -rA\n");
    write("old/tests/test_outputs.py", b"def test_x(): pass\n");
    write("bad/task.toml", b"version = \n");
    write("no-task/readme", b"");
    assert!(holds_tasks(dir.path()) && !holds_tasks(&dir.path().join("no-task")));
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    let mut take = |_: &Path, row: Result<Row, crate::dataset::Problem>| match row {
        Ok(row) => rows.push(row.fields),
        Err(problem) => wrong.push(problem.to_string()),
    };
    tasks(dir.path(), &mut take).unwrap();
    assert!(wrong.len() == 1 && wrong[0].contains("bad/task.toml:1: "), "{wrong:?}");
    let [hello, old] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((text(hello, "instance_id"), text(hello, "image")), ("acme__hello", "acme/hello:1"));
    assert_eq!((text(hello, "work_dir"), text(hello, "log_parser")), ("/work", "reward"));
    let script = text(hello, "eval_script");
    assert!(script.contains(r"printf '\000\047\377' > /tests/data/x.bin"), "{script}");
    assert_eq!((text(old, "instance_id"), text(old, "image")), ("old", "old:latest"));
    assert_eq!(text(old, "problem_statement"), "Make a file.\n\n  Indented.");
    assert_eq!((text(old, "log_parser"), text(old, "work_dir")), ("exit-status", "/app"));
}
