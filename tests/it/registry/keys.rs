//! A registry that wants to know who asks: a password from `config.json`, and from a helper.

use super::Bench;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

/// `user` with the password `open sesame`, as `htpasswd -B` writes it.
const HTPASSWD: &str = "user:$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW\n";
/// `user:open sesame` in base 64.
const AUTH: &str = "dXNlcjpvcGVuIHNlc2FtZQ==";

fn pull(bench: &Bench, docker: &Path, home: &str) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new(env!("CARGO_BIN_EXE_evalrun"))
        .args(["images", "pull", "--quiet", &format!("{}/a/b:1", bench.address)])
        .arg("--home")
        .arg(bench.folder.path().join(home))
        .env("DOCKER_CONFIG", docker)
        .env("PATH", format!("{}:{path}", docker.display()))
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_come_from_dockers_config_and_its_helpers() {
    let Some(mut bench) = Bench::new() else { return };
    bench.publish("a/b:1").await;
    bench.lock(HTPASSWD);
    let docker = bench.folder.path().join("docker");
    fs_err::create_dir(&docker).unwrap();
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();

    let nobody = pull(&bench, &docker, "nobody");
    assert_eq!(nobody.status.code(), Some(3), "{}", said(&nobody));
    assert!(said(&nobody).contains("docker login"), "{}", said(&nobody));

    let address = bench.address;
    let config = format!(r#"{{"auths":{{"{address}":{{"auth":"{AUTH}"}}}}}}"#);
    fs_err::write(docker.join("config.json"), config).unwrap();
    let known = pull(&bench, &docker, "known");
    assert!(known.status.success(), "{}", said(&known));

    let helper = docker.join("docker-credential-evalrun-test");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = get ] && [ \"$(cat)\" = {address} ] || exit 1\n\
         echo '{{\"ServerURL\":\"{address}\",\"Username\":\"user\",\"Secret\":\"open sesame\"}}'\n"
    );
    fs_err::write(&helper, script).unwrap();
    fs_err::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    fs_err::write(docker.join("config.json"), r#"{"credsStore":"evalrun-test"}"#).unwrap();
    let helped = pull(&bench, &docker, "helped");
    assert!(helped.status.success(), "{}", said(&helped));
}
