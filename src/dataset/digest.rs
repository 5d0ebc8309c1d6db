//! What a data set is, in 32 bytes: all that bears on verdicts, and nothing else.

use crate::model::{
    AssetSource, Digest, DigestBuilder, EnvSpec, EvalType, Instance, RepoSource, RootSource,
    TESTBED,
};
use std::path::Path;

/// The digest of one instance. The reference solution is not in it (a prediction has a digest of
/// its own), nor is the difficulty; nor is the file a recipe came from. Of a path on this machine
/// its last part counts, so that a data set may be moved.
#[must_use]
pub fn instance_digest(instance: &Instance) -> Digest {
    let optional = |value: &Option<String>| value.clone().unwrap_or_default();
    let eval_type = match instance.eval_type {
        EvalType::PassAndFail => "pass_and_fail",
        EvalType::FailOnly => "fail_only",
    };
    let assets = instance.image_assets.iter().flat_map(|asset| {
        let source = match &asset.source {
            AssetSource::Url(url) => url.clone(),
            AssetSource::File(file) => name(file),
        };
        [asset.path.clone(), source]
    });
    let builder = DigestBuilder::new("evalrun instance 1")
        .field("id", instance.id.as_str())
        .field("repo", &instance.repo)
        .field("base_commit", optional(&instance.base_commit))
        .field("version", &instance.version)
        .field("environment_setup_commit", optional(&instance.environment_setup_commit))
        .field("test_patch", &instance.test_patch)
        .list("fail_to_pass", &instance.fail_to_pass)
        .list("pass_to_pass", &instance.pass_to_pass)
        .field("image", &instance.image_name)
        .field("eval_script", &instance.eval_script)
        .field("log_parser", &instance.log_parser)
        .field("eval_type", eval_type)
        .list("image_assets", assets);
    // Most rows say nothing of it; their digests are what they were.
    let builder = match instance.work_dir.as_str() {
        TESTBED => builder,
        other => builder.field("work_dir", other),
    };
    match &instance.env {
        Some(env) => with_env(builder, env),
        None => builder,
    }
    .finish()
}

/// The digest of a data set: of its instances by id, whatever their order.
pub(super) fn dataset_digest(instances: &[Instance]) -> Digest {
    let mut digests: Vec<_> =
        instances.iter().map(|instance| (&instance.id, instance_digest(instance))).collect();
    digests.sort();
    let digests = digests.iter().map(|(_, digest)| digest.to_string());
    DigestBuilder::new("evalrun dataset 1").list("instance", digests).finish()
}

fn with_env(builder: DigestBuilder, env: &EnvSpec) -> DigestBuilder {
    let (base, base_name) = match &env.base {
        RootSource::Host => ("host", String::new()),
        RootSource::Debian(suite) => ("debian", suite.clone()),
        RootSource::Directory(path) => ("dir", name(path)),
        RootSource::Archive(path) => ("archive", name(path)),
        RootSource::Named(image) => ("image", image.clone()),
    };
    let (source, source_name) = match &env.repo {
        RepoSource::Git => ("git", String::new()),
        RepoSource::Directory(path) => ("dir", name(path)),
        RepoSource::Sdist(wanted) => ("sdist", wanted.clone()),
    };
    let builder = builder
        .list("base", [base, &base_name])
        .list("source", [source, &source_name])
        .list("base_packages", &env.base_packages)
        .list("tools", &env.tools)
        .list("pre_install", &env.pre_install)
        .list("install", &env.install)
        .list("env", env.env.iter().flat_map(|(key, value)| [key, value]));
    match &env.python {
        None => builder,
        Some(python) => builder
            .field("python", python.version.as_deref().unwrap_or("*"))
            .list("alternatives", &python.alternatives)
            .list("requirements", &python.requirements)
            .list("packages", &python.packages)
            .list("build_requires", &python.build_requires),
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
