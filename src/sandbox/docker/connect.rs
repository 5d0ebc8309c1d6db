//! The beginning: a daemon is found, and asked what it can do.

use super::backend::{DockerBackend, DockerOptions};
use super::container::Terms;
use super::daemon::{Daemon, failed, may_pass};
use super::helper::Helper;
use super::owner::Names;
use super::place::Way;
use super::reaper::Reaper;
use super::warm::Warm;
use crate::sandbox::SandboxError;
use bollard::Docker;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// A daemon that is asked for the first time has this long to answer, three times.
const FIRST: Duration = Duration::from_secs(10);
impl DockerBackend {
    /// Connects to the daemon and asks what it can do.
    ///
    /// # Errors
    /// No daemon answers, or it is none for this program.
    pub async fn connect(options: DockerOptions) -> Result<Arc<Self>, SandboxError> {
        let address = options.place.find()?;
        let Way { docker, is_here, tunnel } = address.way(&options.deadlines)?;
        let docker = greet(docker, &address.host).await?;
        let daemon = Arc::new(Daemon::new(docker, options.deadlines));
        let info = daemon.ask(|docker| async move { docker.info().await }).await;
        let info = info.map_err(|error| failed("ask what the daemon can do", error))?;
        let theirs = info.architecture.clone().unwrap_or_default();
        if !is_same_architecture(&theirs) {
            return Err(SandboxError::Unsupported {
                what: "the docker back-end",
                why: format!(
                    "the daemon's machine is {theirs}, this program is for {}",
                    std::env::consts::ARCH
                ),
            });
        }
        let driver = info.driver.clone().unwrap_or_default();
        let terms = Terms {
            runtime: options.runtime,
            own_cgroup_view: info.operating_system.is_some(),
            quota: false,
            is_here,
        };
        let quota = may_have_quota(&driver, info.driver_status.as_deref().unwrap_or_default());
        let caveats = caveats(&info, &terms);
        let names = Names::new();
        let reaper = Reaper::start(&daemon);
        let backend = Arc::new(Self {
            daemon,
            reaper,
            helper: Helper::new(options.helper, names.clone()),
            names,
            terms,
            quota: AtomicBool::new(quota),
            host_image: options.host_image,
            warm: Warm::default(),
            configs: Mutex::default(),
            caveats,
            this: OnceLock::new(),
            _tunnel: tunnel,
        });
        let _ = backend.this.set(Arc::downgrade(&backend));
        Ok(backend)
    }
}

/// The first question: an answer must come soon, or nobody is there.
async fn greet(docker: Docker, host: &str) -> Result<Docker, SandboxError> {
    let mut problem = None;
    for _ in 0..3 {
        match tokio::time::timeout(FIRST, docker.clone().negotiate_version()).await {
            Ok(Ok(docker)) => return Ok(docker),
            Ok(Err(error)) => {
                let is_there = !matches!(error, bollard::errors::Error::SocketNotFoundError(_));
                let passes = is_there && may_pass(&error);
                problem = Some(error.to_string());
                if !passes {
                    break;
                }
            }
            Err(_) => problem = Some("it is silent".to_owned()),
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Err(SandboxError::Unsupported {
        what: "the docker back-end",
        why: format!(
            "no daemon answers at {host} ({}); start one, or set DOCKER_HOST",
            problem.unwrap_or_default()
        ),
    })
}

fn is_same_architecture(theirs: &str) -> bool {
    let plain = |name: &str| match name {
        "amd64" => "x86_64".to_owned(),
        "arm64" => "aarch64".to_owned(),
        other => other.to_owned(),
    };
    theirs.is_empty() || plain(theirs) == plain(std::env::consts::ARCH)
}

/// Whether the storage driver may take a limit for each container. Of xfs it is not told whether it
/// was mounted with `pquota`: that is tried.
fn may_have_quota(driver: &str, about: &[Vec<String>]) -> bool {
    let on_xfs = || {
        about
            .iter()
            .any(|pair| matches!(&pair[..], [a, b] if a == "Backing Filesystem" && b == "xfs"))
    };
    matches!(driver, "btrfs" | "zfs" | "devicemapper") || (driver == "overlay2" && on_xfs())
}

fn caveats(info: &bollard::models::SystemInfo, terms: &Terms) -> Vec<String> {
    let mut caveats = Vec::new();
    let lacks = |has: Option<bool>, what: &str| {
        (has == Some(false)).then(|| format!("docker: the daemon does not limit {what}"))
    };
    caveats.extend(lacks(info.memory_limit, "memory"));
    caveats.extend(lacks(info.swap_limit, "swap"));
    caveats.extend(lacks(info.pids_limit, "processes"));
    caveats.extend(lacks(info.cpu_cfs_quota, "CPU"));
    if !terms.is_here {
        let what = "docker: the daemon is elsewhere: caches of builds are not shown to it";
        caveats.push(what.to_owned());
    }
    caveats
}
