//! `RUN`: a command in a sandbox of the image below, frozen.

use super::mounts::Mount;
use super::parse::{Instruction, announced};
use super::state::{PREDEFINED, State};
use super::{Builder, FORMAT};
use crate::image::{ImageError, build};
use crate::layers::{ImageConfig, LayerKey};
use crate::model::DigestBuilder;
use crate::sandbox::{
    self, Command, Network, Output, Sandbox, SandboxError, SandboxOptions, Upper,
};
use fs_err as fs;
use std::collections::BTreeMap;

/// Where a script that a here-document holds is shown.
const SCRIPT: &str = "/run/evalrun/script";

/// A `RUN` as it counts.
struct Run {
    title: String,
    line: usize,
    argv: Vec<String>,
    /// A script to be shown at [`SCRIPT`].
    script: Option<String>,
    mounts: Vec<Mount>,
    network: Network,
}

impl Builder<'_> {
    pub(super) fn sandbox_options(
        &self,
        mounts: Vec<sandbox::Mount>,
        network: Network,
    ) -> SandboxOptions {
        SandboxOptions {
            limits: self.inner.options.limits.clone(),
            network,
            env: BTreeMap::new(),
            mounts,
            upper: Upper::Disk,
            lifetime: None,
            labels: BTreeMap::from([("layer".to_owned(), self.wanted.name.clone())]),
        }
    }

    pub(super) async fn run(
        &self,
        stage: usize,
        instruction: &Instruction,
        state: &mut State,
    ) -> Result<(), ImageError> {
        let run = self.read_run(instruction, state)?;
        let mut identities = Vec::new();
        for mount in &run.mounts {
            identities.push(self.mount_identity(mount, stage, instruction.line).await?);
        }
        let env = environment(state);
        let key = DigestBuilder::new(FORMAT)
            .field("parent", state.image.to_string())
            .list("run", &run.argv)
            .field("script", run.script.as_deref().unwrap_or_default())
            .list("env", env.iter().map(|(name, value)| format!("{name}={value}")))
            .field("workdir", &state.config.workdir)
            .field("user", &state.config.user)
            .field("network", format!("{:?}", run.network == Network::None))
            .field("mounts", serde_json::to_string(&run.mounts).expect("mounts have text keys"))
            .list("mounted", identities)
            .finish();
        let make = |key| self.make_run(stage, state, &run, key);
        state.image = self.layer(&instruction.title(), key, make).await?;
        Ok(())
    }

    fn read_run(&self, instruction: &Instruction, state: &State) -> Result<Run, ImageError> {
        let wrong = |why: String| self.wrong((instruction.line, why));
        let mut mounts = Vec::new();
        for (name, value) in &instruction.flags {
            match (name.as_str(), value.as_deref()) {
                ("mount", Some(value)) => mounts.push(Mount::parse(value, state).map_err(wrong)?),
                ("network", _) | ("security", Some("sandbox")) => {}
                (name, _) => return Err(wrong(format!("this --{name} is not supported"))),
            }
        }
        let network = match instruction.flag("network") {
            None | Some("default" | "host") => self.inner.options.network,
            Some("none") => Network::None,
            Some(other) => return Err(wrong(format!("`{other}` is no network"))),
        };
        let (argv, script) = command_line(instruction, state);
        Ok(Run {
            title: instruction.title(),
            line: instruction.line,
            argv,
            script,
            mounts,
            network,
        })
    }

    async fn make_run(
        &self,
        stage: usize,
        state: &State,
        run: &Run,
        key: LayerKey,
    ) -> Result<(), ImageError> {
        let trouble = || ImageError::sandbox(&self.wanted.name);
        let mut shown = Vec::new();
        let mut locks = Vec::new();
        let mut env = environment(state);
        // What is for building only gives way to what the image says.
        for (name, value) in self.building_environment() {
            env.entry(name).or_insert(value);
        }
        for mount in &run.mounts {
            if let Mount::Secret { env: Some(name), id, .. } = mount
                && let Some(path) = self.wanted.secrets.get(id)
            {
                let secret = fs::read_to_string(path).map_err(ImageError::file("read a secret"))?;
                env.insert(name.clone(), secret);
            }
            let source = self.mount_source(mount, stage, run.line).await?;
            if let (Some((source, lock)), Some(target)) = (source, mount.target()) {
                // What a command writes into a part of the context goes with the build.
                let writable = match mount {
                    Mount::Bind { writable, .. } => *writable,
                    Mount::Secret { .. } => false,
                    Mount::Cache { .. } | Mount::Tmpfs { .. } => true,
                };
                shown.push(sandbox::Mount { source, target: target.to_owned(), writable });
                locks.extend(lock);
            }
        }
        if let Some(script) = &run.script {
            shown.push(self.show_script(script)?);
        }
        let options = self.sandbox_options(shown, run.network);
        let backend = &self.inner.backend;
        let sandbox = backend.create(&state.image, &options).await.map_err(trouble())?;
        let done = self.exec_run(sandbox.as_ref(), state, run, env).await;
        let done = match done {
            // What a layer says of itself is nothing: it may be part of several images.
            Ok(()) => sandbox
                .snapshot(Some(key), &ImageConfig::default(), true)
                .await
                .map(drop)
                .map_err(trouble()),
            Err(error) => Err(error),
        };
        let _ = sandbox.terminate().await;
        drop(locks);
        done
    }

    fn show_script(&self, script: &str) -> Result<sandbox::Mount, ImageError> {
        use std::os::unix::fs::PermissionsExt as _;
        let source = self.scratch_path(&format!("script-{}", self.next()));
        let failed = || ImageError::file("write a script");
        fs::write(&source, script).map_err(failed())?;
        fs::set_permissions(&source, std::fs::Permissions::from_mode(0o755)).map_err(failed())?;
        Ok(sandbox::Mount { source, target: SCRIPT.to_owned(), writable: false })
    }

    async fn exec_run(
        &self,
        sandbox: &dyn Sandbox,
        state: &State,
        run: &Run,
        env: BTreeMap<String, String>,
    ) -> Result<(), ImageError> {
        let trouble = || ImageError::sandbox(&self.wanted.name);
        let log = self.log.file().try_clone().map_err(ImageError::file("share a log"))?;
        let workdir = match state.config.workdir.as_str() {
            "" => "/".to_owned(),
            workdir => workdir.to_owned(),
        };
        let user = match state.config.user.as_str() {
            "" => "0".to_owned(),
            user => user.to_owned(),
        };
        let command = Command {
            workdir: Some(workdir),
            user: Some(user),
            stdout: Output::File(log),
            stderr: Output::Stdout,
            timeout: Some(self.inner.options.timeout),
            env,
            ..Command::new(run.argv.iter().map(String::as_str))
        };
        let process = match sandbox.exec(&command).await {
            Err(SandboxError::CannotStart { program, source }) => {
                return Err(self.wrong((run.line, format!("`{program}`: {source}"))));
            }
            other => other.map_err(trouble())?,
        };
        let outcome = process.wait().await.map_err(trouble())?;
        build::must_succeed(
            &build::Place { layer: &self.wanted.name, step: &run.title },
            &outcome,
            self.inner.options.timeout,
            &self.log,
        )
    }

    /// Variables of building, in no image: those that the caller gave, and proxies.
    fn building_environment(&self) -> BTreeMap<String, String> {
        let mut env = self.inner.options.env.clone();
        for name in PREDEFINED {
            if let Some(value) = self.arguments.given.get(name) {
                env.insert(name.to_owned(), value.clone());
            }
        }
        env
    }
}

/// Variables of a command: the image's, and arguments that the stage declared.
fn environment(state: &State) -> BTreeMap<String, String> {
    let mut env = state.args.clone();
    env.extend(state.config.env.clone());
    env
}

/// The words of a command, and the script that a here-document alone is.
fn command_line(instruction: &Instruction, state: &State) -> (Vec<String>, Option<String>) {
    if let Some(list) = instruction.list().filter(|list| !list.is_empty()) {
        return (list, None);
    }
    let rest = instruction.rest.trim();
    if let [document] = &instruction.documents[..]
        && announced(rest).is_some_and(|only| only.name == document.name)
    {
        let text = document.content();
        return match text.starts_with("#!") {
            true => (vec![SCRIPT.to_owned()], Some(text)),
            false => (state.by_shell(&text), None),
        };
    }
    let mut text = instruction.rest.clone();
    for document in &instruction.documents {
        // The shell reads it, and replaces what is to be replaced.
        text.push('\n');
        text.push_str(&document.text);
        text.push_str(&document.name);
    }
    (state.by_shell(&text), None)
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::layers::ImageKey;
    use crate::model::Digest;

    fn line(text: &str) -> (Vec<String>, Option<String>) {
        let file = parse::parse(&format!("FROM a\n{text}")).unwrap();
        let image = ImageKey(Digest::of("a"));
        let state = State::new(image, ImageConfig::default(), '\\');
        command_line(&file.stages[0].instructions[0], &state)
    }

    #[test]
    fn commands_are_what_the_shell_or_the_list_says() {
        let shell = |text: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()];
        assert_eq!(line("RUN echo $A").0, shell("echo $A"));
        assert_eq!(line("RUN [\"a\", \"b\"]").0, ["a", "b"]);
        assert_eq!(line("RUN <<E\nx\ny\nE").0, shell("x\ny\n"));
        assert_eq!(line("RUN cat <<E > f\nx\nE").0, shell("cat <<E > f\nx\nE"));
        let (argv, script) = line("RUN <<E\n#!/usr/bin/python3\nprint()\nE");
        assert_eq!(
            (argv[0].as_str(), script.unwrap().as_str()),
            (SCRIPT, "#!/usr/bin/python3\nprint()\n")
        );
    }
}
