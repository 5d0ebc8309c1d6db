//! `evalrun datasets convert`: a task list of any dialect as rows of the 5.x format.

use super::args::ConvertArgs;
use super::exit::{self, Failure};
use super::{Session, runtime};
use crate::dataset;
use anyhow::anyhow;
use std::path::Path;

pub(super) fn run(args: &ConvertArgs, session: &Session) -> Result<u8, Failure> {
    let settings = &session.settings;
    let Some(spec) = &settings.dataset else {
        return Err(Failure::input(anyhow!("no task list is named"))
            .hint("name a file of rows, or a directory of tasks"));
    };
    let (rows, kept) = runtime()?.block_on(async {
        let (mut selected, selection) = settings.load_dataset().await?;
        selection.apply(&mut selected)?;
        let rows = dataset::convert(spec, &settings.load_options()?).await?;
        let kept: Vec<_> = selected.instances.into_iter().map(|instance| instance.id).collect();
        Ok::<_, Failure>((rows, kept))
    })?;
    let mut by_id: std::collections::HashMap<_, _> = rows
        .into_iter()
        .map(|row| (row["instance_id"].as_str().unwrap_or_default().to_owned(), row))
        .collect();
    let mut text = String::new();
    for id in &kept {
        if let Some(row) = by_id.remove(id.as_str()) {
            text.push_str(&serde_json::to_string(&row).map_err(Failure::broken)?);
            text.push('\n');
        }
    }
    if args.to == Path::new("-") {
        session.terminal.print(&text);
    } else {
        fs_err::write(&args.to, text).map_err(Failure::broken)?;
        session.terminal.say(&format!("{} rows: {}", kept.len(), args.to.display()));
    }
    Ok(exit::FINISHED)
}
