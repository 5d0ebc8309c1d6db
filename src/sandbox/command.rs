//! A command to run in a sandbox, and the process it becomes.

use super::SandboxError;
use crate::layers::ImageConfig;
use crate::model::Outcome;
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs::File;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes that come.
pub type ByteStream = Box<dyn AsyncRead + Send + Unpin>;
/// Bytes that go.
pub type ByteSink = Box<dyn AsyncWrite + Send + Unpin>;

/// What to run.
#[derive(Debug, Default)]
pub struct Command {
    /// Program and arguments. The program is looked up in the `PATH` of the command's environment.
    pub argv: Vec<String>,
    /// Environment variables over those of the sandbox and the image.
    pub env: BTreeMap<String, String>,
    /// Working directory; `None`: the image's.
    pub workdir: Option<String>,
    /// User as `name`, `uid` or `uid:gid`; `None`: the image's.
    pub user: Option<String>,
    /// Standard input.
    pub stdin: Stdin,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// Ended, with every process it started, after this time. `None`: only by the sandbox's end.
    pub timeout: Option<Duration>,
    /// A terminal of its own; standard error then comes with standard output.
    pub pty: Option<(u16, u16)>,
}

impl Command {
    /// A command of these words, with no input and its output thrown away.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Its variables, as `NAME=value`, over those of its sandbox: what comes later stands.
    pub(super) fn variables(&self, sandbox: &BTreeMap<String, String>) -> Vec<String> {
        let mut env = sandbox.clone();
        if self.pty.is_some() {
            env.entry("TERM".to_owned()).or_insert_with(|| "xterm".to_owned());
        }
        env.extend(self.env.clone());
        env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Where it runs: where it asks to, else where its image says, else at the top.
    pub(super) fn workdir_in(&self, image: &ImageConfig) -> String {
        let workdir = self.workdir.as_ref().unwrap_or(&image.workdir);
        if workdir.is_empty() { "/".to_owned() } else { workdir.clone() }
    }

    /// Who runs it: whom it asks for, else whom its image says.
    pub(super) fn user_in(&self, image: &ImageConfig) -> String {
        self.user.as_ref().unwrap_or(&image.user).clone()
    }
}

/// Where standard input comes from.
#[derive(Debug, Default)]
pub enum Stdin {
    /// `/dev/null`.
    #[default]
    Null,
    /// These bytes, then the end.
    Bytes(Bytes),
    /// [`Process::stdin`].
    Pipe,
}

/// Where output goes.
#[derive(Debug, Default)]
pub enum Output {
    /// Nowhere.
    #[default]
    Null,
    /// [`Process::stdout`] or [`Process::stderr`].
    Pipe,
    /// Appended to a file of ours, up to the sandbox's output limit; the middle is not kept: what
    /// is beyond the limit is dropped and counted.
    File(File),
    /// For standard error: the same place as standard output, in the order written.
    Stdout,
}

/// A running command.
pub struct Process {
    /// Its standard input, if it was asked for.
    pub stdin: Option<ByteSink>,
    /// Its standard output, likewise.
    pub stdout: Option<ByteStream>,
    /// Its standard error, likewise.
    pub stderr: Option<ByteStream>,
    /// To wait for it, and to end it.
    pub control: Box<dyn ProcessControl>,
}

impl Process {
    /// Waits until its main process has ended and its output has been drained, which lasts at most
    /// 200 ms longer: what still holds its pipes then does not hold up the caller.
    ///
    /// # Errors
    /// Trouble of our own, such as a lost connection to the sandbox.
    pub async fn wait(self) -> Result<Outcome, SandboxError> {
        self.control.wait().await
    }
}

/// What a back-end knows of a running command.
#[async_trait]
pub trait ProcessControl: Send {
    /// See [`Process::wait`].
    async fn wait(self: Box<Self>) -> Result<Outcome, SandboxError>;
    /// Sends a signal to its main process.
    async fn signal(&self, signal: i32) -> Result<(), SandboxError>;
    /// Changes the size of its terminal (columns, rows).
    async fn resize(&self, size: (u16, u16)) -> Result<(), SandboxError>;
}
