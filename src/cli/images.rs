//! `evalrun images`: build what a task list needs, show and keep in order what the store holds.

mod listing;
mod upkeep;

mod archives;
mod pull;

use super::args::{BuildArgs, ImagesCommand};
use super::exit::{self, Failure};
use super::terminal::Terminal;
use super::{Session, budget, dockerfile, runtime};
use crate::dataset::Dataset;
use crate::image::Images;
use crate::layers::{ImageEntry, ImageKey, Store};
use crate::model::Instance;
use anyhow::anyhow;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;

pub(super) fn run(command: ImagesCommand, session: &Session) -> Result<u8, Failure> {
    match command {
        ImagesCommand::Build(args) if dockerfile::is_wanted(&args) => {
            runtime()?.block_on(dockerfile::build(&args, session))
        }
        ImagesCommand::Build(args) => runtime()?.block_on(build(&args, session)),
        ImagesCommand::Pull(args) => runtime()?.block_on(pull::run(&args, session)),
        ImagesCommand::Import(args) => runtime()?.block_on(archives::import(&args, session)),
        ImagesCommand::Export(args) => runtime()?.block_on(archives::export(&args, session)),
        ImagesCommand::List => listing::list(session),
        ImagesCommand::Show { name } => listing::show(&name, session),
        ImagesCommand::Tree => listing::tree(session),
        ImagesCommand::Du => listing::du(session),
        ImagesCommand::Prune(args) => upkeep::prune(&args, session),
        ImagesCommand::Rm(args) => upkeep::remove(&args, session),
        ImagesCommand::Verify { quick } => upkeep::verify(quick, session),
    }
}

async fn build(args: &BuildArgs, session: &Session) -> Result<u8, Failure> {
    let Session { settings, terminal } = session;
    let (mut dataset, selection) = settings.load_dataset().await?;
    selection.apply(&mut dataset)?;
    let store = settings.store()?;
    let _in_use = store.prune_lock().map_err(Failure::broken)?;
    let logs = store.home().join("logs");
    let backend = settings.backend(&store).await?;
    let options = settings.image_options(&store, &logs)?;
    let images = Images::new(backend.clone(), store.clone(), options);
    if args.dry_run {
        return show_plans(&dataset, &images, terminal);
    }
    images.expect(&dataset.instances);
    budget::set(settings.disk_budget.0, &store, (&images, &dataset.instances), terminal)?;
    let built: Vec<(Value, bool)> = stream::iter(&dataset.instances)
        .map(|instance| build_one(instance, &images, terminal))
        .buffer_unordered(settings.parallel())
        .collect()
        .await;
    backend.close().await;
    let failed = built.iter().filter(|(_, fine)| !fine).count();
    if terminal.json {
        terminal.print_json(&built.into_iter().map(|(value, _)| value).collect::<Vec<_>>());
    }
    terminal.say(&format!("{} images are there", dataset.instances.len() - failed));
    if failed > 0 {
        terminal.note(&format!("error: {failed} images could not be built"));
        return Ok(exit::INFRA_LEFT);
    }
    Ok(exit::FINISHED)
}

/// Makes sure of one image, says so, and returns it for programs and whether it is there.
async fn build_one(instance: &Instance, images: &Images, terminal: &Terminal) -> (Value, bool) {
    match images.ensure(instance).await {
        Ok(image) => {
            if !terminal.json && !terminal.quiet {
                let short = image.key.0.short();
                terminal.print(&format!("{short}  {} built  {}\n", image.built, image.name));
            }
            let value = json!({
                "instance_id": instance.id,
                "image": image.name,
                "digest": image.digest,
                "layers_built": image.built,
            });
            (value, true)
        }
        Err(error) => {
            terminal.note(Failure::broken(error.clone()).text().trim_end());
            let value = json!({ "instance_id": instance.id, "error": error.to_string() });
            (value, false)
        }
    }
}

fn show_plans(dataset: &Dataset, images: &Images, terminal: &Terminal) -> Result<u8, Failure> {
    let (mut plans, mut text) = (Vec::new(), String::new());
    let mut missing = BTreeSet::new();
    for instance in &dataset.instances {
        if let Some(outline) = images.outline(instance).map_err(Failure::broken)? {
            let (file, bases) = (outline.file.display().to_string(), outline.bases);
            let _ = writeln!(text, "{}  {}", instance.id, instance.image_name);
            let from = if bases.is_empty() { "nothing".to_owned() } else { bases.join(", ") };
            let count = outline.instructions;
            let _ = writeln!(text, "    {count} instructions on {from}  {file}");
            plans.push(json!({
                "instance_id": instance.id,
                "image": instance.image_name,
                "dockerfile": file,
                "bases": bases,
                "instructions": count,
            }));
            continue;
        }
        let plan = images.plan(instance).map_err(Failure::broken)?;
        let _ = writeln!(text, "{}  {}", instance.id, plan.image_name);
        for layer in &plan.layers {
            let state = if layer.present { "there" } else { "to build" };
            let _ = writeln!(text, "    {}  {state:8}  {}", layer.key.0.short(), layer.name);
            if !layer.present {
                missing.insert(layer.key);
            }
        }
        let layers: Vec<Value> = plan
            .layers
            .iter()
            .map(|layer| {
                json!({
                    "kind": layer.kind,
                    "name": layer.name,
                    "key": layer.key,
                    "present": layer.present,
                })
            })
            .collect();
        plans.push(json!({
            "instance_id": instance.id,
            "image": plan.image_name,
            "recipe": plan.origin,
            "layers": layers,
        }));
    }
    match terminal.json {
        true => terminal.print_json(&plans),
        false => terminal.print(&text),
    }
    terminal.say(&format!("{} layers to build", missing.len()));
    Ok(exit::FINISHED)
}

/// The names of an image, for people.
fn names_of(entry: &ImageEntry) -> String {
    let names: Vec<&str> = entry.names.iter().map(|(name, _)| name.as_str()).collect();
    if names.is_empty() { "(no name)".to_owned() } else { names.join(", ") }
}

/// The image of this name, key, or unambiguous beginning of a key.
fn find(store: &Store, name: &str) -> Result<ImageKey, Failure> {
    if let Some((key, _)) = store.resolve(name) {
        return Ok(key);
    }
    let images = store.images().map_err(Failure::broken)?;
    let mut fitting = images.iter().filter(|entry| entry.image.key.to_string().starts_with(name));
    match (fitting.next(), fitting.next()) {
        (Some(entry), None) if name.len() >= 4 => Ok(entry.image.key),
        _ => {
            let failure = Failure::input(anyhow!("no image is named `{name}`"));
            Err(failure.hint("`evalrun images list` shows the names"))
        }
    }
}
