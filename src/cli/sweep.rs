//! `evalrun sweep`: remove what runs that died left behind.

use super::exit::{self, Failure};
use super::settings::{BackendName, Settings};
use super::{Session, runtime};
use crate::image;
use crate::layers::Store;
use crate::sandbox::Backend;
use crate::sandbox::docker::DockerBackend;
use serde_json::json;
use std::sync::Arc;

/// Every back-end whose runs may have died here. That there is no daemon is no trouble.
async fn backends(settings: &Settings, store: &Store) -> Result<Vec<Arc<dyn Backend>>, Failure> {
    let wanted = settings.backend(store).await?;
    let mut backends = vec![wanted];
    if settings.backend == BackendName::Native
        && let Ok(docker) = DockerBackend::connect(settings.docker_options()).await
    {
        backends.push(docker);
    }
    Ok(backends)
}

pub(super) fn run(session: &Session) -> Result<u8, Failure> {
    let store = session.settings.store()?;
    let sandboxes = runtime()?.block_on(async {
        let mut swept = 0;
        for backend in backends(&session.settings, &store).await? {
            swept += backend.sweep().await.map_err(Failure::broken)?;
        }
        Ok::<_, Failure>(swept)
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
