//! A scripted back-end for tests: no process runs, a function answers for every command.

use super::{
    Backend, ByteStream, Command, Content, Output, Process, ProcessControl, Root, Sandbox,
    SandboxError, SandboxOptions,
};
use crate::layers::{ImageConfig, ImageKey, LayerKey};
use crate::model::{Digest, LimitsHit, Outcome, Status, Usage};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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

/// A back-end without processes.
pub struct FakeBackend {
    script: Arc<Script>,
    images: Arc<Mutex<HashSet<ImageKey>>>,
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
        self.images.lock().expect("no holder panics").insert(key);
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
        Ok(self.images.lock().expect("no holder panics").contains(image))
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
        if !self.contains(image).await? {
            return Err(SandboxError::NoSuchImage(*image));
        }
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
            files: Mutex::default(),
            images: self.images.clone(),
            counts: self.counts.clone(),
            ended: Mutex::new(false),
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
    images: Arc<Mutex<HashSet<ImageKey>>>,
    counts: Arc<Counts>,
    ended: Mutex<bool>,
}

impl FakeSandbox {
    fn end(&self) {
        let mut ended = self.ended.lock().expect("no holder panics");
        if !std::mem::replace(&mut *ended, true) {
            self.counts.alive.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for FakeSandbox {
    fn drop(&mut self) {
        self.end();
    }
}

#[async_trait]
impl Sandbox for FakeSandbox {
    async fn exec(&self, command: &Command) -> Result<Process, SandboxError> {
        if *self.ended.lock().expect("no holder panics") {
            return Err(SandboxError::Gone);
        }
        let reply = {
            let mut files = self.files.lock().expect("no holder panics");
            let reply =
                (self.script)(&Invocation { command, options: &self.options, files: &files });
            files.extend(reply.writes.iter().cloned());
            reply
        };
        let mut stdout: Option<ByteStream> = None;
        match &command.stdout {
            Output::File(file) => {
                let mut file = file;
                file.write_all(&reply.stdout).map_err(SandboxError::step("write the output"))?;
            }
            Output::Pipe => stdout = Some(Box::new(std::io::Cursor::new(reply.stdout.clone()))),
            Output::Null | Output::Stdout => {}
        }
        let outcome = Outcome {
            status: reply.status,
            limits_hit: reply.limits_hit,
            usage: Usage {
                wall: reply.takes,
                output_bytes: reply.stdout.len() as u64,
                ..Usage::default()
            },
        };
        Ok(Process {
            stdin: None,
            stdout,
            stderr: None,
            control: Box::new(FakeProcess { outcome, takes: reply.takes }),
        })
    }

    async fn copy_in(&self, path: &str, content: Content) -> Result<(), SandboxError> {
        if let Content::File { bytes, .. } = content {
            self.files.lock().expect("no holder panics").insert(path.to_owned(), bytes);
        }
        Ok(())
    }

    async fn copy_out(&self, path: &str, limit: u64) -> Result<Content, SandboxError> {
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
        _last: bool,
    ) -> Result<ImageKey, SandboxError> {
        let key = key.unwrap_or_else(|| LayerKey(Digest::of(self.image.to_string())));
        self.images.lock().expect("no holder panics").insert(key.into());
        Ok(key.into())
    }

    async fn terminate(&self) -> Result<Usage, SandboxError> {
        self.end();
        Ok(Usage::default())
    }
}

struct FakeProcess {
    outcome: Outcome,
    takes: Duration,
}

#[async_trait]
impl ProcessControl for FakeProcess {
    async fn wait(self: Box<Self>) -> Result<Outcome, SandboxError> {
        tokio::time::sleep(self.takes).await;
        Ok(self.outcome)
    }

    async fn signal(&self, _signal: i32) -> Result<(), SandboxError> {
        Ok(())
    }

    async fn resize(&self, _size: (u16, u16)) -> Result<(), SandboxError> {
        Ok(())
    }
}
