//! `evalrun bench images`: how fast images are pulled, beside `docker pull` of the same.

use super::args::BenchImagesArgs;
use super::exit::{self, Failure};
use super::{Session, runtime};
use crate::layers::{Registry, Store, remove_tree};
use anyhow::{Context as _, anyhow};
use futures_util::future::try_join_all;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// The first image, and then the others, which share layers with it.
#[derive(Clone, Copy)]
struct Times {
    first: Duration,
    others: Duration,
}

impl Times {
    fn all(self) -> Duration {
        self.first + self.others
    }
}

pub(super) fn run(args: &BenchImagesArgs, session: &Session) -> Result<u8, Failure> {
    runtime()?.block_on(measure(args, session))
}

async fn measure(args: &BenchImagesArgs, session: &Session) -> Result<u8, Failure> {
    let mut rounds = Vec::new();
    for _ in 0..args.rounds.max(1) {
        forget(&args.images).await?;
        let store = Bench::new(session)?;
        let ours = store.ours(&args.images, session).await?;
        let dockers = dockers(&args.images).await?;
        rounds.push((ours, dockers));
        // Not earlier: file systems are slow to make files where many have been removed just now.
        store.remove()?;
        forget(&args.images).await?;
    }
    let median = |time: &dyn Fn(&(Times, Times)) -> Duration| {
        let mut times: Vec<_> = rounds.iter().map(time).map(|time| time.as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let rows = [
        ("the first", median(&|round| round.0.first), median(&|round| round.1.first)),
        ("the others", median(&|round| round.0.others), median(&|round| round.1.others)),
        ("all", median(&|round| round.0.all()), median(&|round| round.1.all())),
    ];
    let terminal = &session.terminal;
    if terminal.json {
        let values = rows.iter().map(|(what, ours, docker)| {
            json!({ "images": what, "evalrun_s": ours, "docker_s": docker, "ratio": ours / docker })
        });
        terminal.print_json(&values.collect::<Vec<_>>());
        return Ok(exit::FINISHED);
    }
    let mut text = format!("{:10}  {:>9}  {:>9}  {:>6}\n", "images", "evalrun", "docker", "ratio");
    for (what, ours, docker) in rows {
        text += &format!("{what:10}  {ours:>7.2} s  {docker:>7.2} s  {:>6.2}\n", ours / docker);
    }
    terminal.print(&text);
    Ok(exit::FINISHED)
}

/// A store that is made for a round.
struct Bench(PathBuf);

impl Bench {
    fn new(session: &Session) -> Result<Self, Failure> {
        let home = session.settings.home()?;
        fs_err::create_dir_all(&home).map_err(Failure::input)?;
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(&home);
        Ok(Self(folder.map_err(Failure::broken)?.keep()))
    }

    async fn ours(&self, images: &[String], session: &Session) -> Result<Times, Failure> {
        let store = Store::open(&self.0).map_err(Failure::broken)?;
        let registry = session.settings.registries(&store, None)?;
        pull_all(images, &registry).await
    }

    fn remove(self) -> Result<(), Failure> {
        remove_tree(&self.0).map_err(Failure::broken)
    }
}

async fn pull_all(images: &[String], registry: &Registry) -> Result<Times, Failure> {
    let (first, others) = images.split_first().expect("clap asks for one at least");
    let began = Instant::now();
    registry.pull(first).await.map_err(Failure::broken)?;
    let first = began.elapsed();
    try_join_all(others.iter().map(|name| registry.pull(name))).await.map_err(Failure::broken)?;
    Ok(Times { first, others: began.elapsed() - first })
}

/// Has the daemon pull what it does not have, all at once as we do.
async fn dockers(images: &[String]) -> Result<Times, Failure> {
    let (first, others) = images.split_first().expect("clap asks for one at least");
    let began = Instant::now();
    docker_pull(first).await?;
    let first = began.elapsed();
    try_join_all(others.iter().map(|name| docker_pull(name))).await?;
    Ok(Times { first, others: began.elapsed() - first })
}

async fn docker_pull(name: &str) -> Result<(), Failure> {
    let output = Command::new("docker").args(["pull", "-q", name]).output().await;
    let output = output.context("cannot start docker").map_err(Failure::input)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure::broken(anyhow!("docker pull {name}: {said}")))
}

/// Takes images away from the daemon. That it has none of them is well.
async fn forget(images: &[String]) -> Result<(), Failure> {
    let output = Command::new("docker").args(["rmi", "-f"]).args(images).output().await;
    output.context("cannot start docker").map_err(Failure::input).map(drop)
}
