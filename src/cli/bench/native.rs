//! The native sandbox as a contender: the same program, with every protection on.

use super::figures::Piece;
use super::rival::{MEMORY, PIDS};
use super::root::{PROGRAM, SCRIPT};
use crate::layers::ImageKey;
use crate::sandbox::{Backend, Command, Limits, Sandbox, SandboxOptions, Upper};
use anyhow::{Context as _, Result, bail};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What one may write.
const DISK: u64 = 256 << 20;

/// A way to use a native sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// Create, run, status, destroyed; what it writes is in memory.
    Memory,
    /// The same; what it writes is on disk.
    Disk,
    /// One made ahead is asked for and runs the program; until its status is known.
    Warm,
    /// Run in one that is there already.
    Live,
    /// Like `Memory`, and it writes files.
    MemoryFiles,
    /// Like `Disk`, and it writes files.
    DiskFiles,
}

impl Form {
    pub(super) const ALL: [Self; 6] =
        [Self::Memory, Self::Disk, Self::Warm, Self::Live, Self::MemoryFiles, Self::DiskFiles];

    /// Its name in the results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "native",
            Self::Disk => "native_disk",
            Self::Warm => "native_warm",
            Self::Live => "native_live",
            Self::MemoryFiles => "native_files",
            Self::DiskFiles => "native_disk_files",
        }
    }

    /// What it does.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Memory => "create, run, status, destroyed; upper in memory",
            Self::Disk => "create, run, status, destroyed; upper on disk",
            Self::Warm => "ask for one made ahead, run, status; its end not timed",
            Self::Live => "run in a live one, status",
            Self::MemoryFiles => "a shell that writes 21 files; upper in memory",
            Self::DiskFiles => "a shell that writes 21 files; upper on disk",
        }
    }

    fn upper(self) -> Upper {
        match self {
            Self::Disk | Self::DiskFiles => Upper::Disk,
            Self::Memory | Self::Warm | Self::Live | Self::MemoryFiles => Upper::Memory,
        }
    }

    fn command(self) -> Command {
        let mut command = match self {
            Self::MemoryFiles | Self::DiskFiles => Command::new(["/bin/sh", "-c", SCRIPT]),
            _ => Command::new([PROGRAM]),
        };
        command.workdir = Some("/".to_owned());
        command
    }
}

/// What it keeps from the program.
pub(super) const PROTECTS: &str = "user ids, all namespaces, writable root, default capabilities, \
     filter; memory, pids, CPU, disk, output";

/// Makes sandboxes.
#[derive(Clone)]
pub(super) struct Native {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) image: ImageKey,
}

/// With every limit on.
pub(super) fn options(form: Form) -> SandboxOptions {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let limits = Limits {
        memory: Some(MEMORY),
        pids: Some(PIDS),
        cpu_millis: u32::try_from(cores * 1000).ok(),
        disk: Some(DISK),
        ..Limits::default()
    };
    let mut options = SandboxOptions { limits, upper: form.upper(), ..SandboxOptions::default() };
    if form == Form::Warm {
        // So that those made ahead are taken by those who ask for them only.
        options.limits.pids = Some(PIDS - 1);
    }
    options
}

impl Native {
    /// A new one.
    pub(super) async fn create(&self, form: Form) -> Result<Arc<dyn Sandbox>> {
        Ok(self.backend.create(&self.image, &options(form)).await?)
    }

    /// Runs a command in one, which must succeed.
    pub(super) async fn succeed(sandbox: &dyn Sandbox, command: &Command) -> Result<()> {
        let outcome = sandbox.exec(command).await?.wait().await?;
        match outcome.success() {
            true => Ok(()),
            false => bail!("{:?} in a sandbox ended with {:?}", command.argv, outcome.status),
        }
    }

    /// From asking for one until it is gone, or for one made ahead until its status is known; how long
    /// that took.
    pub(super) async fn once(&self, form: Form) -> Result<Duration> {
        let command = form.command();
        if form == Form::Warm {
            self.backend.make_ready(&self.image, &options(form), 1).await?;
            // Until it has done what it does before its first command.
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let began = Instant::now();
        let sandbox = self.create(form).await?;
        Self::succeed(&*sandbox, &command).await?;
        let known = began.elapsed();
        sandbox.terminate().await?;
        Ok(if form == Form::Warm { known } else { began.elapsed() })
    }

    /// Runs the program in one that lives; how long that took.
    pub(super) async fn once_in(sandbox: &dyn Sandbox) -> Result<Duration> {
        let command = Form::Live.command();
        let began = Instant::now();
        Self::succeed(sandbox, &command).await?;
        Ok(began.elapsed())
    }

    /// So many at once for so long, until the last one is cleared away.
    pub(super) async fn drive(&self, form: Form, at_once: usize, time: Duration) -> Result<Piece> {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..at_once {
            let native = self.clone();
            tasks.spawn(async move {
                let mut count = 0;
                while began.elapsed() < time {
                    native.once(form).await?;
                    count += 1;
                }
                anyhow::Ok(count)
            });
        }
        let mut count = 0;
        while let Some(done) = tasks.join_next().await {
            count += done.context("a task of ours failed")??;
        }
        self.backend.close().await;
        Ok(Piece { count, took: began.elapsed() })
    }
}
