//! Applying `model_patch`, as the incumbent does it.

use super::{EvaluateError, InstanceLog};
use crate::model::{Outcome, Status};
use crate::sandbox::{Command, Content, Output, Sandbox, SandboxError, Stdin};
use bytes::Bytes;
use tokio::io::AsyncReadExt as _;

const PATCH: &str = "/tmp/patch.diff";

/// The commands that are tried, in this order.
const APPLY: [&[&str]; 4] = [
    &["git", "apply", "--verbose"],
    &["git", "apply", "--verbose", "--3way"],
    &["git", "apply", "--verbose", "--reject"],
    &["patch", "--batch", "--forward", "--fuzz=5", "-p1", "-i"],
];

/// What a command printed is quoted in the instance's log up to this many bytes.
const QUOTE: u64 = 1 << 20;

/// The repository in a sandbox.
#[derive(Clone, Copy)]
pub(super) struct WorkTree<'a> {
    pub(super) sandbox: &'a dyn Sandbox,
    /// Where it stands, an absolute path.
    pub(super) path: &'a str,
}

impl WorkTree<'_> {
    /// Applies the patch. Returns how it went in, or `None` if nothing takes it.
    pub(super) async fn apply(
        &self,
        patch: &str,
        log: &mut InstanceLog,
    ) -> Result<Option<String>, EvaluateError> {
        let bytes = Bytes::copy_from_slice(patch.as_bytes());
        self.sandbox.copy_in(PATCH, Content::File { bytes, mode: 0o644 }).await?;
        for (nth, words) in APPLY.iter().enumerate() {
            if nth > 0 {
                // A half-applied attempt must not stay below the next one.
                self.git(&["git", "checkout", "--", "."]).await?;
                self.git(&["git", "clean", "-fd"]).await?;
            }
            let command: Vec<&str> = words.iter().copied().chain([PATCH]).collect();
            let (outcome, output) = self.git(&command).await?;
            if outcome.success() {
                log.info(format_args!(">>>>> Applied Patch:\n{output}"))?;
                return Ok(Some(words.join(" ")));
            }
            log.info(format_args!(
                "Failed to apply patch to container: {}\n{output}",
                words.join(" ")
            ))?;
        }
        let (outcome, _) = self.git(&["git", "apply", "--check", "--reverse", PATCH]).await?;
        if outcome.success() {
            log.info(format_args!(">>>>> Applied Patch: it was there already"))?;
            return Ok(Some("already applied".to_owned()));
        }
        log.info(format_args!(">>>>> Patch Apply Failed"))?;
        Ok(None)
    }

    /// Logs the difference of the work tree to its commit.
    pub(super) async fn log_diff(
        &self,
        when: &str,
        log: &mut InstanceLog,
    ) -> Result<(), EvaluateError> {
        let (_, diff) = self.git(&["git", "-c", "core.fileMode=false", "diff"]).await?;
        log.info(format_args!("Git diff {when}:\n{}", diff.trim_end()))?;
        Ok(())
    }

    /// Whether a patch given as text is in the work tree.
    pub(super) async fn is_applied(&self, patch: &str) -> Result<bool, EvaluateError> {
        const CHECK: [&str; 5] = ["git", "apply", "--check", "--reverse", "-"];
        let mut command = self.command(&CHECK);
        command.stdin = Stdin::Bytes(Bytes::copy_from_slice(patch.as_bytes()));
        Ok(run(self.sandbox, command).await?.0.success())
    }

    async fn git(&self, words: &[&str]) -> Result<(Outcome, String), EvaluateError> {
        run(self.sandbox, self.command(words)).await
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(words.iter().copied());
        command.workdir = Some(self.path.to_owned());
        // The work tree of a foreign image may belong to somebody else.
        for (name, value) in [
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "safe.directory"),
            ("GIT_CONFIG_VALUE_0", "*"),
        ] {
            command.env.insert(name.to_owned(), value.to_owned());
        }
        command.stdout = Output::Pipe;
        command.stderr = Output::Stdout;
        command.timeout = Some(std::time::Duration::from_secs(300));
        command
    }
}

/// Runs a short command and returns the head of what it printed. A program that is not in the image
/// counts as one that failed, as in a shell.
async fn run(sandbox: &dyn Sandbox, command: Command) -> Result<(Outcome, String), EvaluateError> {
    let mut process = match sandbox.exec(&command).await {
        Ok(process) => process,
        Err(SandboxError::CannotStart { program, source }) => {
            let outcome = Outcome {
                status: Status::Code(127),
                limits_hit: Default::default(),
                usage: Default::default(),
            };
            return Ok((outcome, format!("{program}: {source}")));
        }
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    if let Some(mut stdout) = process.stdout.take() {
        (&mut stdout).take(QUOTE).read_to_end(&mut bytes).await?;
        // The rest is read too, so that the command does not wait for a reader.
        tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await?;
    }
    let outcome = process.wait().await?;
    Ok((outcome, String::from_utf8_lossy(&bytes).into_owned()))
}
