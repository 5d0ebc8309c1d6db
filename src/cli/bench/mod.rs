//! `evalrun bench sandbox`: how fast sandboxes are here, beside the bare program and other tools.

pub(super) mod args;
mod census;
mod figures;
mod native;
mod parts;
mod rival;
mod root;
mod table;

use super::exit::{self, Failure};
use super::terminal::Terminal;
use super::{Session, runtime};
use crate::layers::{ImageConfig, ImageKey, LayerKey, Store};
use crate::model::Digest;
use crate::sandbox::native::{NativeBackend, NativeOptions, leaks};
use crate::sandbox::{Backend, Root};
use anyhow::{Result, anyhow};
use args::{BenchPart, BenchSandboxArgs};
use census::{Census, Change};
use figures::Figures;
use native::{Form, Native};
use parts::{Alive, Bench, FanOut, Rates};
use rival::Arena;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much less is done with `--quick`.
const QUICK: usize = 10;
/// How long the machine may take to be as before: the kernel clears some things away later.
const SETTLE: Duration = Duration::from_secs(5);

/// All that was found.
#[derive(Debug, Serialize)]
struct Findings {
    /// By contender.
    #[serde(flatten)]
    contenders: BTreeMap<&'static str, Figures>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rates: Rates,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    alive: BTreeMap<&'static str, Alive>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fan_out: BTreeMap<&'static str, FanOut>,
    /// Contenders that are not here, and why.
    absent: Vec<String>,
    /// What the native sandbox cannot enforce here.
    caveats: Vec<String>,
    /// What the machine holds, before and after.
    census: Vec<Change>,
    /// What is left behind of sandboxes.
    leaks: Vec<String>,
}

pub(super) fn run(args: &BenchSandboxArgs, session: &Session) -> Result<u8, Failure> {
    let runtime = runtime()?;
    let store = session.settings.store()?;
    let _in_use = store.use_lock().map_err(Failure::broken)?;
    let scratch = tempfile::tempdir_in(store.home()).map_err(Failure::broken)?;
    let before = (Census::take(store.home()), leaks(store.home()));
    // On a thread of the runtime, as what a run does is.
    let plan = Plan::new(args, session);
    let measured = measure(plan, store.clone(), scratch.path().to_owned());
    let (mut findings, image) = runtime
        .block_on(runtime.spawn(measured))
        .map_err(Failure::broken)?
        .map_err(Failure::broken)?;
    store.forget(&image).map_err(Failure::broken)?;
    let home = store.home().to_owned();
    // It holds what it made layers in.
    drop(store);
    (findings.census, findings.leaks) = settled(&before, &home);
    match session.terminal.json {
        true => session.terminal.print_json(&findings),
        false => session.terminal.print(&table::text_of(&findings)),
    }
    if findings.leaks.is_empty() {
        return Ok(exit::FINISHED);
    }
    let failure = Failure::broken(anyhow!("{} things are left behind", findings.leaks.len()));
    Err(failure.hint("evalrun sweep"))
}

/// Counts again until everything is as before, for as long as that may take.
fn settled((before, had): &(Census, Vec<String>), home: &Path) -> (Vec<Change>, Vec<String>) {
    let until = std::time::Instant::now() + SETTLE;
    loop {
        let census = Census::take(home).since(before);
        // What was left behind before us is not for us to answer for.
        let mut leaks = leaks(home);
        leaks.retain(|leak| !had.contains(leak));
        let same = leaks.is_empty() && census.iter().all(|change| change.new.is_empty());
        if same || std::time::Instant::now() > until {
            return (census, leaks);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What to do.
struct Plan {
    args: BenchSandboxArgs,
    terminal: Terminal,
    rounds: usize,
    steady: Duration,
    alive: usize,
    children: usize,
}

impl Plan {
    fn new(args: &BenchSandboxArgs, session: &Session) -> Self {
        let Session { settings, terminal } = session;
        let share = |whole: usize| if args.quick { whole.div_ceil(QUICK) } else { whole };
        let parts = if args.quick { 10.0 } else { 1.0 };
        Self {
            args: args.clone(),
            terminal: terminal.clone(),
            rounds: share(settings.bench_rounds),
            steady: Duration::from_secs_f64(f64::from(settings.bench_seconds) / parts),
            alive: share(settings.bench_alive),
            children: settings.bench_children,
        }
    }

    fn wants(&self, part: BenchPart) -> bool {
        self.args.parts.is_empty() || self.args.parts.contains(&part)
    }

    fn wants_rival(&self, name: &str) -> bool {
        self.args.against.is_empty() || self.args.against.iter().any(|wanted| wanted == name)
    }

    fn wants_form(&self, form: Form) -> bool {
        self.args.forms.is_empty() || self.args.forms.iter().any(|wanted| wanted == form.name())
    }
}

async fn measure(plan: Plan, store: Store, scratch: PathBuf) -> Result<(Findings, ImageKey)> {
    let say = |text: &str| plan.terminal.say(text);
    let rootfs = make_root(plan.args.root.as_deref(), &scratch)?;
    let backend = NativeBackend::new(store, NativeOptions::default())?;
    let key = LayerKey(Digest::of(format!("bench {}", scratch.display())));
    let image = backend.import(key, Root::Directory(rootfs), &ImageConfig::default()).await?;
    let native = Native { backend: backend.clone(), image };
    let arena = Arena::new(&scratch, |rival| plan.wants_rival(rival.name()))?;
    let absent = arena.absent.clone();
    let forms = Form::ALL.into_iter().filter(|form| plan.wants_form(*form)).collect();
    let mut bench = Bench::new(native, arena, forms);

    if plan.wants(BenchPart::Serial) {
        say("one after another");
        bench.serial(plan.rounds).await?;
    }
    let (mut alive, mut fan_out) = (BTreeMap::new(), BTreeMap::new());
    for form in [Form::Memory, Form::Disk].into_iter().filter(|form| plan.wants_form(*form)) {
        if plan.wants(BenchPart::FanOut) {
            say(&format!("children of a snapshot, {}", form.name()));
            fan_out.insert(form.name(), bench.fan_out(form, plan.children).await?);
        }
        if plan.wants(BenchPart::Alive) {
            say(&format!("many alive, {}", form.name()));
            alive.insert(form.name(), bench.alive(form, plan.alive).await?);
        }
    }
    let mut rates = Rates::new();
    if plan.wants(BenchPart::Rates) {
        say("several at once");
        rates = bench.rates(plan.steady / 60).await?;
    }
    if plan.wants(BenchPart::Steady) {
        say("a steady stretch");
        bench.steady(plan.steady).await?;
    }
    backend.close().await;
    let contenders = bench.compared().into_iter().collect();
    let caveats = backend.caveats();
    let (census, leaks) = (Vec::new(), Vec::new());
    let findings = Findings { contenders, rates, alive, fan_out, absent, caveats, census, leaks };
    Ok((findings, image))
}

/// The root for every contender: the user's, or one of a few programs of this machine.
fn make_root(given: Option<&Path>, scratch: &Path) -> Result<PathBuf> {
    let rootfs = scratch.join("rootfs");
    match given {
        Some(given) => std::os::unix::fs::symlink(std::path::absolute(given)?, &rootfs)?,
        None => root::make(&rootfs)?,
    }
    Ok(rootfs)
}
