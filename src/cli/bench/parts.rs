//! The parts of the benchmark. In each, contenders take turns, so that all meet the same machine.

use super::figures::{Figures, Piece, Times, millis, rounded};
use super::native::{Form, Native, PROTECTS};
use super::rival::{Arena, Rival, Runner};
use crate::layers::ImageConfig;
use crate::sandbox::{Command, Sandbox};
use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;

/// Into how many pieces the steady stretch is cut.
const PIECES: u32 = 6;
/// How much shorter a rival's pieces are.
const SHORTER: u32 = 6;
/// How many are in flight at once.
const IN_FLIGHT: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Between two that are timed one after another.
const PAUSE: Duration = Duration::from_millis(6);

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Contender {
    Native(Form),
    Rival(Rival),
}

impl Contender {
    fn name(self) -> &'static str {
        match self {
            Self::Native(form) => form.name(),
            Self::Rival(rival) => rival.name(),
        }
    }

    fn figures(self) -> Figures {
        let (what, protects) = match self {
            Self::Native(form) => (form.what(), PROTECTS),
            Self::Rival(rival) => (rival.what(), rival.protects()),
        };
        Figures { what: what.to_owned(), protects: protects.to_owned(), ..Figures::default() }
    }
}

/// What everything is measured with, and what was found.
pub(super) struct Bench {
    pub(super) native: Native,
    pub(super) arena: Arc<Arena>,
    pub(super) forms: Vec<Form>,
    pub(super) figures: BTreeMap<Contender, Figures>,
}

/// How many a second with so many at once, by contender.
pub(super) type Rates = BTreeMap<&'static str, BTreeMap<usize, f64>>;

/// Many alive at once.
#[derive(Debug, Serialize)]
pub(super) struct Alive {
    pub(super) count: usize,
    /// By what the machine has less available; the network namespace of each included.
    pub(super) mb_each: f64,
    pub(super) first_hundred_p50_ms: Option<f64>,
    pub(super) last_hundred_p50_ms: Option<f64>,
    pub(super) all_ended_ms: f64,
}

/// Children of a snapshot.
#[derive(Debug, Serialize)]
pub(super) struct FanOut {
    pub(super) children: usize,
    /// A finished sandbox becomes an image.
    pub(super) snapshot_ms: f64,
    /// Until every child has shown by a command that it sees what was written.
    pub(super) verified_ms: f64,
    /// The same as a multiple of one bare program's p50.
    pub(super) bare_spawns: Option<f64>,
}

impl Bench {
    pub(super) fn new(native: Native, arena: Arc<Arena>, forms: Vec<Form>) -> Self {
        let mut bench = Self { native, arena, forms, figures: BTreeMap::new() };
        for contender in bench.contenders() {
            bench.figures.insert(contender, contender.figures());
        }
        bench
    }

    fn contenders(&self) -> Vec<Contender> {
        let forms = self.forms.iter().copied().map(Contender::Native);
        forms.chain(self.arena.rivals.iter().copied().map(Contender::Rival)).collect()
    }

    /// One after another, in rounds that begin with another contender each time.
    pub(super) async fn serial(&mut self, rounds: usize) -> Result<()> {
        let contenders = self.contenders();
        let mut times: BTreeMap<Contender, Vec<Duration>> = BTreeMap::new();
        let mut runners = BTreeMap::new();
        for rival in &self.arena.rivals {
            runners.insert(*rival, Runner::new(&self.arena, *rival)?);
        }
        let live = self.native.create(Form::Live).await?;
        let trial = rounds.div_ceil(10);
        for round in 0..rounds + trial {
            for at in 0..contenders.len() {
                let contender = contenders[(at + round) % contenders.len()];
                let took = match contender {
                    Contender::Rival(rival) if round % rival.seldom() != 0 => continue,
                    Contender::Rival(rival) => {
                        let mut runner = runners.remove(&rival).context("every rival has one")?;
                        let done = spawn_blocking(move || runner.once().map(|took| (took, runner)));
                        let (took, runner) = done.await.context("a task of ours failed")??;
                        runners.insert(rival, runner);
                        took
                    }
                    Contender::Native(Form::Live) => Native::once_in(&*live).await?,
                    Contender::Native(form) => self.native.once(form).await?,
                };
                // What the last one leaves to do is not the next one's affair.
                tokio::time::sleep(PAUSE).await;
                if round >= trial {
                    times.entry(contender).or_default().push(took);
                }
            }
        }
        live.terminate().await?;
        for (contender, times) in times {
            if let Some(figures) = self.figures.get_mut(&contender) {
                figures.serial(&Times::new(times));
            }
        }
        Ok(())
    }

    /// Several at once, more and more, beside the bare program.
    pub(super) async fn rates(&self, time: Duration) -> Result<Rates> {
        let wanted = [
            Contender::Native(Form::Memory),
            Contender::Native(Form::Disk),
            Contender::Rival(Rival::Spawn),
        ];
        let mut rates = Rates::new();
        for at_once in IN_FLIGHT {
            for contender in wanted {
                let piece = self.drive(contender, at_once, time).await?;
                let rate = rounded(f64::from(piece.count) / piece.took.as_secs_f64());
                rates.entry(contender.name()).or_default().insert(at_once, rate);
            }
        }
        Ok(rates)
    }

    async fn drive(&self, contender: Contender, at_once: usize, time: Duration) -> Result<Piece> {
        match contender {
            Contender::Native(form) => self.native.drive(form, at_once, time).await,
            Contender::Rival(rival) => {
                let arena = self.arena.clone();
                let driven = spawn_blocking(move || drive_rival(&arena, rival, at_once, time));
                driven.await.context("a task of ours failed")?
            }
        }
    }

    /// A long stretch in pieces, with those of the rivals between.
    pub(super) async fn steady(&mut self, time: Duration) -> Result<()> {
        let at_once = 4 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut pieces: BTreeMap<Contender, Vec<Piece>> = BTreeMap::new();
        let contenders = self.contenders();
        for _ in 0..PIECES {
            for contender in &contenders {
                let time = match contender {
                    Contender::Native(Form::Live | Form::Warm) => continue,
                    Contender::Native(Form::Memory | Form::Disk) => time / PIECES,
                    _ => time / PIECES / SHORTER,
                };
                let piece = self.drive(*contender, at_once, time).await?;
                pieces.entry(*contender).or_default().push(piece);
            }
        }
        for (contender, pieces) in pieces {
            if let Some(figures) = self.figures.get_mut(&contender) {
                figures.steady(&pieces);
            }
        }
        Ok(())
    }

    /// Many that live at once, each of which has run the program.
    pub(super) async fn alive(&self, form: Form, count: usize) -> Result<Alive> {
        let before = available();
        let command = Command::new([super::root::PROGRAM]);
        let mut times = Vec::with_capacity(count);
        let mut sandboxes = Vec::with_capacity(count);
        for _ in 0..count {
            let began = Instant::now();
            let sandbox = self.native.create(form).await?;
            Native::succeed(&*sandbox, &command).await?;
            times.push(began.elapsed());
            sandboxes.push(sandbox);
        }
        let used = before.saturating_sub(available());
        let hundred = count.min(100);
        let last = times.split_off(count - hundred);
        let first = if times.is_empty() {
            last.clone()
        } else {
            times[..hundred.min(times.len())].to_vec()
        };
        let ended = Instant::now();
        end_all(&sandboxes).await?;
        drop(sandboxes);
        self.native.backend.close().await;
        #[expect(clippy::cast_precision_loss, reason = "memory in megabytes needs few digits")]
        let mb_each = rounded(used as f64 / 1024.0 / 1024.0 / count.max(1) as f64);
        Ok(Alive {
            count,
            mb_each,
            first_hundred_p50_ms: Times::new(first).percentile(50),
            last_hundred_p50_ms: Times::new(last).percentile(50),
            all_ended_ms: millis(ended.elapsed()),
        })
    }

    /// A snapshot, and children of it.
    pub(super) async fn fan_out(&self, form: Form, children: usize) -> Result<FanOut> {
        let shell = |line: &str| Command::new(["/bin/sh", "-c", line]);
        let parent = self.native.create(form).await?;
        Native::succeed(&*parent, &shell("echo here > /mark")).await?;
        let began = Instant::now();
        let image = parent.snapshot(None, &ImageConfig::default(), true).await?;
        let snapshot = began.elapsed();
        drop(parent);
        let family = Native { backend: self.native.backend.clone(), image };
        let began = Instant::now();
        let verified = (0..children).map(|_| async {
            let child = family.create(form).await?;
            Native::succeed(&*child, &shell("read mark < /mark; test $mark = here")).await?;
            anyhow::Ok(child)
        });
        let living = try_join_all(verified).await?;
        let took = began.elapsed();
        end_all(&living).await?;
        drop(living);
        family.backend.close().await;
        family.backend.remove(&family.image).await?;
        let bare = self.figures.get(&Contender::Rival(Rival::Spawn)).and_then(|bare| bare.p50_ms);
        Ok(FanOut {
            children,
            snapshot_ms: millis(snapshot),
            verified_ms: millis(took),
            bare_spawns: bare.map(|bare| rounded(millis(took) / bare)),
        })
    }

    /// What was found, by name, each beside the bare program.
    pub(super) fn compared(&self) -> Vec<(&'static str, Figures)> {
        let find = |rival| self.figures.get(&Contender::Rival(rival)).cloned();
        let compared = self.figures.iter().map(|(contender, figures)| {
            let bare = match contender {
                Contender::Native(Form::MemoryFiles | Form::DiskFiles)
                | Contender::Rival(Rival::SpawnFiles) => find(Rival::SpawnFiles),
                _ => find(Rival::Spawn),
            };
            let mut figures = figures.clone();
            figures.compare(&bare.unwrap_or_default());
            (contender.name(), figures)
        });
        compared.collect()
    }
}

async fn end_all(sandboxes: &[Arc<dyn Sandbox>]) -> Result<()> {
    try_join_all(sandboxes.iter().map(|sandbox| sandbox.terminate())).await?;
    Ok(())
}

fn drive_rival(arena: &Arc<Arena>, rival: Rival, at_once: usize, time: Duration) -> Result<Piece> {
    let began = Instant::now();
    let work = || {
        let mut runner = Runner::new(arena, rival)?;
        let mut count = 0;
        while began.elapsed() < time {
            runner.once()?;
            count += 1;
        }
        anyhow::Ok(count)
    };
    let count = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        let counts = threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread of ours failed"))?);
        counts.sum::<Result<u32>>()
    })?;
    Ok(Piece { count, took: began.elapsed() })
}

/// Bytes of memory that programs could still have.
fn available() -> u64 {
    let text = fs_err::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}
