//! Commands in a container.

use super::{Daemon, bytes_of, failed};
use crate::model::{KilledBy, LimitsHit, Outcome, Status, Usage};
use crate::sandbox::{
    ByteSink, ByteStream, Command, Limits, Output, Process, ProcessControl, SandboxError, Stdin,
};
use async_trait::async_trait;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::sync::oneshot;

type Messages = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;
type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// Notes its process group under `$0`, then becomes the command. Its first argument says where
/// standard error goes.
const STARTER: &str =
    r#"echo $$ > "$0"; case $1 in merge) shift; exec "$@" 2>&1;; *) shift; exec "$@";; esac"#;
/// Ends the group noted under `$0`.
const KILLER: &str = r#"read -r group < "$0" && kill -s "$1" -- "-$group""#;

/// Where a command runs.
pub(super) struct Place<'a> {
    pub(super) daemon: &'a Arc<Daemon>,
    pub(super) container: &'a str,
    pub(super) limits: &'a Limits,
    pub(super) env: &'a BTreeMap<String, String>,
}

pub(super) async fn start(place: Place<'_>, command: &Command) -> Result<Process, SandboxError> {
    let Place { daemon, container, limits, env } = place;
    let nth = daemon.commands.fetch_add(1, Ordering::SeqCst);
    let note = format!("/dev/shm/.evalrun-{nth}");
    let began = Instant::now();
    let (id, messages, input) = {
        let _turn = daemon.turn().await;
        let options = options(command, env, &note);
        let docker = &daemon.docker;
        let created = docker.create_exec(container, options).await;
        let id = created.map_err(|error| failed("create an exec", error))?.id;
        let start = StartExecOptions { tty: command.pty.is_some(), ..Default::default() };
        match docker.start_exec(&id, Some(start)).await {
            Ok(StartExecResults::Attached { output, input }) => (id, output, input),
            Ok(StartExecResults::Detached) => {
                return Err(SandboxError::Protocol("docker detached an exec".to_owned()));
            }
            Err(error) => return Err(failed("start an exec", error)),
        }
    };
    let stdin = feed(&command.stdin, input);
    let (stdout, out) = sink(&command.stdout, limits.output)?;
    let (stderr, err) = sink(&command.stderr, limits.output)?;
    let (done, ended) = oneshot::channel();
    let exec = Exec { daemon: daemon.clone(), container: container.to_owned(), id, note };
    let watcher =
        Watcher { exec: exec.clone(), began, timeout: command.timeout, limits: limits.clone() };
    tokio::spawn(async move {
        // Nobody may be waiting any more.
        let _ = done.send(watcher.watch(messages, out, err).await);
    });
    Ok(Process { stdin, stdout, stderr, control: Box::new(DockerProcess { exec, ended }) })
}

fn options(
    command: &Command,
    env: &BTreeMap<String, String>,
    note: &str,
) -> CreateExecOptions<String> {
    let env: BTreeMap<_, _> = env.iter().chain(&command.env).collect();
    let merge = matches!(command.stderr, Output::Stdout) && command.pty.is_none();
    let mut cmd: Vec<String> = ["/bin/sh", "-c", STARTER, note].map(str::to_owned).into();
    cmd.push(if merge { "merge" } else { "apart" }.to_owned());
    cmd.extend(command.argv.iter().cloned());
    CreateExecOptions {
        attach_stdin: Some(!matches!(command.stdin, Stdin::Null)),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(command.pty.is_some()),
        env: Some(env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
        cmd: Some(cmd),
        user: command.user.clone(),
        working_dir: command.workdir.clone(),
        ..CreateExecOptions::default()
    }
}

/// Gives the command its input, or the caller the way to it.
fn feed(stdin: &Stdin, mut input: Input) -> Option<ByteSink> {
    match stdin {
        Stdin::Null => None,
        Stdin::Pipe => Some(Box::new(input)),
        Stdin::Bytes(bytes) => {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                // A command that does not read its input has a right to.
                let _ = input.write_all(&bytes).await;
                let _ = input.shutdown().await;
            });
            None
        }
    }
}

/// Where one stream of output goes, and how much of it went.
struct Tap {
    to: To,
    written: u64,
    limit: u64,
}

enum To {
    Nowhere,
    File(std::fs::File),
    Pipe(DuplexStream),
}

fn sink(output: &Output, limit: u64) -> Result<(Option<ByteStream>, Tap), SandboxError> {
    let (stream, to) = match output {
        Output::Null | Output::Stdout => (None, To::Nowhere),
        Output::File(file) => {
            let file = file.try_clone().map_err(SandboxError::step("open the log"))?;
            (None, To::File(file))
        }
        Output::Pipe => {
            let (reader, writer) = tokio::io::duplex(1 << 16);
            (Some(Box::new(reader) as ByteStream), To::Pipe(writer))
        }
    };
    Ok((stream, Tap { to, written: 0, limit }))
}

impl Tap {
    async fn take(&mut self, bytes: &Bytes) -> std::io::Result<()> {
        let room = usize::try_from(self.limit.saturating_sub(self.written)).unwrap_or(usize::MAX);
        self.written += bytes.len() as u64;
        let kept = &bytes[..bytes.len().min(room)];
        match &mut self.to {
            To::File(file) => file.write_all(kept),
            // A reader that has gone wants nothing more.
            To::Pipe(pipe) => pipe.write_all(bytes).await.or(Ok(())),
            To::Nowhere => Ok(()),
        }
    }

    fn dropped(&self) -> u64 {
        match self.to {
            To::File(_) => self.written.saturating_sub(self.limit),
            _ => 0,
        }
    }
}

/// Names one exec.
#[derive(Clone)]
struct Exec {
    daemon: Arc<Daemon>,
    container: String,
    id: String,
    note: String,
}

impl Exec {
    async fn signal(&self, signal: i32) -> Result<(), SandboxError> {
        let cmd = ["/bin/sh", "-c", KILLER, &self.note, &signal.to_string()].map(str::to_owned);
        let options = CreateExecOptions { cmd: Some(cmd.into()), ..CreateExecOptions::default() };
        let docker = &self.daemon.docker;
        let _turn = self.daemon.turn().await;
        let created = docker.create_exec(&self.container, options).await;
        let id = created.map_err(|error| failed("create an exec", error))?.id;
        let start = StartExecOptions { detach: true, ..Default::default() };
        docker.start_exec(&id, Some(start)).await.map_err(|error| failed("end an exec", error))?;
        Ok(())
    }

    /// Waits until the daemon knows how the command ended.
    async fn exit_code(&self) -> Result<i32, SandboxError> {
        for wait in [0, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let _turn = self.daemon.turn().await;
            let answer = self.daemon.docker.inspect_exec(&self.id).await;
            let answer = answer.map_err(|error| failed("inspect an exec", error))?;
            if let (Some(false), Some(code)) = (answer.running, answer.exit_code) {
                return Ok(i32::try_from(code).unwrap_or(-1));
            }
        }
        Err(SandboxError::Protocol("docker does not say how a command ended".to_owned()))
    }

    async fn out_of_memory(&self) -> bool {
        let answer = self.daemon.docker.inspect_container(&self.container, None).await;
        answer.ok().and_then(|about| about.state?.oom_killed).unwrap_or(false)
    }
}

/// Reads a command's output to its end, and ends the command when it must.
struct Watcher {
    exec: Exec,
    began: Instant,
    timeout: Option<Duration>,
    limits: Limits,
}

impl Watcher {
    async fn watch(
        self,
        mut messages: Messages,
        mut out: Tap,
        mut err: Tap,
    ) -> Result<Outcome, SandboxError> {
        let deadline =
            self.timeout.map(|timeout| tokio::time::Instant::from_std(self.began + timeout));
        let mut killed = None;
        loop {
            let until = match (killed, deadline) {
                // What still holds the streams of an ended command is not waited for.
                (Some(_), _) => tokio::time::Instant::now() + Duration::from_secs(2),
                (None, Some(deadline)) => deadline,
                (None, None) => tokio::time::Instant::now() + Duration::from_secs(86_400 * 365),
            };
            let message = match tokio::time::timeout_at(until, messages.next()).await {
                Ok(Some(message)) => message.map_err(|error| failed("read output", error))?,
                Ok(None) => break,
                Err(_) if killed.is_some() => break,
                Err(_) => {
                    killed = Some(KilledBy::TimedOut);
                    self.exec.signal(9).await?;
                    continue;
                }
            };
            let (bytes, is_err) = bytes_of(message);
            let tap = if is_err { &mut err } else { &mut out };
            tap.take(&bytes).await.map_err(SandboxError::step("write the log"))?;
            if killed.is_none() && tap.written > self.limits.output.saturating_mul(10) {
                killed = Some(KilledBy::OutputLimit);
                self.exec.signal(9).await?;
            }
        }
        let status = match killed {
            Some(by) => Status::Killed(by),
            None => Status::Code(self.exec.exit_code().await?),
        };
        let limits_hit =
            LimitsHit { memory: self.exec.out_of_memory().await, ..Default::default() };
        let usage = Usage {
            wall: self.began.elapsed(),
            output_bytes: out.written + err.written,
            output_dropped: out.dropped() + err.dropped(),
            ..Usage::default()
        };
        Ok(Outcome { status, limits_hit, usage })
    }
}

struct DockerProcess {
    exec: Exec,
    ended: oneshot::Receiver<Result<Outcome, SandboxError>>,
}

#[async_trait]
impl ProcessControl for DockerProcess {
    async fn wait(self: Box<Self>) -> Result<Outcome, SandboxError> {
        self.ended.await.map_err(|_| SandboxError::Gone)?
    }

    async fn signal(&self, signal: i32) -> Result<(), SandboxError> {
        self.exec.signal(signal).await
    }

    async fn resize(&self, (width, height): (u16, u16)) -> Result<(), SandboxError> {
        let size = ResizeExecOptions { height, width };
        let answer = self.exec.daemon.docker.resize_exec(&self.exec.id, size).await;
        answer.map_err(|error| failed("resize a terminal", error))
    }
}
