//! `evalrun images pull`: images by name, or those of a task list.

use crate::cli::Session;
use crate::cli::args::PullArgs;
use crate::cli::exit::{self, Failure};
use crate::cli::settings::Settings;
use crate::cli::terminal::{Terminal, bytes};
use crate::dataset;
use crate::layers::{PullEvent, PullWatcher, Pulled, Registry, RegistryError};
use anyhow::anyhow;
use futures_util::stream::{self, StreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub(super) async fn run(args: &PullArgs, session: &Session) -> Result<u8, Failure> {
    let Session { settings, terminal } = session;
    if settings.offline {
        return Err(Failure::input(anyhow!("nothing can be pulled with --offline")));
    }
    let names = wanted(args, settings).await?;
    if args.dry_run {
        match terminal.json {
            true => terminal.print_json(&names),
            false => {
                terminal.print(&names.iter().map(|name| format!("{name}\n")).collect::<String>())
            }
        }
        return Ok(exit::FINISHED);
    }
    let store = settings.store()?;
    let _in_use = store.use_lock().map_err(Failure::broken)?;
    // What a pull that was killed had half-made.
    store.sweep().map_err(Failure::broken)?;
    let meter = Meter::new(terminal, names.len());
    let registry = settings.registries(&store, Some(meter.watcher()))?;
    let began = Instant::now();
    let pulled: Vec<(String, Result<Pulled, RegistryError>)> = stream::iter(names)
        .map(|name| pull_one(name, &registry, &meter))
        .buffer_unordered(settings.parallel())
        .collect()
        .await;
    meter.bar.finish_and_clear();
    close(&pulled, began, terminal)
}

/// The names of all images that are asked for, each once.
async fn wanted(args: &PullArgs, settings: &Settings) -> Result<BTreeSet<String>, Failure> {
    let known = dataset::registry(&settings.registry)?;
    let (mut names, mut lists) = (BTreeSet::new(), Vec::new());
    for name in &args.names {
        match Path::new(name).exists() || known.iter().any(|known| known.name == *name) {
            true => lists.push(name.clone()),
            false => drop(names.insert(name.clone())),
        }
    }
    // With images by name, a task list of the settings is not meant.
    if args.names.is_empty() || args.dataset.dataset.is_some() {
        lists.extend(settings.dataset.clone());
    }
    if names.is_empty() && lists.is_empty() {
        let failure = Failure::input(anyhow!("no image and no task list is named"));
        return Err(failure.hint("e.g. `evalrun images pull verified --predictions preds.jsonl`"));
    }
    for list in lists {
        let settings = Settings { dataset: Some(list), ..settings.clone() };
        let (mut dataset, selection) = settings.load_dataset().await?;
        selection.apply(&mut dataset)?;
        let needed = match settings.predictions.is_empty() {
            true => None,
            false => {
                let predictions = dataset::load_predictions(&settings.predictions, &dataset)?;
                let real = predictions.iter().filter(|one| !one.is_empty());
                Some(real.map(|one| one.instance_id.clone()).collect::<BTreeSet<_>>())
            }
        };
        let all = dataset.instances.into_iter();
        let all = all.filter(|one| needed.as_ref().is_none_or(|needed| needed.contains(&one.id)));
        names.extend(all.map(|instance| instance.image_name));
    }
    Ok(names)
}

async fn pull_one(
    name: String,
    registry: &Registry,
    meter: &Meter,
) -> (String, Result<Pulled, RegistryError>) {
    let result = registry.pull(&name).await;
    meter.done(&name, &result);
    (name, result)
}

fn close(
    pulled: &[(String, Result<Pulled, RegistryError>)],
    began: Instant,
    terminal: &Terminal,
) -> Result<u8, Failure> {
    let failed = pulled.iter().filter(|(_, result)| result.is_err()).count();
    let total: u64 =
        pulled.iter().filter_map(|(_, result)| result.as_ref().ok()).map(|one| one.bytes).sum();
    if terminal.json {
        let values: Vec<Value> = pulled.iter().map(|(name, result)| value(name, result)).collect();
        terminal.print_json(&values);
    }
    terminal.say(&format!(
        "{} images are there; {} downloaded in {:.1} s",
        pulled.len() - failed,
        bytes(total),
        began.elapsed().as_secs_f64()
    ));
    if failed > 0 {
        terminal.note(&format!("error: {failed} images could not be pulled"));
        return Ok(exit::INFRA_LEFT);
    }
    Ok(exit::FINISHED)
}

fn value(name: &str, result: &Result<Pulled, RegistryError>) -> Value {
    match result {
        Ok(pulled) => json!({
            "image": name,
            "key": pulled.key,
            "manifest": format!("sha256:{}", pulled.manifest),
            "layers_downloaded": pulled.layers,
            "bytes_downloaded": pulled.bytes,
        }),
        Err(error) => {
            json!({ "image": name, "error": error.to_string(), "reason": error.reason() })
        }
    }
}

/// How far the pull is: bytes on a terminal, a line an image elsewhere.
struct Meter {
    bar: ProgressBar,
    terminal: Terminal,
    images: usize,
}

impl Meter {
    fn new(terminal: &Terminal, images: usize) -> Self {
        let style = ProgressStyle::with_template(
            "{elapsed_precise} {bar:24} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {wide_msg}",
        )
        .expect("the template is well-formed");
        let bar = match terminal.moving {
            true => ProgressBar::new(0).with_style(style),
            false => ProgressBar::hidden(),
        };
        Self { bar, terminal: terminal.clone(), images }
    }

    fn watcher(&self) -> PullWatcher {
        let bar = self.bar.clone();
        Arc::new(move |event| match event {
            PullEvent::Layer { bytes, image } => {
                bar.inc_length(*bytes);
                bar.set_message(image.clone());
            }
            PullEvent::Again { bytes, .. } => bar.inc_length(*bytes),
            PullEvent::Bytes(bytes) => bar.inc(*bytes),
        })
    }

    fn done(&self, name: &str, result: &Result<Pulled, RegistryError>) {
        match result {
            Ok(pulled) if !self.terminal.json && !self.terminal.quiet => {
                let short = pulled.key.0.short();
                let (layers, size) = (pulled.layers, bytes(pulled.bytes));
                let line = format!("{short}  {layers:>2} layers {size:>10} downloaded  {name}\n");
                self.bar.suspend(|| self.terminal.print(&line));
            }
            Ok(_) => {}
            Err(error) => self.bar.suspend(|| self.terminal.note(&format!("error: {error}"))),
        }
        tracing::debug!("{name}, of {} images", self.images);
    }
}
