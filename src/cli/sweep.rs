//! `evalrun sweep`: remove what runs that died left behind.

use super::exit::{self, Failure};
use super::{Session, runtime};
use crate::image;
use serde_json::json;

pub(super) fn run(session: &Session) -> Result<u8, Failure> {
    let store = session.settings.store()?;
    let sandboxes = runtime()?.block_on(async {
        let backend = session.settings.backend(&store).await?;
        backend.sweep().await.map_err(Failure::broken)
    })?;
    let layers = store.sweep().map_err(Failure::broken)?;
    let builds = image::sweep(store.home()).map_err(Failure::broken)?;
    match session.terminal.json {
        true => session.terminal.print_json(&json!({
            "sandboxes": sandboxes,
            "layers": layers,
            "builds": builds,
        })),
        false => session.terminal.print(&format!(
            "removed {sandboxes} leftovers of sandboxes, {layers} half-made layers, \
             {builds} directories of builds\n"
        )),
    }
    Ok(exit::FINISHED)
}
