//! Commands in a container: their time, their limits, and how they ended.

use super::streams::{self, CommandCredit, Credit, Reader, Sink};
use super::wire::{Command, End, Wire};
use crate::model::{KilledBy, LimitsHit, Outcome, Status, Usage};
use crate::sandbox::native::inside::{Ended, Order, Place, ToInside};
use crate::sandbox::{Output, Process, ProcessControl, SandboxError, Stdin};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a killed command may take to end before its container is ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// A command to be started, and where its streams lead.
pub(super) struct Wanted<'a> {
    pub(super) order: Order,
    pub(super) stdin: &'a Stdin,
    pub(super) stdout: &'a Output,
    pub(super) stderr: &'a Output,
    pub(super) timeout: Option<Duration>,
}

/// Where a command's output leads, inside.
pub(super) fn places(stdin: &Stdin, stdout: &Output, stderr: &Output) -> [Place; 3] {
    let of = |output: &Output| match output {
        Output::Null | Output::Stdout => Place::Null,
        Output::Pipe | Output::File(_) => Place::Carried,
    };
    [
        if matches!(stdin, Stdin::Null) { Place::Null } else { Place::Carried },
        of(stdout),
        if matches!(stderr, Output::Stdout) { Place::Stdout } else { of(stderr) },
    ]
}

fn sink(
    output: &Output,
) -> Result<(Sink, Option<tokio::sync::mpsc::UnboundedReceiver<bytes::Bytes>>), SandboxError> {
    Ok(match output {
        Output::Null | Output::Stdout => (Sink::nowhere(), None),
        Output::File(file) => {
            (Sink::file(file.try_clone().map_err(SandboxError::step("open the log"))?), None)
        }
        Output::Pipe => {
            let (sink, reader) = Sink::reader();
            (sink, Some(reader))
        }
    })
}

/// Starts a command.
pub(super) async fn start(wire: &Arc<Wire>, wanted: Wanted<'_>) -> Result<Process, SandboxError> {
    let program = match &wanted.order {
        Order::Program { argv, .. } => argv.first().cloned().unwrap_or_default(),
        Order::Files(_) => "files".to_owned(),
    };
    let credit = (!matches!(wanted.stdin, Stdin::Null)).then(Credit::new);
    let (out, out_reader) = sink(wanted.stdout)?;
    let (err, err_reader) = sink(wanted.stderr)?;
    let (tell_start, started) = oneshot::channel();
    let (tell_end, ended) = oneshot::channel();
    let (tell_flood, flood) = oneshot::channel();
    let began = Instant::now();
    let id = wire.enlist(Command {
        started: Some(tell_start),
        ended: Some(tell_end),
        flood: Some(tell_flood),
        input: credit.clone().map(CommandCredit),
        outputs: [out, err],
        trouble: Ok(()),
    });
    wire.say(&ToInside::Exec { id, order: wanted.order });
    match started.await {
        Ok(Ok(())) => {}
        Ok(Err((step, errno))) => {
            let errno = std::io::Error::from_raw_os_error(errno);
            let source = std::io::Error::new(errno.kind(), format!("{step}: {errno}"));
            return Err(SandboxError::CannotStart { program, source });
        }
        // A sandbox that met its limits before this command is no trouble of ours: the command is
        // one that was ended at once.
        Err(_) => match wire.over().await {
            end if end.is_a_limit() => {}
            end => return Err(end.error()),
        },
    }
    let stdin = match (wanted.stdin, credit) {
        (Stdin::Pipe, Some(credit)) => Some(streams::input(wire.clone(), id, credit)),
        (Stdin::Bytes(bytes), Some(credit)) => {
            streams::feed(wire.clone(), id, credit, bytes.clone());
            None
        }
        _ => None,
    };
    let stdout = out_reader.map(|pieces| Reader::stream(wire, id, 1, pieces));
    let stderr = err_reader.map(|pieces| Reader::stream(wire, id, 2, pieces));
    let care = Care { wire: wire.clone(), id, began, timeout: wanted.timeout, ended };
    let (tell, outcome) = oneshot::channel();
    tokio::spawn(async move {
        // Whoever does not wait does not want to know.
        let _ = tell.send(care.until_ended(flood).await);
    });
    let control = Box::new(Control { wire: wire.clone(), id, outcome });
    Ok(Process { stdin, stdout, stderr, control })
}

type Told = (Ended, std::io::Result<()>);

/// A command that runs.
struct Care {
    wire: Arc<Wire>,
    id: u64,
    began: Instant,
    timeout: Option<Duration>,
    ended: oneshot::Receiver<Told>,
}

impl Care {
    async fn until_ended(mut self, flood: oneshot::Receiver<()>) -> Result<Outcome, SandboxError> {
        let deadline = self.timeout.map(|timeout| self.began + timeout);
        let time_up = async move {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let flooded = async move {
            if flood.await.is_err() {
                std::future::pending().await
            }
        };
        let by = tokio::select! {
            biased;
            ended = &mut self.ended => return self.outcome(ended.ok(), None).await,
            () = time_up => KilledBy::TimedOut,
            () = flooded => KilledBy::OutputLimit,
        };
        let signal = libc::SIGKILL;
        self.wire.say(&ToInside::Signal { id: self.id, signal, tree: true });
        loop {
            match tokio::time::timeout(PATIENCE, &mut self.ended).await {
                // What had ended in time ended by itself, however late we hear of it.
                Ok(ended) => {
                    let killed = ended.as_ref().is_ok_and(|(ended, _)| ended.killed);
                    let by = (killed || by == KilledBy::OutputLimit).then_some(by);
                    return self.outcome(ended.ok(), by).await;
                }
                // Over a lost connection nothing is heard of a command that may have ended in time.
                Err(_) if !self.wire.is_joined() => {}
                Err(_) => {
                    self.wire.kill(End::Stuck).await?;
                    return self.outcome(None, Some(by)).await;
                }
            }
        }
    }

    async fn outcome(
        self,
        ended: Option<Told>,
        killed: Option<KilledBy>,
    ) -> Result<Outcome, SandboxError> {
        let Some((ended, trouble)) = ended else {
            let end = match killed {
                Some(_) => self.wire.ended(),
                None => Some(self.wire.over().await),
            };
            let wall = self.began.elapsed();
            let status = match (killed, &end) {
                (_, Some(End::Lost(_)) | None) if killed.is_none() => {
                    return Err(end.map_or(SandboxError::Gone, |end| end.error()));
                }
                (Some(by), _) => Status::Killed(by),
                (None, Some(End::Asked)) => Status::Killed(KilledBy::Cancelled),
                (None, Some(End::Lifetime)) => Status::Killed(KilledBy::TimedOut),
                (None, Some(End::Memory | End::Disk)) => Status::Signal(libc::SIGKILL),
                (None, _) => return Err(SandboxError::Gone),
            };
            let limits_hit = end.map(|end| end.hit()).unwrap_or_default();
            let usage = Usage { wall, ..Usage::default() };
            return Ok(Outcome { status, limits_hit, usage });
        };
        trouble.map_err(SandboxError::step("write the output down"))?;
        let status = match killed {
            Some(by) => Status::Killed(by),
            None => decode(ended.status),
        };
        let limits_hit = LimitsHit {
            memory: ended.grown.oom_kills > 0,
            pids: ended.grown.forks_refused > 0,
            disk: status == Status::Signal(libc::SIGXFSZ) || self.wire.ended() == Some(End::Disk),
            cpu_throttled: Duration::from_micros(ended.grown.throttled_us),
        };
        let peak_memory = match ended.totals.peak_memory {
            0 => ended.max_rss_kib << 10,
            peak => peak,
        };
        let usage = Usage {
            wall: Duration::from_micros(ended.wall_us).max(match killed {
                Some(KilledBy::TimedOut) => self.timeout.unwrap_or_default(),
                _ => Duration::ZERO,
            }),
            user: Duration::from_micros(ended.user_us),
            system: Duration::from_micros(ended.system_us),
            peak_memory,
            output_bytes: ended.written,
            output_dropped: ended.written.saturating_sub(ended.kept),
        };
        Ok(Outcome { status, limits_hit, usage })
    }
}

fn decode(status: i32) -> Status {
    if libc::WIFSIGNALED(status) {
        Status::Signal(libc::WTERMSIG(status))
    } else {
        Status::Code(libc::WEXITSTATUS(status))
    }
}

/// See [`ProcessControl`].
struct Control {
    wire: Arc<Wire>,
    id: u64,
    outcome: oneshot::Receiver<Result<Outcome, SandboxError>>,
}

#[async_trait]
impl ProcessControl for Control {
    async fn wait(self: Box<Self>) -> Result<Outcome, SandboxError> {
        self.outcome.await.map_err(|_| SandboxError::Gone)?
    }

    async fn signal(&self, signal: i32) -> Result<(), SandboxError> {
        self.wire.say(&ToInside::Signal { id: self.id, signal, tree: false });
        Ok(())
    }

    async fn resize(&self, size: (u16, u16)) -> Result<(), SandboxError> {
        self.wire.say(&ToInside::Resize { id: self.id, size });
        Ok(())
    }
}
