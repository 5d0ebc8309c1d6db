//! A scripted back-end for tests: no process runs, a function answers for every command.

use super::{
    Backend, ByteStream, Command, Content, Output, Process, ProcessControl, Root, Sandbox,
    SandboxError, SandboxOptions, Upper,
};
use crate::layers::{ImageConfig, ImageKey, LayerKey};
use crate::model::{Digest, Disk, DiskLimit, KilledBy, LimitsHit, Outcome, Status, Usage};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How many times its limit of output a command may write before it is ended.
const PATIENCE_WITH_OUTPUT: u64 = 10;

/// What the script answers to a command.
#[derive(Clone, Debug)]
pub struct Reply {
    /// How the command ends.
    pub status: Status,
    /// Limits it meets.
    pub limits_hit: LimitsHit,
    /// What it prints on standard output.
    pub stdout: Bytes,
    /// How long it takes, on tokio's clock.
    pub takes: Duration,
    /// Files that it writes.
    pub writes: Vec<(String, Bytes)>,
}

impl Reply {
    /// Ends at once with this code and prints this.
    #[must_use]
    pub fn code(code: i32, stdout: impl Into<Bytes>) -> Self {
        Self {
            status: Status::Code(code),
            limits_hit: LimitsHit::default(),
            stdout: stdout.into(),
            takes: Duration::ZERO,
            writes: Vec::new(),
        }
    }
}

/// What the script sees.
pub struct Invocation<'a> {
    /// The command.
    pub command: &'a Command,
    /// The options of its sandbox.
    pub options: &'a SandboxOptions,
    /// The files copied into or written in its sandbox, by path.
    pub files: &'a HashMap<String, Bytes>,
}

/// Answers for every command of every sandbox.
pub type Script = dyn Fn(&Invocation<'_>) -> Reply + Send + Sync;

/// The files of every image.
type Images = Mutex<HashMap<ImageKey, HashMap<String, Bytes>>>;

/// A back-end without processes. What holds of every back-end whatever runs in it holds of this one
/// too: images and the files in them, limits of time and output, and how sandboxes end.
pub struct FakeBackend {
    script: Arc<Script>,
    images: Arc<Images>,
    counts: Arc<Counts>,
    refusals: AtomicUsize,
}

#[derive(Default)]
struct Counts {
    alive: AtomicUsize,
    peak: AtomicUsize,
    created: AtomicUsize,
}

impl FakeBackend {
    /// A back-end whose commands are answered by `script`.
    pub fn new(script: impl Fn(&Invocation<'_>) -> Reply + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            script: Arc::new(script),
            images: Arc::default(),
            counts: Arc::default(),
            refusals: AtomicUsize::new(0),
        })
    }

    /// Makes an image known.
    pub fn add_image(&self, key: ImageKey) {
        self.images.lock().expect("no holder panics").entry(key).or_default();
    }

    /// The next `times` sandboxes cannot be created.
    pub fn refuse(&self, times: usize) {
        self.refusals.store(times, Ordering::SeqCst);
    }

    /// Sandboxes alive now.
    pub fn alive(&self) -> usize {
        self.counts.alive.load(Ordering::SeqCst)
    }

    /// The most sandboxes that were alive at once.
    pub fn peak(&self) -> usize {
        self.counts.peak.load(Ordering::SeqCst)
    }

    /// Sandboxes created so far.
    pub fn created(&self) -> usize {
        self.counts.created.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Backend for FakeBackend {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn caveats(&self) -> Vec<String> {
        vec!["nothing runs in a fake sandbox".to_owned()]
    }

    async fn contains(&self, image: &ImageKey) -> Result<bool, SandboxError> {
        Ok(self.images.lock().expect("no holder panics").contains_key(image))
    }

    async fn import(
        &self,
        key: LayerKey,
        _root: Root,
        _config: &ImageConfig,
    ) -> Result<ImageKey, SandboxError> {
        self.add_image(key.into());
        Ok(key.into())
    }

    async fn create(
        &self,
        image: &ImageKey,
        options: &SandboxOptions,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let files = self.images.lock().expect("no holder panics").get(image).cloned();
        let files = files.ok_or(SandboxError::NoSuchImage(*image))?;
        let take_one = |left: usize| left.checked_sub(1);
        if self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one).is_ok() {
            return Err(SandboxError::Unsupported {
                what: "creating a sandbox",
                why: "the script of the fake back-end refuses".to_owned(),
            });
        }
        let alive = self.counts.alive.fetch_add(1, Ordering::SeqCst) + 1;
        self.counts.peak.fetch_max(alive, Ordering::SeqCst);
        self.counts.created.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(FakeSandbox {
            image: *image,
            options: options.clone(),
            script: self.script.clone(),
            files: Mutex::new(files),
            images: self.images.clone(),
            counts: self.counts.clone(),
            ran_short: AtomicBool::new(false),
            born: Instant::now(),
            ended: watch::channel(false).0,
        }))
    }

    async fn export(&self, _image: &ImageKey) -> Result<ByteStream, SandboxError> {
        Ok(Box::new(tokio::io::empty()))
    }

    async fn remove(&self, image: &ImageKey) -> Result<(), SandboxError> {
        self.images.lock().expect("no holder panics").remove(image);
        Ok(())
    }

    async fn sweep(&self) -> Result<usize, SandboxError> {
        Ok(0)
    }

    async fn close(&self) {}
}

struct FakeSandbox {
    image: ImageKey,
    options: SandboxOptions,
    script: Arc<Script>,
    files: Mutex<HashMap<String, Bytes>>,
    images: Arc<Images>,
    counts: Arc<Counts>,
    ran_short: AtomicBool,
    born: Instant,
    ended: watch::Sender<bool>,
}

impl FakeSandbox {
    fn end(&self) {
        if !self.ended.send_replace(true) {
            self.counts.alive.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn is_alive(&self) -> Result<(), SandboxError> {
        if *self.ended.borrow() { Err(SandboxError::Gone) } else { Ok(()) }
    }

    /// How a command ends by itself, or by its limits.
    fn outcome(&self, command: &Command, reply: &Reply) -> Outcome {
        let written = reply.stdout.len() as u64;
        let limit = self.options.limits.output;
        let life = self.options.lifetime.map(|life| life.saturating_sub(self.born.elapsed()));
        let time = [command.timeout, life].into_iter().flatten().min();
        let (status, wall) = match time {
            _ if written > limit.saturating_mul(PATIENCE_WITH_OUTPUT) => {
                (Status::Killed(KilledBy::OutputLimit), Duration::ZERO)
            }
            Some(time) if time < reply.takes => (Status::Killed(KilledBy::TimedOut), time),
            _ => (reply.status, reply.takes),
        };
        let usage = Usage {
            wall,
            output_bytes: written,
            output_dropped: written.saturating_sub(limit),
            ..Usage::default()
        };
        Outcome { status, limits_hit: reply.limits_hit, usage }
    }
}

impl Drop for FakeSandbox {
    fn drop(&mut self) {
        self.end();
    }
}

/// What no back-end takes as a path.
fn check_path(path: &str) -> Result<(), SandboxError> {
    if Path::new(path).is_absolute() && !path.contains('\0') {
        return Ok(());
    }
    let why = "is not an absolute path".to_owned();
    Err(SandboxError::Path { path: path.to_owned(), why })
}

#[async_trait]
impl Sandbox for FakeSandbox {
    async fn exec(&self, command: &Command) -> Result<Process, SandboxError> {
        self.is_alive()?;
        let reply = {
            let mut files = self.files.lock().expect("no holder panics");
            let reply =
                (self.script)(&Invocation { command, options: &self.options, files: &files });
            files.extend(reply.writes.iter().cloned());
            if self.disk().in_memory && (reply.limits_hit.disk || reply.limits_hit.memory) {
                self.ran_short.store(true, Ordering::SeqCst);
            }
            reply
        };
        let outcome = self.outcome(command, &reply);
        let kept = outcome.usage.output_bytes - outcome.usage.output_dropped;
        let kept = usize::try_from(kept).unwrap_or(usize::MAX).min(reply.stdout.len());
        let output = reply.stdout.slice(..kept);
        let mut stdout: Option<ByteStream> = None;
        match &command.stdout {
            Output::File(file) => {
                let mut file = file;
                file.write_all(&output).map_err(SandboxError::step("write the output"))?;
            }
            Output::Pipe => stdout = Some(Box::new(std::io::Cursor::new(output))),
            Output::Null | Output::Stdout => {}
        }
        let ended = self.ended.subscribe();
        let control = Box::new(FakeProcess { outcome, ended, signal: AtomicI32::new(0) });
        Ok(Process { stdin: None, stdout, stderr: None, control })
    }

    async fn copy_in(&self, path: &str, content: Content) -> Result<(), SandboxError> {
        check_path(path)?;
        self.is_alive()?;
        if let Content::File { bytes, .. } = content {
            self.files.lock().expect("no holder panics").insert(path.to_owned(), bytes);
        }
        Ok(())
    }

    async fn copy_out(&self, path: &str, limit: u64) -> Result<Content, SandboxError> {
        check_path(path)?;
        self.is_alive()?;
        let files = self.files.lock().expect("no holder panics");
        let bytes = files.get(path).cloned().ok_or_else(|| SandboxError::Path {
            path: path.to_owned(),
            why: "there is no such file".to_owned(),
        })?;
        if bytes.len() as u64 > limit {
            return Err(SandboxError::TooLarge { path: path.to_owned(), limit });
        }
        Ok(Content::File { bytes, mode: 0o644 })
    }

    async fn snapshot(
        &self,
        key: Option<LayerKey>,
        _config: &ImageConfig,
        last: bool,
    ) -> Result<ImageKey, SandboxError> {
        self.is_alive()?;
        let files = self.files.lock().expect("no holder panics").clone();
        let mut images = self.images.lock().expect("no holder panics");
        let made_up = || LayerKey(Digest::of(format!("{} {}", self.image, images.len())));
        let key = ImageKey::from(key.unwrap_or_else(made_up));
        images.insert(key, files);
        if last {
            self.end();
        }
        Ok(key)
    }

    fn disk(&self) -> Disk {
        let in_memory = self.options.upper != Upper::Disk;
        let limited_by = if in_memory { DiskLimit::FileSystem } else { DiskLimit::Nothing };
        Disk { in_memory, limited_by, ran_short: self.ran_short.load(Ordering::SeqCst) }
    }

    async fn terminate(&self) -> Result<Usage, SandboxError> {
        self.end();
        Ok(Usage { wall: self.born.elapsed(), ..Usage::default() })
    }
}

struct FakeProcess {
    outcome: Outcome,
    ended: watch::Receiver<bool>,
    /// The signal that ended it; 0: none.
    signal: AtomicI32,
}

#[async_trait]
impl ProcessControl for FakeProcess {
    async fn wait(mut self: Box<Self>) -> Result<Outcome, SandboxError> {
        let with = |status| Outcome { status, ..self.outcome };
        let signal = self.signal.load(Ordering::SeqCst);
        if signal != 0 {
            return Ok(with(Status::Signal(signal)));
        }
        let cancelled = with(Status::Killed(KilledBy::Cancelled));
        tokio::select! {
            biased;
            () = tokio::time::sleep(self.outcome.usage.wall) => Ok(self.outcome),
            // Its sandbox was terminated, or dropped.
            _ = self.ended.wait_for(|ended| *ended) => Ok(cancelled),
        }
    }

    async fn signal(&self, signal: i32) -> Result<(), SandboxError> {
        if !self.outcome.usage.wall.is_zero() {
            self.signal.store(signal, Ordering::SeqCst);
        }
        Ok(())
    }

    async fn resize(&self, _size: (u16, u16)) -> Result<(), SandboxError> {
        Ok(())
    }
}
