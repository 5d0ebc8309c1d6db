//! The keeper's care for one command: its streams, its time, its output limit, and how it ended.

use super::handle::{EndReason, Shared};
use super::proto::{EndedExec, Exec, InitRequest, Stream, Work};
use super::streams::{self, Budget, Pump, Tap};
use crate::model::{KilledBy, LimitsHit, Outcome, Status, Usage};
use crate::sandbox::{ByteSink, ByteStream, Output, Process, ProcessControl, SandboxError, Stdin};
use async_trait::async_trait;
use rustix::process::Signal;
use rustix::termios::Winsize;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// How long output is read after the main process has ended.
const DRAIN: Duration = Duration::from_millis(200);
/// How long a killed command may take to end before the whole sandbox is ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// A command as the keeper starts it.
pub(super) struct Order<'a> {
    pub(super) work: Work,
    pub(super) env: Vec<String>,
    pub(super) workdir: String,
    pub(super) user: String,
    pub(super) stdin: &'a Stdin,
    pub(super) stdout: &'a Output,
    pub(super) stderr: &'a Output,
    pub(super) timeout: Option<Duration>,
    pub(super) terminal: Option<(u16, u16)>,
}

/// Our ends of a command's streams, before it is known whether it starts.
struct Ends {
    stdin: Option<OwnedFd>,
    outputs: [Option<OwnedFd>; 2],
}

/// Starts a command.
pub(super) async fn start(shared: &Arc<Shared>, order: Order<'_>) -> Result<Process, SandboxError> {
    let program = match &order.work {
        Work::Program(argv) => argv.first().cloned().unwrap_or_default(),
        Work::Files(_) => "files".to_owned(),
    };
    // Our own code sends no more than it was told to.
    let limit = match &order.work {
        Work::Program(_) => shared.limits.output,
        Work::Files(_) => u64::MAX,
    };
    let (ends, theirs, kinds) = prepare(shared, &order)?;
    let id = shared.next_id();
    let streams = (order.stdin, [order.stdout, order.stderr]);
    let began = Instant::now();
    let deadline = order.timeout.map(|timeout| began + timeout);
    let exec = Exec {
        id,
        work: order.work,
        env: order.env,
        workdir: order.workdir,
        user: order.user,
        streams: kinds,
        terminal: order.terminal,
    };
    let waiter = shared.register(id);
    let descriptors: Vec<_> = theirs.iter().map(AsFd::as_fd).collect();
    let sent = shared.send(&InitRequest::Exec(Box::new(exec)), &descriptors).await;
    drop(theirs);
    let terminal = match waiter.started.await {
        Ok(Ok(terminal)) => terminal,
        Ok(Err(fault)) => {
            let errno = std::io::Error::from_raw_os_error(fault.errno);
            let source = std::io::Error::new(errno.kind(), fault.to_string());
            return Err(SandboxError::CannotStart { program, source });
        }
        // A sandbox that met its limits before this command is no trouble of ours: the command is
        // one that was ended at once.
        Err(_) if shared.end_reason().is_some_and(EndReason::is_a_limit) => None,
        Err(_) => return Err(sent.err().unwrap_or_else(|| shared.gone())),
    };
    let care = Care {
        shared: shared.clone(),
        id,
        began,
        deadline,
        ended: waiter.ended,
        overflow: None,
        pumps: Vec::new(),
        closing: watch::channel(false).0,
        budget: Budget::new(limit),
    };
    care.begin(ends, streams, terminal)
}

/// Makes the pipes. What they are inside: descriptors to pass, and a word for each stream.
fn prepare(
    shared: &Shared,
    order: &Order<'_>,
) -> Result<(Ends, Vec<OwnedFd>, [Stream; 3]), SandboxError> {
    let mut ends = Ends { stdin: None, outputs: [None, None] };
    let mut theirs = Vec::new();
    let mut kinds = [Stream::Null; 3];
    if order.terminal.is_some() {
        return Ok((ends, theirs, kinds));
    }
    if !matches!(order.stdin, Stdin::Null) {
        let (read, write) = streams::pipe(shared.root_id())?;
        theirs.push(read);
        ends.stdin = Some(write);
        kinds[0] = Stream::Passed;
    }
    for (index, output) in [order.stdout, order.stderr].into_iter().enumerate() {
        kinds[index + 1] = match output {
            Output::Null => Stream::Null,
            Output::Stdout if index == 1 => Stream::Stdout,
            Output::Stdout => Stream::Null,
            Output::Pipe | Output::File(_) => {
                let (read, write) = streams::pipe(shared.root_id())?;
                theirs.push(write);
                ends.outputs[index] = Some(read);
                Stream::Passed
            }
        };
    }
    Ok((ends, theirs, kinds))
}

/// Feeds standard input, or hands its end out.
fn feed(end: Option<OwnedFd>, stdin: &Stdin) -> Result<Option<ByteSink>, SandboxError> {
    let Some(end) = end else { return Ok(None) };
    match stdin {
        Stdin::Null => Ok(None),
        Stdin::Pipe => Ok(Some(Box::new(streams::Sink::new(end)?))),
        Stdin::Bytes(bytes) => {
            let mut sink = streams::Sink::new(end)?;
            let bytes = bytes.clone();
            tokio::spawn(async move {
                use tokio::io::AsyncWriteExt as _;
                // A command that does not read all of it is no error.
                let _ = sink.write_all(&bytes).await;
            });
            Ok(None)
        }
    }
}

/// Cares for a command until it has ended.
struct Care {
    shared: Arc<Shared>,
    id: u64,
    began: Instant,
    deadline: Option<Instant>,
    ended: oneshot::Receiver<EndedExec>,
    overflow: Option<oneshot::Receiver<()>>,
    pumps: Vec<JoinHandle<std::io::Result<()>>>,
    closing: watch::Sender<bool>,
    budget: Arc<Budget>,
}

impl Care {
    /// Connects the streams, and goes on in a task of its own.
    fn begin(
        mut self,
        mut ends: Ends,
        streams: (&Stdin, [&Output; 2]),
        terminal: Option<OwnedFd>,
    ) -> Result<Process, SandboxError> {
        if let Some(terminal) = &terminal {
            let copy = || terminal.try_clone().map_err(SandboxError::step("copy a descriptor"));
            ends.stdin = Some(copy()?);
            ends.outputs[0] = Some(copy()?);
        }
        let (stdin, [stdout, stderr]) = streams;
        self.overflow = self.budget.overflow();
        let [out, err] = ends.outputs;
        let stdin = feed(ends.stdin, stdin)?;
        let stdout = self.connect(out, stdout)?;
        let stderr = self.connect(err, stderr)?;
        let (tell, outcome) = oneshot::channel();
        let (shared, id) = (self.shared.clone(), self.id);
        tokio::spawn(async move {
            // Whoever does not wait does not want to know.
            let _ = tell.send(self.until_ended().await);
        });
        let control = Box::new(NativeControl { shared, id, outcome, terminal });
        Ok(Process { stdin, stdout, stderr, control })
    }

    /// Pumps output to its file, or hands its end out.
    fn connect(
        &mut self,
        end: Option<OwnedFd>,
        output: &Output,
    ) -> Result<Option<ByteStream>, SandboxError> {
        let Some(end) = end else { return Ok(None) };
        let budget = self.budget.clone();
        let file = match output {
            Output::Pipe => {
                let tap = Tap::new(end, budget, self.closing.subscribe())?;
                return Ok(Some(Box::new(tap)));
            }
            Output::File(file) => {
                Some(file.try_clone().map_err(SandboxError::step("copy a descriptor"))?)
            }
            // A terminal whose output nobody wants must be read all the same.
            Output::Null | Output::Stdout => None,
        };
        self.pumps.push(tokio::spawn(Pump::new(end, file, budget)?.run(self.closing.subscribe())));
        Ok(None)
    }

    async fn until_ended(mut self) -> Result<Outcome, SandboxError> {
        let before = self.shared.last_facts();
        let (ended, killed) = self.wait().await;
        let wall = self.began.elapsed();
        self.drain().await?;
        let facts = self.shared.read_facts();
        let reason = self.shared.end_reason();
        let mut hit = LimitsHit {
            memory: facts.oom_kills > before.oom_kills,
            pids: facts.forks_refused > before.forks_refused,
            disk: self.shared.is_disk_full(),
            cpu_throttled: facts.throttled.saturating_sub(before.throttled),
        };
        match reason {
            Some(EndReason::Memory) => hit.memory = true,
            Some(EndReason::Disk) => hit.disk = true,
            _ => {}
        }
        let status = match (ended, killed) {
            (_, Some(by)) => Status::Killed(by),
            (Some(ended), None) => decode(ended.status),
            (None, None) => match reason {
                Some(EndReason::Asked) => Status::Killed(KilledBy::Cancelled),
                Some(EndReason::Lifetime) => Status::Killed(KilledBy::TimedOut),
                Some(EndReason::Memory | EndReason::Disk) => Status::Signal(libc::SIGKILL),
                Some(EndReason::Stuck) | None if hit.memory => Status::Signal(libc::SIGKILL),
                Some(EndReason::Stuck) | None => return Err(self.shared.gone()),
            },
        };
        if status == Status::Signal(libc::SIGXFSZ) {
            hit.disk = true;
        }
        Ok(Outcome { status, limits_hit: hit, usage: self.usage(ended, wall, facts.peak_memory) })
    }

    fn usage(&self, ended: Option<EndedExec>, wall: Duration, peak: Option<u64>) -> Usage {
        let (user, system, largest) = ended
            .map_or((0, 0, 0), |ended| (ended.user_us, ended.system_us, ended.max_rss_kib << 10));
        let (output_bytes, output_dropped) = self.budget.counted();
        Usage {
            wall,
            user: Duration::from_micros(user),
            system: Duration::from_micros(system),
            peak_memory: peak.unwrap_or(largest),
            output_bytes,
            output_dropped,
        }
    }

    /// Until its main process has ended or the sandbox is gone; and whether we ended it.
    async fn wait(&mut self) -> (Option<EndedExec>, Option<KilledBy>) {
        let deadline = self.deadline;
        let time_up = async move {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let overflow = self.overflow.take();
        let overflow = async move {
            let told = match overflow {
                Some(overflow) => overflow.await.is_ok(),
                None => false,
            };
            if !told {
                std::future::pending().await
            }
        };
        let by = tokio::select! {
            biased;
            ended = &mut self.ended => return (ended.ok(), None),
            () = time_up => KilledBy::TimedOut,
            () = overflow => KilledBy::OutputLimit,
        };
        let kill = InitRequest::Signal { id: self.id, signal: Signal::KILL.as_raw(), tree: true };
        let asked = self.shared.send(&kill, &[]).await;
        match tokio::time::timeout(PATIENCE, &mut self.ended).await {
            Ok(ended) if asked.is_ok() => (ended.ok(), Some(by)),
            _ => {
                self.shared.end(EndReason::Stuck);
                (None, Some(by))
            }
        }
    }

    /// Reads what is left of the output. What holds the pipes open longer does not hold us up.
    async fn drain(&mut self) -> Result<(), SandboxError> {
        let until = tokio::time::Instant::now() + DRAIN;
        // Pumps, and streams in others' hands, end by themselves or with the time.
        let _ = tokio::time::timeout_at(until, self.closing.closed()).await;
        let _ = self.closing.send(true);
        for pump in self.pumps.drain(..) {
            // One that was cancelled went with the runtime.
            if let Ok(result) = pump.await {
                result.map_err(SandboxError::step("write the output down"))?;
            }
        }
        Ok(())
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
struct NativeControl {
    shared: Arc<Shared>,
    id: u64,
    outcome: oneshot::Receiver<Result<Outcome, SandboxError>>,
    terminal: Option<OwnedFd>,
}

#[async_trait]
impl ProcessControl for NativeControl {
    async fn wait(self: Box<Self>) -> Result<Outcome, SandboxError> {
        self.outcome.await.map_err(|_| SandboxError::Gone)?
    }

    async fn signal(&self, signal: i32) -> Result<(), SandboxError> {
        self.shared.send(&InitRequest::Signal { id: self.id, signal, tree: false }, &[]).await
    }

    async fn resize(&self, size: (u16, u16)) -> Result<(), SandboxError> {
        let Some(terminal) = &self.terminal else {
            return Err(SandboxError::Unsupported {
                what: "changing the size of a terminal",
                why: "the command has none".to_owned(),
            });
        };
        let (columns, rows) = size;
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(terminal, size)
            .map_err(|errno| SandboxError::step("change the size of a terminal")(errno.into()))
    }
}
