//! What was made and nobody removed: by this process, or by others that died.

use super::backend::DockerBackend;
use super::daemon::failed;
use super::{helper, owner, reaper};
use crate::sandbox::SandboxError;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptionsBuilder};
use std::collections::HashMap;

/// How often what this process made is looked for at the end.
const LOOKS: usize = 20;

impl DockerBackend {
    async fn list(&self) -> Result<Vec<ContainerSummary>, SandboxError> {
        let asked = self.daemon.ask(|docker| {
            let labelled = HashMap::from([("label", vec![owner::OWNER])]);
            let options = ListContainersOptionsBuilder::new().all(true).filters(&labelled).build();
            async move { docker.list_containers(Some(options)).await }
        });
        asked.await.map_err(|error| failed("list containers", error))
    }

    /// Removes containers whose name says that they were made by us. A request to make one may be
    /// heard by a slow daemon long after we have given up on it.
    pub(super) async fn remove_own(&self) {
        for _ in 0..LOOKS {
            let Ok(containers) = self.list().await else { return };
            let names = containers.iter().filter_map(name_of);
            let own: Vec<&str> = names.filter(|name| self.names.has(name)).collect();
            if own.is_empty() {
                return;
            }
            for name in own {
                let _ = reaper::remove(&self.daemon, name).await;
            }
        }
    }

    pub(super) async fn sweep_volumes(&self) -> Result<usize, SandboxError> {
        let asked = self.daemon.ask(|docker| {
            let labelled = HashMap::from([("label", vec![owner::OWNER])]);
            let options = ListVolumesOptionsBuilder::new().filters(&labelled).build();
            async move { docker.list_volumes(Some(options)).await }
        });
        let found = asked.await.map_err(|error| failed("list volumes", error))?;
        let mut swept = 0;
        for volume in found.volumes.unwrap_or_default() {
            if owner::is_left_behind(&volume.name, Some(&volume.labels)) {
                helper::remove_volume(&self.daemon, &volume.name).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    pub(super) async fn sweep_containers(&self) -> Result<usize, SandboxError> {
        let mut swept = 0;
        for container in self.list().await? {
            if let Some(name) = name_of(&container)
                && owner::is_left_behind(name, container.labels.as_ref())
            {
                reaper::remove(&self.daemon, name).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

fn name_of(container: &ContainerSummary) -> Option<&str> {
    Some(container.names.as_ref()?.first()?.trim_start_matches('/'))
}
