//! `evalrun datasets`: the names that are known, and what is in a task list.

use super::args::DatasetsCommand;
use super::exit::{self, Failure};
use super::{Session, runtime};
use crate::dataset::{self, Dataset, Location};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;

pub(super) fn run(command: DatasetsCommand, session: &Session) -> Result<u8, Failure> {
    match command {
        DatasetsCommand::List => list(session),
        DatasetsCommand::Show(_) => show(session),
        DatasetsCommand::Validate(_) => validate(session),
        DatasetsCommand::Convert(args) => super::convert::run(&args, session),
    }
}

fn list(session: &Session) -> Result<u8, Failure> {
    let names = dataset::registry(&session.settings.registry)?;
    let place = |location: &Location| match location {
        Location::Disk(path) => path.display().to_string(),
        Location::Hub(hub) => format!("{} ({}, {})", hub.id, hub.split, hub.revision),
    };
    if session.terminal.json {
        let values: Vec<_> = names
            .iter()
            .map(|name| {
                json!({ "name": name.name, "about": name.about, "place": place(&name.location) })
            })
            .collect();
        session.terminal.print_json(&values);
        return Ok(exit::FINISHED);
    }
    let width = names.iter().map(|name| name.name.len()).max().unwrap_or(0);
    let text: String = names
        .iter()
        .map(|name| {
            format!(
                "{:width$}  {}\n{:width$}  {}\n",
                name.name,
                name.about,
                "",
                place(&name.location)
            )
        })
        .collect();
    session.terminal.print(&text);
    Ok(exit::FINISHED)
}

fn load_selected(session: &Session) -> Result<Dataset, Failure> {
    runtime()?.block_on(async {
        let (mut dataset, selection) = session.settings.load_dataset().await?;
        selection.apply(&mut dataset)?;
        Ok(dataset)
    })
}

fn show(session: &Session) -> Result<u8, Failure> {
    let dataset = load_selected(session)?;
    let terminal = &session.terminal;
    if terminal.json {
        let instances: Vec<_> = dataset
            .instances
            .iter()
            .map(|instance| {
                json!({
                    "instance_id": instance.id,
                    "repo": instance.repo,
                    "version": instance.version,
                    "base_commit": instance.base_commit,
                    "image": instance.image_name,
                    "recipe": instance.env.as_ref().map(|env| &env.origin),
                    "log_parser": instance.log_parser,
                    "fail_to_pass": instance.fail_to_pass.len(),
                    "pass_to_pass": instance.pass_to_pass.len(),
                })
            })
            .collect();
        terminal.print_json(&json!({
            "name": dataset.name,
            "split": dataset.split,
            "digest": dataset.digest,
            "instances": instances,
        }));
    } else {
        terminal.print(&text_of(&dataset));
    }
    Ok(exit::FINISHED)
}

fn text_of(dataset: &Dataset) -> String {
    let mut text = format!(
        "{} ({}): {} instances, digest {}\n\n",
        dataset.name,
        dataset.split,
        dataset.instances.len(),
        dataset.digest.short()
    );
    let mut repos: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for instance in &dataset.instances {
        let (count, built) = repos.entry(&instance.repo).or_default();
        *count += 1;
        *built += usize::from(instance.env.is_some());
    }
    let width = repos.keys().map(|repo| repo.len()).max().unwrap_or(0);
    for (repo, (count, built)) in repos {
        let _ = writeln!(text, "  {repo:width$}  {count:>5} instances, {built} with a recipe");
    }
    text.push('\n');
    for instance in &dataset.instances {
        let _ = writeln!(
            text,
            "  {}  {} {}  {} to mend, {} to keep",
            instance.id,
            instance.repo,
            instance.version,
            instance.fail_to_pass.len(),
            instance.pass_to_pass.len()
        );
    }
    text
}

fn validate(session: &Session) -> Result<u8, Failure> {
    let predictions = &session.settings.predictions;
    let (dataset, checked) = runtime()?.block_on(async {
        let (mut dataset, selection) = session.settings.load_dataset().await?;
        selection.apply(&mut dataset)?;
        let checked = match predictions.is_empty() {
            true => None,
            false => Some(dataset::load_predictions(predictions, &dataset)?.len()),
        };
        Ok::<_, Failure>((dataset, checked))
    })?;
    if session.terminal.json {
        session.terminal.print_json(&json!({
            "valid": true,
            "instances": dataset.instances.len(),
            "predictions": checked,
            "digest": dataset.digest,
        }));
        return Ok(exit::FINISHED);
    }
    let mut text = format!("{}: {} instances are sound", dataset.name, dataset.instances.len());
    if let Some(count) = checked {
        let _ = write!(text, ", and {count} predictions fit them");
    }
    session.terminal.print(&(text + "\n"));
    Ok(exit::FINISHED)
}
