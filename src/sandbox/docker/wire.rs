//! The stream between us and our pid 1 in a container: joined again when it breaks, and the only
//! source of what is said of commands.

use super::daemon::{Daemon, failed, is_not_found};
use super::streams::{CommandCredit, Sink};
use crate::model::LimitsHit;
use crate::sandbox::SandboxError;
use crate::sandbox::native::inside::link::Link;
use crate::sandbox::native::inside::{Ended, FromInside, PROTOCOL, ToInside, Totals};
use bollard::container::AttachContainerResults;
use bollard::query_parameters::{AttachContainerOptionsBuilder, KillContainerOptionsBuilder};
use futures_util::StreamExt as _;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Notify, oneshot, watch};

/// Between two tries to join the stream.
const PAUSE: Duration = Duration::from_millis(100);

/// Why nothing more comes of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was asked for.
    Asked,
    /// Its lifetime was up.
    Lifetime,
    /// It wrote more than it may.
    Disk,
    /// Its pid 1 was killed for memory.
    Memory,
    /// A command could not be ended.
    Stuck,
    /// Trouble of ours.
    Lost(String),
}

impl End {
    /// The container met one of its limits: that is the program's own doing.
    pub(super) fn is_a_limit(&self) -> bool {
        matches!(self, Self::Disk | Self::Memory | Self::Lifetime)
    }

    pub(super) fn hit(&self) -> LimitsHit {
        LimitsHit {
            memory: *self == Self::Memory,
            disk: *self == Self::Disk,
            ..LimitsHit::default()
        }
    }

    pub(super) fn error(&self) -> SandboxError {
        match self {
            Self::Lost(why) => SandboxError::Lost(why.clone()),
            _ => SandboxError::Gone,
        }
    }
}

/// What is told of a command; dropped when nothing more will be.
pub(super) struct Command {
    pub(super) started: Option<oneshot::Sender<Result<(), (String, i32)>>>,
    pub(super) ended: Option<oneshot::Sender<(Ended, std::io::Result<()>)>>,
    pub(super) flood: Option<oneshot::Sender<()>>,
    pub(super) input: Option<CommandCredit>,
    pub(super) outputs: [Sink; 2],
    pub(super) trouble: std::io::Result<()>,
}

#[derive(Default)]
struct State {
    link: Link,
    /// Frames to be written; only while the other side has said what it has received.
    out: Vec<u8>,
    is_joined: bool,
    commands: HashMap<u64, Command>,
    totals: Totals,
}

/// One container's stream.
pub(super) struct Wire {
    pub(super) daemon: Arc<Daemon>,
    /// The container's name.
    pub(super) container: String,
    state: Mutex<State>,
    wake: Notify,
    next: AtomicU64,
    /// Why it is to end, said before it has.
    reason: Mutex<Option<End>>,
    end: watch::Sender<Option<End>>,
    /// Bytes that the disk of the container has less than at the beginning.
    fallen: watch::Sender<u64>,
}

impl Wire {
    pub(super) fn new(daemon: Arc<Daemon>, container: String) -> Arc<Self> {
        Arc::new(Self {
            daemon,
            container,
            state: Mutex::default(),
            wake: Notify::new(),
            next: AtomicU64::new(1),
            reason: Mutex::new(None),
            end: watch::channel(None).0,
            fallen: watch::channel(0).0,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }

    /// Says a word; if the stream is broken, when it has been joined again.
    pub(super) fn say(&self, word: &ToInside) {
        let mut state = self.state();
        let frame = state.link.say(word);
        if state.is_joined {
            state.out.extend(frame);
            self.wake.notify_one();
        }
    }

    /// Lists a command before it is said.
    pub(super) fn enlist(&self, command: Command) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.state().commands.insert(id, command);
        // What comes after the end is told nothing.
        if self.end.borrow().is_some() {
            self.state().commands.clear();
        }
        id
    }

    pub(super) fn is_joined(&self) -> bool {
        self.state().is_joined
    }

    pub(super) fn totals(&self) -> Totals {
        self.state().totals
    }

    /// The end, once it has come.
    pub(super) fn ended(&self) -> Option<End> {
        self.end.borrow().clone()
    }

    /// Waits for the end.
    pub(super) async fn over(&self) -> End {
        let mut end = self.end.subscribe();
        let ended = end.wait_for(Option::is_some).await;
        ended.ok().and_then(|end| end.clone()).unwrap_or(End::Asked)
    }

    pub(super) fn watch_disk(&self) -> watch::Receiver<u64> {
        self.fallen.subscribe()
    }

    /// Gives the reason for the end that is about to come; the first one stands.
    pub(super) fn is_to_end(&self, reason: End) {
        self.reason.lock().expect("nothing panics while it holds this lock").get_or_insert(reason);
    }

    fn reason(&self) -> Option<End> {
        self.reason.lock().expect("nothing panics while it holds this lock").clone()
    }

    /// Has pid 1 end everything and itself.
    pub(super) fn exit(&self, reason: End) {
        self.is_to_end(reason);
        self.say(&ToInside::Exit);
    }

    /// Has the daemon end it, whatever pid 1 does.
    pub(super) async fn kill(&self, reason: End) -> Result<(), SandboxError> {
        self.is_to_end(reason);
        let killed = self.daemon.ask(|docker| {
            let options = KillContainerOptionsBuilder::new().signal("KILL").build();
            let name = self.container.clone();
            async move { docker.kill_container(&name, Some(options)).await }
        });
        match killed.await {
            // It does not run.
            Err(error) if matches!(super::daemon::status(&error), Some(404 | 409)) => Ok(()),
            Err(error) => Err(failed("kill a container", error)),
            Ok(()) => Ok(()),
        }
    }

    /// Carries until the container has ended, or cannot be reached any more.
    pub(super) async fn carry(self: Arc<Self>, first: AttachContainerResults) {
        let mut attached = Some(first);
        let end = loop {
            if let Some(attached) = attached.take()
                && let Err(why) = self.carry_one(attached).await
            {
                break End::Lost(why);
            }
            {
                let mut state = self.state();
                state.is_joined = false;
                state.out.clear();
            }
            if let Some(end) = self.look().await {
                break end;
            }
            match self.attach().await {
                Ok(again) => attached = Some(again),
                Err(error) => break End::Lost(error.to_string()),
            }
        };
        self.close(end);
    }

    /// Nothing more comes.
    pub(super) fn close(&self, end: End) {
        let end = self.reason().unwrap_or(end);
        self.end.send_replace(Some(end));
        self.state().commands.clear();
    }

    pub(super) async fn attach(&self) -> Result<AttachContainerResults, SandboxError> {
        let attached = self.daemon.ask(|docker| {
            let options = AttachContainerOptionsBuilder::new()
                .stream(true)
                .stdin(true)
                .stdout(true)
                .stderr(true)
                .build();
            let name = self.container.clone();
            async move { docker.attach_container(&name, Some(options)).await }
        });
        attached.await.map_err(|error| failed("attach to a container", error))
    }

    /// Why the stream broke: `None` if the container runs on.
    async fn look(&self) -> Option<End> {
        loop {
            let looked = self.daemon.ask(|docker| {
                let name = self.container.clone();
                async move { docker.inspect_container(&name, None).await }
            });
            let state = match looked.await {
                Ok(about) => about.state.unwrap_or_default(),
                Err(error) if is_not_found(&error) => {
                    return Some(End::Lost("the container is gone".to_owned()));
                }
                Err(error) => return Some(End::Lost(error.to_string())),
            };
            if state.running == Some(true) {
                tokio::time::sleep(PAUSE).await;
                return None;
            }
            if state.status == Some(bollard::models::ContainerStateStatusEnum::CREATED) {
                // It is being started, or its start is asked for again.
                if self.reason().is_some() {
                    return Some(End::Asked);
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            return Some(match state.oom_killed {
                Some(true) => End::Memory,
                _ => End::Lost(format!(
                    "the container ended with status {} {}",
                    state.exit_code.unwrap_or(-1),
                    state.error.unwrap_or_default()
                )),
            });
        }
    }

    /// Carries over one connection. An error is one that no other connection mends.
    async fn carry_one(&self, attached: AttachContainerResults) -> Result<(), String> {
        let AttachContainerResults { mut output, mut input } = attached;
        let silence = self.daemon.deadlines.silence;
        let hello = || {
            let mut state = self.state();
            let received = state.link.received();
            let mut bytes = vec![0];
            bytes.extend(state.link.aside(&ToInside::Hello { received }));
            bytes
        };
        let mut out = hello();
        let mut asked = false;
        let mut written = 0;
        loop {
            if written == out.len() {
                out = std::mem::take(&mut self.state().out);
                written = 0;
            }
            tokio::select! {
                biased;
                message = tokio::time::timeout(silence, output.next()) => match message {
                    Ok(Some(Ok(message))) => {
                        asked = false;
                        // What comes on the other stream is the loader's or the C library's.
                        if let bollard::container::LogOutput::StdErr { message } = &message {
                            tracing::warn!("{}", String::from_utf8_lossy(message));
                            continue;
                        }
                        self.hear(&message.into_bytes())?;
                    }
                    Ok(_) => return Ok(()),
                    Err(_) if asked || self.ended().is_some() => return Ok(()),
                    Err(_) => {
                        // Nobody speaks: is somebody there?
                        asked = true;
                        if written == out.len() {
                            out = hello();
                            written = 0;
                        }
                    }
                },
                count = input.write(&out[written..]), if written < out.len() => match count {
                    Ok(count) if count > 0 => {
                        written += count;
                        if written == out.len() && input.flush().await.is_err() {
                            return Ok(());
                        }
                    }
                    _ => return Ok(()),
                },
                () = self.wake.notified() => {}
            }
        }
    }

    fn hear(&self, bytes: &[u8]) -> Result<(), String> {
        let mut state = self.state();
        let words = state.link.hear::<FromInside>(bytes);
        for word in words {
            match word {
                FromInside::Hello { protocol, .. } if protocol != PROTOCOL => {
                    return Err("the helper is of another build; install both programs anew".into());
                }
                FromInside::Hello { received, .. } => {
                    if !state.is_joined {
                        state.is_joined = true;
                        let again = state.link.again(received);
                        state.out = again;
                    }
                }
                FromInside::Heard => {}
                FromInside::LessRoom { fallen } => {
                    self.fallen.send_replace(fallen);
                }
                word => self.tell(&mut state, word),
            }
        }
        if state.link.owes_answer() && state.is_joined {
            let answer = state.link.aside(&ToInside::Heard);
            state.out.extend(answer);
        }
        if !state.out.is_empty() {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Tells a command what is said of it.
    fn tell(&self, state: &mut State, word: FromInside) {
        match word {
            FromInside::Started { id } => {
                if let Some(started) = state.commands.get_mut(&id).and_then(|c| c.started.take()) {
                    let _ = started.send(Ok(()));
                }
            }
            FromInside::NotStarted { id, step, errno } => {
                if let Some(started) = state.commands.remove(&id).and_then(|c| c.started) {
                    let _ = started.send(Err((step, errno)));
                }
            }
            FromInside::Output { id, stream, bytes } => {
                let Some(command) = state.commands.get_mut(&id) else { return };
                let taken = match command.outputs[usize::from(stream == 2)].take(bytes) {
                    Ok(taken) => taken,
                    Err((error, taken)) => {
                        command.trouble = Err(error);
                        taken
                    }
                };
                if taken > 0 && state.is_joined {
                    let frame = state.link.say(&ToInside::Taken { id, stream, count: taken });
                    state.out.extend(frame);
                } else if taken > 0 {
                    state.link.say(&ToInside::Taken { id, stream, count: taken });
                }
            }
            FromInside::Taken { id, count } => {
                if let Some(input) = state.commands.get(&id).and_then(|c| c.input.as_ref()) {
                    input.0.give(count);
                }
            }
            FromInside::InputClosed { id } => {
                if let Some(input) = state.commands.get(&id).and_then(|c| c.input.as_ref()) {
                    input.0.close();
                }
            }
            FromInside::Flood { id } => {
                if let Some(flood) = state.commands.get_mut(&id).and_then(|c| c.flood.take()) {
                    let _ = flood.send(());
                }
            }
            FromInside::Ended { id, ended } => {
                state.totals = ended.totals;
                if let Some(command) = state.commands.remove(&id)
                    && let Some(tell) = command.ended
                {
                    let _ = tell.send((ended, command.trouble));
                }
            }
            FromInside::Hello { .. } | FromInside::Heard | FromInside::LessRoom { .. } => {}
        }
    }
}
