//! The scripts of the steps, run by the bash of this machine on stand-ins for `/testbed` and
//! `/opt/miniconda3`.

use super::{Step, activation, python, reinstall, sdist, seal, times};
use crate::model::PythonSpec;
use fs_err as fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Runs a script as a build does, with the places inside an image moved below `root`.
fn bash(root: &Path, script: &str) -> (bool, String) {
    let script = moved(root, script);
    let output = Command::new("bash")
        .args(["-c", &format!("set -eo pipefail\n{script}")])
        .env("HOME", root)
        .env_remove("CONDA_PREFIX")
        .env_remove("PIP_CONFIG_FILE")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn moved(root: &Path, text: &str) -> String {
    ["/testbed", "/opt/miniconda3", "/opt/wheels", "/opt/python", "/opt/evalrun", "/run/evalrun"]
        .into_iter()
        .fold(text.to_owned(), |text, place| {
            text.replace(place, &format!("{}{place}", root.display()))
        })
}

fn script(step: &Step) -> &str {
    match step {
        Step::Run { script, .. } => script,
        other => panic!("{} is no script", other.title()),
    }
}

fn executable(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn with_conda() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for step in activation() {
        let Step::Write { path, mode, text } = step else { panic!("activation writes files") };
        let path = root.path().join(&path[1..]);
        executable(&path, &moved(root.path(), &text));
        fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    executable(
        &root.path().join("opt/miniconda3/envs/testbed/bin/python"),
        "#!/bin/sh\necho the environment\n",
    );
    root
}

#[test]
fn the_first_lines_of_every_evaluation_script_work() {
    let root = with_conda();
    let (fine, text) = bash(
        root.path(),
        "set -uxo pipefail\nsource /opt/miniconda3/bin/activate\nconda activate testbed\n\
         cd /\npython\necho env=$CONDA_DEFAULT_ENV\nconda activate testbed\nconda deactivate\n\
         case $PATH in */testbed/bin*) exit 9;; esac\necho left=${CONDA_PREFIX:-none}\n",
    );
    assert!(fine, "{text}");
    for line in ["the environment", "env=testbed", "left=none"] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

#[test]
fn the_rest_of_conda_answers_or_refuses_plainly() {
    let root = with_conda();
    let (fine, text) = bash(
        root.path(),
        "set -u\n. /opt/miniconda3/bin/activate testbed\npython\nconda env list\nconda --version\n\
         /opt/miniconda3/bin/conda run -n testbed python\n",
    );
    assert!(fine && text.matches("the environment").count() == 2, "{text}");
    assert!(text.contains("testbed  "), "{text}");
    let (fine, text) = bash(root.path(), ". /opt/miniconda3/bin/activate\nconda install numpy\n");
    assert!(!fine && text.contains("not possible here"), "{text}");
    let (fine, text) = bash(root.path(), ". /opt/miniconda3/bin/activate\nconda activate no\n");
    assert!(!fine && text.contains("no environment"), "{text}");
}

fn git(dir: &Path, line: &str) -> String {
    let command = format!("git -c user.name=a -c user.email=a@a {line}");
    let output = Command::new("bash").current_dir(dir).args(["-c", &command]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn what_the_install_did_survives_the_clean_up_between_patches() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("testbed");
    fs::create_dir_all(&dir).unwrap();
    git(&dir, "init -q");
    fs::write(dir.join("setup.cfg"), "before").unwrap();
    fs::write(dir.join(".gitignore"), "*.o\n").unwrap();
    git(&dir, "add -A");
    git(&dir, "commit -q --date='2001-01-01T00:00:00Z' -m base");
    let base = git(&dir, "rev-parse HEAD");

    fs::write(dir.join("setup.cfg"), "after").unwrap();
    fs::write(dir.join("a.o"), "").unwrap();
    fs::create_dir_all(dir.join("n.egg-info")).unwrap();
    let made = ["version.py", "n.egg-info/PKG-INFO", "odd [1] *name?", "#hash", "end ", "!bang"];
    for name in made {
        fs::write(dir.join(name), "made").unwrap();
    }
    let (fine, text) = bash(root.path(), script(&seal()));
    assert!(fine, "{text}");
    assert_eq!(git(&dir, "status --porcelain"), "");
    assert_eq!(git(&dir, "rev-parse HEAD^"), base, "the base commit stays reachable");
    assert_eq!(git(&dir, "log -1 --format=%cI"), git(&dir, "log -1 --format=%cI HEAD^"));

    fs::write(dir.join("setup.cfg"), "a patch").unwrap();
    fs::write(dir.join("new.py"), "a patch").unwrap();
    git(&dir, "checkout -- .");
    git(&dir, "clean -fdq");
    assert_eq!(fs::read_to_string(dir.join("setup.cfg")).unwrap(), "after");
    assert!(!dir.join("new.py").exists());
    for name in made {
        assert!(dir.join(name).exists(), "{name}");
    }
}

#[test]
fn a_clean_install_is_not_committed() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("testbed");
    fs::create_dir_all(&dir).unwrap();
    git(&dir, "init -q");
    git(&dir, "commit -q --allow-empty -m base");
    let base = git(&dir, "rev-parse HEAD");
    let (fine, text) = bash(root.path(), script(&seal()));
    assert!(fine, "{text}");
    assert_eq!(git(&dir, "rev-parse HEAD"), base);
}

/// A stand-in for pip: without an index it misses what is not in the wheelhouse, one thing at a time;
/// `pip wheel` brings it.
const PIP: &str = r#"#!/bin/bash
wheels=/opt/wheels
if [ "$3" = wheel ]; then touch "$wheels/${@: -1}"; exit 0; fi
[ -n "$PIP_CONFIG_FILE" ] || { echo "the index was asked"; exit 7; }
for need in "setuptools>=61" "flit_core <4"; do
    if [ ! -e "$wheels/$need" ]; then
        echo "ERROR: Could not find a version that satisfies the requirement $need (from versions: none)"
        echo "ERROR: No matching distribution found for $need (from project)"
        exit 1
    fi
done
echo "Successfully installed project"
"#;

#[test]
fn the_wheelhouse_is_filled_until_a_reinstall_misses_nothing() {
    let root = with_conda();
    fs::create_dir_all(root.path().join("testbed")).unwrap();
    fs::create_dir_all(root.path().join("opt/wheels")).unwrap();
    let python = root.path().join("opt/miniconda3/envs/testbed/bin/python");
    executable(&python, &moved(root.path(), PIP));
    let step = reinstall(&["python -m pip install -e ."]);
    let (fine, text) = bash(root.path(), script(&step));
    assert!(fine && text.contains("Successfully installed project"), "{text}");
    assert!(root.path().join("opt/wheels/setuptools>=61").exists());
    assert!(root.path().join("opt/wheels/flit_core <4").exists());
    assert!(!text.contains("warning"), "{text}");
}

#[test]
fn a_reinstall_that_cannot_work_is_a_warning() {
    let root = with_conda();
    fs::create_dir_all(root.path().join("testbed")).unwrap();
    let python = root.path().join("opt/miniconda3/envs/testbed/bin/python");
    executable(&python, "#!/bin/sh\necho 'ERROR: metadata-generation-failed'\nexit 1\n");
    let (fine, text) = bash(root.path(), script(&reinstall(&["python -m pip install -e ."])));
    assert!(fine && text.contains("metadata-generation-failed"), "{text}");
    assert!(text.contains("warning: without an index this does not work"), "{text}");
}

/// Serves a directory on a port of this machine.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn of(dir: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
            .arg(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.split_whitespace().skip_while(|word| *word != "port").nth(1).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        Self { child, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_source_distribution_becomes_the_same_commit_every_time() {
    let root = tempfile::tempdir().unwrap();
    let index = root.path().join("index");
    let page = index.join("my-project");
    fs::create_dir_all(index.join("my_project-1.0/src")).unwrap();
    fs::create_dir_all(&page).unwrap();
    fs::write(
        index.join("my_project-1.0/PKG-INFO"),
        "Metadata-Version: 2.1\nName: my.project\nVersion: 1.0\n\nText\n",
    )
    .unwrap();
    fs::write(index.join("my_project-1.0/src/a.py"), "a = 1\n").unwrap();
    let (fine, digest) = bash(
        &index,
        &format!(
            "cd {0}\ntar -czf my_project-1.0.tar.gz my_project-1.0\n\
             sha256sum my_project-1.0.tar.gz | cut -d' ' -f1",
            index.display()
        ),
    );
    assert!(fine, "{digest}");
    let write_page = |digest: &str| {
        let link = format!(
            "<a href=\"../my_project-0.9.tar.gz\">old</a>\n\
             <a href=\"../my_project-1.0.tar.gz#sha256={digest}\">my_project-1.0.tar.gz</a>\n"
        );
        fs::write(page.join("index.html"), link).unwrap();
    };
    write_page(digest.trim());
    let server = Server::of(&index);
    let head = |requirement: &str| {
        let _ = fs::remove_dir_all(root.path().join("testbed"));
        let script =
            format!("export PIP_INDEX_URL={}\n{}", server.url, script(&sdist(requirement)));
        let (fine, text) = bash(root.path(), &script);
        fine.then(|| git(&root.path().join("testbed"), "rev-parse HEAD")).ok_or(text)
    };
    let first = head("My.Project==1.0").unwrap();
    assert_eq!(git(&root.path().join("testbed"), "ls-files"), "PKG-INFO\nsrc/a.py");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(head("My.Project==1.0").unwrap(), first);
    let error = head("my_project==2.0").unwrap_err();
    assert!(error.contains("has no source distribution of my_project==2.0"), "{error}");
    write_page(&"0".repeat(64));
    let error = head("my_project==1.0").unwrap_err();
    assert!(error.contains("its digest is not the one"), "{error}");
}

/// A stand-in for a Python that only uv's mirror has.
const PYTHON: &str = r#"#!/bin/sh
case "$*" in
    *version_info*) echo 3.8 ;;
    "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
    *) echo "ran $*" ;;
esac
"#;

#[test]
fn a_python_that_the_root_lacks_comes_from_uvs_mirror() {
    let uv = Command::new("uv").arg("--version").output();
    if !uv.is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no uv on this machine");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let mirror = root.path().join("mirror");
    let release = mirror.join("20241002");
    fs::create_dir_all(&release).unwrap();
    executable(&mirror.join("python/bin/python3.8"), PYTHON);
    // uv wants to see the build's settings, with the comment that Python writes above them.
    let text = "# system configuration generated and used by the sysconfig module\n\
                build_time_vars = {}\n";
    let name = format!("_sysconfigdata__linux_{}-linux-gnu.py", std::env::consts::ARCH);
    fs::create_dir_all(mirror.join("python/lib/python3.8")).unwrap();
    fs::write(mirror.join("python/lib/python3.8").join(name), text).unwrap();
    let archive = "cpython-3.8.20+20241002-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz";
    let (fine, digest) = bash(
        &mirror,
        &format!(
            "cd {}\ntar -czf '20241002/{archive}' python\nsha256sum '20241002/{archive}' | cut -d' ' -f1",
            mirror.display()
        ),
    );
    assert!(fine, "{digest}");
    let standard = "https://github.com/astral-sh/python-build-standalone/releases/download";
    let entry = serde_json::json!({
        "name": "cpython", "arch": { "family": std::env::consts::ARCH, "variant": null },
        "os": "linux", "libc": "gnu", "major": 3, "minor": 8, "patch": 20, "prerelease": "",
        "url": format!("{standard}/20241002/{}", archive.replace('+', "%2B")),
        "sha256": digest.trim(), "variant": null, "build": "20241002",
    });
    let name = format!("cpython-3.8.20-linux-{}-gnu", std::env::consts::ARCH);
    let list = serde_json::json!({ name: entry }).to_string();
    fs::write(mirror.join("list.json"), list).unwrap();
    let server = Server::of(&mirror);

    let spec = |version: &str| PythonSpec {
        version: Some(version.to_owned()),
        alternatives: Vec::new(),
        ..PythonSpec::default()
    };
    let settings = format!(
        "export UV_PYTHON_INSTALL_MIRROR={0}\nexport UV_PYTHON_DOWNLOADS_JSON_URL={0}/list.json\n",
        server.url
    );
    let make = |version: &str| {
        bash(root.path(), &format!("{settings}{}", script(&python(&spec(version), false))))
    };
    let (fine, text) = make("3.8");
    assert!(fine, "{text}");
    assert!(text.contains("opt/python/cpython-3.8.20"), "{text}");
    assert!(text.contains("ran -m pip install --upgrade"), "{text}");
    let (fine, text) = make("3.1");
    assert!(!fine && text.contains("no Python fits: wanted 3.1"), "{text}");
    assert!(text.contains("UV_PYTHON_INSTALL_MIRROR"), "{text}");
}

#[test]
fn all_that_a_layer_made_has_one_time_and_compiled_files_stay_good() {
    let root = tempfile::tempdir().unwrap();
    let environment = root.path().join("opt/miniconda3/envs/testbed/bin");
    fs::create_dir_all(&environment).unwrap();
    fs::create_dir_all(root.path().join("testbed/.git")).unwrap();
    for (n, python) in [true, false].into_iter().enumerate() {
        let place = root.path().join(format!("testbed/{n}"));
        fs::create_dir(&place).unwrap();
        fs::write(place.join("module.py"), "value = 1\n").unwrap();
        fs_err::os::unix::fs::symlink("nowhere", place.join("link")).unwrap();
        fs::write(root.path().join("testbed/.git/index"), "").unwrap();
        let import =
            format!("cd /testbed/{n}; env -u PYTHONDONTWRITEBYTECODE python3 -c 'import module'");
        if python {
            let own = "/opt/miniconda3/envs/testbed/bin/python";
            let make = format!(
                "mkdir -p \"$(dirname {own})\"; ln -s \"$(command -v python3)\" {own}; {import}"
            );
            let (fine, text) = bash(root.path(), &make);
            assert!(fine && place.join("__pycache__").exists(), "{text}");
        }
        let (fine, text) = bash(root.path(), script(&times(python)));
        assert!(fine, "{text}");
        let seconds = |path: &Path| {
            use std::os::unix::fs::MetadataExt as _;
            fs::symlink_metadata(path).unwrap().mtime()
        };
        for name in ["module.py", "link"] {
            assert_eq!(seconds(&place.join(name)), 946_684_800, "{name}: {text}");
        }
        assert_ne!(seconds(&root.path().join("testbed/.git/index")), 946_684_800);
        if python {
            let mut compiled = fs::read_dir(place.join("__pycache__")).unwrap();
            let compiled = compiled.next().unwrap().unwrap().path();
            assert_eq!(seconds(&compiled), 946_684_800);
            let bytes = fs::read(&compiled).unwrap();
            // Python takes it as it is: it would be written again if it did not fit its source.
            assert!(bash(root.path(), &import).0);
            assert_eq!(fs::read(&compiled).unwrap(), bytes);
            assert_eq!(seconds(&compiled), 946_684_800);
        }
    }
}
