//! Keys: what moves them, and what does not.

use super::{ImagePlan, Inputs, LayerKind, debian_packages, plan};
use crate::image::Step;
use crate::layers::LayerKey;
use crate::model::{
    Digest, EnvSpec, EvalType, Instance, InstanceId, PythonSpec, RepoSource, RootSource,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A task of version 1.0 with a Python environment.
pub(in crate::image) fn spec() -> EnvSpec {
    EnvSpec {
        origin: "configs/envs/o__n.toml, 1.0".to_owned(),
        base: RootSource::Debian("bullseye".to_owned()),
        base_packages: vec!["build-essential".to_owned()],
        tools: Vec::new(),
        python: Some(PythonSpec {
            version: Some("3.9".to_owned()),
            packages: vec!["pytest".to_owned()],
            ..PythonSpec::default()
        }),
        repo: RepoSource::Git,
        pre_install: vec!["sed -i s/a/b/ setup.py".to_owned()],
        install: vec!["python -m pip install -e .".to_owned()],
        env: BTreeMap::new(),
        test_command: "pytest".to_owned(),
        eval_commands: Vec::new(),
        log_parser: "parse_log_pytest".to_owned(),
    }
}

pub(in crate::image) fn instance(id: &str, spec: EnvSpec) -> Instance {
    Instance {
        id: InstanceId::new(id).unwrap(),
        repo: "o/n".to_owned(),
        base_commit: Some(Digest::of(id).to_string()[..40].to_owned()),
        version: "1.0".to_owned(),
        environment_setup_commit: None,
        gold_patch: None,
        test_patch: String::new(),
        difficulty: None,
        fail_to_pass: Vec::new(),
        pass_to_pass: Vec::new(),
        work_dir: "/testbed".to_owned(),
        image_name: format!("image-of-{id}"),
        env: Some(Arc::new(spec)),
        eval_script: String::new(),
        log_parser: "parse_log_pytest".to_owned(),
        eval_type: EvalType::PassAndFail,
        dockerfile: None,
        image_assets: Vec::new(),
    }
}

fn planned(id: &str, change: impl FnOnce(&mut EnvSpec)) -> ImagePlan {
    let mut spec = spec();
    change(&mut spec);
    let inputs =
        Inputs { root: LayerKey(Digest::of("root")), directory: Some(Digest::of("files")) };
    let instance = instance(id, spec.clone());
    plan(&instance, &spec, &inputs)
}

/// From which layer on the keys differ.
fn differ_from(one: &ImagePlan, other: &ImagePlan) -> Option<LayerKind> {
    assert_eq!(one.layers.len(), other.layers.len());
    let pairs = || one.layers.iter().zip(&other.layers);
    let first = pairs().position(|(a, b)| a.key != b.key)?;
    assert!(pairs().skip(first).all(|(a, b)| a.key != b.key), "all above differ as well");
    Some(one.layers[first].kind)
}

#[test]
fn instances_of_one_version_share_base_and_env() {
    let one = planned("o__n-1", |_| {});
    let kinds: Vec<_> = one.layers.iter().map(|layer| layer.kind).collect();
    use LayerKind::{Base, Env, Root};
    assert_eq!(kinds, [Root, Base, Env, LayerKind::Instance]);
    assert_eq!(differ_from(&one, &planned("o__n-1", |_| {})), None);
    assert_eq!(differ_from(&one, &planned("o__n-2", |_| {})), Some(LayerKind::Instance));
}

#[test]
fn a_change_of_the_recipe_moves_the_layers_it_concerns() {
    let one = planned("o__n-1", |_| {});
    let python = |spec: &mut EnvSpec| spec.python.as_mut().unwrap().packages.push("six".to_owned());
    assert_eq!(differ_from(&one, &planned("o__n-1", python)), Some(LayerKind::Env));
    let wheels =
        |s: &mut EnvSpec| s.python.as_mut().unwrap().build_requires.push("flit".to_owned());
    assert_eq!(differ_from(&one, &planned("o__n-1", wheels)), Some(LayerKind::Env));
    let env = |s: &mut EnvSpec| drop(s.env.insert("TZ".to_owned(), "UTC".to_owned()));
    assert_eq!(differ_from(&one, &planned("o__n-1", env)), Some(LayerKind::Env));
    let install = |s: &mut EnvSpec| s.install[0].push_str("[test]");
    assert_eq!(differ_from(&one, &planned("o__n-1", install)), Some(LayerKind::Instance));
    let test = |s: &mut EnvSpec| s.test_command.push_str(" -x");
    assert_eq!(
        differ_from(&one, &planned("o__n-1", test)),
        None,
        "no layer knows the test command"
    );
}

#[test]
fn a_directorys_content_counts_and_its_path_does_not() {
    let from = |path: &str| {
        let path = PathBuf::from(path);
        planned("o__n-1", move |spec| spec.repo = RepoSource::Directory(path))
    };
    assert_eq!(from("/a").key(), from("/b").key());
    let mut spec = spec();
    spec.repo = RepoSource::Directory("/a".into());
    let other = Inputs { root: LayerKey(Digest::of("root")), directory: Some(Digest::of("more")) };
    assert_ne!(plan(&instance("o__n-1", spec.clone()), &spec, &other).key(), from("/a").key());
}

#[test]
fn without_python_there_is_one_layer_on_the_root() {
    let plan = planned("o__n-1", |spec| {
        spec.base = RootSource::Host;
        spec.tools = vec!["make".to_owned()];
        spec.python = None;
    });
    let kinds: Vec<_> = plan.layers.iter().map(|layer| layer.kind).collect();
    assert_eq!(kinds, [LayerKind::Root, LayerKind::Instance]);
    let titles: Vec<_> = plan.layers[1].steps.iter().map(Step::title).collect();
    assert_eq!(titles[0], "look for tools");
    assert_eq!(plan.layers[1].config.workdir, "/testbed");
    assert!(!titles.iter().any(|title| title.contains("index")), "{titles:?}");
}

#[test]
fn a_debian_root_has_what_the_recipe_and_its_python_need() {
    let packages = debian_packages(&spec());
    for wanted in ["build-essential", "ca-certificates", "git", "patch", "python3-venv"] {
        assert!(packages.iter().any(|package| package == wanted), "{wanted}");
    }
    let plain = debian_packages(&EnvSpec { python: None, ..spec() });
    assert!(!plain.iter().any(|package| package.starts_with("python")));
}

#[test]
fn shell_words_keep_their_text() {
    let plan = planned("o__n-1", |spec| {
        spec.python.as_mut().unwrap().packages = vec!["it's==1; $(touch /x)".to_owned()];
    });
    let script = plan.layers[2].steps.iter().find_map(|step| match step {
        Step::Run { title, script } if title == "install the packages" => Some(script.clone()),
        _ => None,
    });
    let script = script.unwrap().lines().next().unwrap().to_owned();
    let output = std::process::Command::new("bash")
        .args(["-c", &format!("{script}\nprintf %s \"${{packages[0]}}\"")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "it's==1; $(touch /x)");
}
