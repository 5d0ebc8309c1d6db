//! What a container is made with.

use super::helper::Made;
use super::owner;
use crate::layers::{ImageConfig, ImageKey};
use crate::sandbox::{Mount, Network, SandboxOptions};
use bollard::models::{
    ContainerConfig, ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum,
    HostConfigLogConfig, ResourcesUlimits, RestartPolicy,
};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What the daemon can do for every container, and what the user wants of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    pub(super) runtime: Option<String>,
    /// Containers see a cgroup namespace of their own.
    pub(super) own_cgroup_view: bool,
    /// The storage driver limits what a container writes.
    pub(super) quota: bool,
    /// The daemon sees the files of this machine.
    pub(super) is_here: bool,
}

/// A container that runs our pid 1.
pub(super) fn body(
    image: &ImageKey,
    options: &SandboxOptions,
    helper: &Made,
    terms: &Terms,
) -> ContainerCreateBody {
    let mut labels: HashMap<String, String> =
        options.labels.iter().map(|(k, v)| (format!("evalrun.{k}"), v.clone())).collect();
    labels.extend(owner::labels());
    ContainerCreateBody {
        image: Some(super::image_name(image)),
        // All of it here, and nothing as a command: an image made of it inherits neither.
        entrypoint: Some(helper.entrypoint.clone()),
        user: Some("0".to_owned()),
        working_dir: Some("/".to_owned()),
        hostname: (options.network == Network::None).then(|| "sandbox".to_owned()),
        open_stdin: Some(true),
        stdin_once: Some(false),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        labels: Some(labels),
        host_config: Some(host_config(options, helper, terms)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(options: &SandboxOptions, helper: &Made, terms: &Terms) -> HostConfig {
    let limits = &options.limits;
    let mut binds = vec![helper.bind()];
    binds.extend(options.mounts.iter().map(bind));
    if options.network == Network::Host && terms.is_here {
        binds.extend(certificates().map(|file| format!("{0}:{CERTIFICATES}:ro", file.display())));
    }
    let whole = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let ulimit = |name: &str, most: i64| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(most),
        hard: Some(most),
    };
    let mut ulimits = vec![ulimit("core", 0)];
    ulimits.extend(limits.disk.map(|bytes| ulimit("fsize", whole(bytes))));
    let quota = limits.disk.filter(|_| terms.quota);
    HostConfig {
        memory: limits.memory.map(whole),
        // The same number as for memory: no swap.
        memory_swap: limits.memory.map(whole),
        nano_cpus: limits.cpu_millis.map(|millis| i64::from(millis) * 1_000_000),
        pids_limit: limits.pids.map(i64::from),
        ulimits: Some(ulimits),
        storage_opt: quota.map(|bytes| HashMap::from([("size".to_owned(), bytes.to_string())])),
        // What is in it counts as memory.
        shm_size: limits.memory.map(|bytes| whole(bytes / 2)),
        network_mode: Some(match options.network {
            Network::None => "none".to_owned(),
            Network::Host => "host".to_owned(),
        }),
        binds: Some(binds),
        init: Some(false),
        cgroupns_mode: terms.own_cgroup_view.then_some(HostConfigCgroupnsModeEnum::PRIVATE),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        runtime: terms.runtime.clone(),
        restart_policy: Some(RestartPolicy::default()),
        // What is said goes to us; nobody reads a log of the container itself.
        log_config: Some(HostConfigLogConfig {
            typ: Some("none".to_owned()),
            ..HostConfigLogConfig::default()
        }),
        ..HostConfig::default()
    }
}

fn bind(mount: &Mount) -> String {
    let mode = if mount.writable { "rw" } else { "ro" };
    format!("{}:{}:{mode}", mount.source.display(), mount.target)
}

/// The host's bundle of certificates, which may hold those of a company's proxy.
fn certificates() -> Option<PathBuf> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    named.into_iter().chain([PathBuf::from(CERTIFICATES)]).find(|path| path.is_file())
}

/// The variables of every command of a sandbox: what comes later stands.
pub(super) fn variables(
    image: &ImageConfig,
    options: &SandboxOptions,
    is_here: bool,
) -> BTreeMap<String, String> {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut env = BTreeMap::from([("PATH".to_owned(), path.to_owned())]);
    env.extend(image.env.clone());
    if options.network == Network::Host && is_here {
        // What a command needs to reach the network as this machine does.
        for name in
            ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"]
        {
            env.extend(std::env::var(name).ok().map(|value| (name.to_owned(), value)));
        }
        if certificates().is_some() {
            for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE"] {
                env.insert(name.to_owned(), CERTIFICATES.to_owned());
            }
        }
    }
    env.extend(options.env.clone());
    env
}

/// A configuration as the daemon takes it for an image.
pub(super) fn for_image(config: &ImageConfig) -> ContainerConfig {
    ContainerConfig {
        env: Some(config.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        working_dir: Some(config.workdir.clone()),
        user: Some(config.user.clone()),
        cmd: Some(config.cmd.clone()),
        entrypoint: Some(config.entrypoint.clone()),
        labels: Some(config.labels.clone().into_iter().collect()),
        ..ContainerConfig::default()
    }
}

/// The other way round.
pub(super) fn of_image(config: Option<bollard::models::ImageConfig>) -> ImageConfig {
    let config = config.unwrap_or_default();
    let env = config.env.unwrap_or_default();
    let env = env.iter().filter_map(|variable| variable.split_once('='));
    ImageConfig {
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        workdir: config.working_dir.unwrap_or_default(),
        user: config.user.unwrap_or_default(),
        cmd: config.cmd.unwrap_or_default(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        ..ImageConfig::default()
    }
}

/// A configuration as lines of a Dockerfile, which is how an import takes it.
pub(super) fn changes(config: &ImageConfig) -> Vec<String> {
    let json = |words: &Vec<String>| serde_json::Value::from(words.clone()).to_string();
    // A `$` would be taken for a variable.
    let quoted = |text: &str| serde_json::Value::from(text).to_string().replace('$', "\\$");
    let mut lines: Vec<String> =
        config.env.iter().map(|(name, value)| format!("ENV {name}={}", quoted(value))).collect();
    lines.extend(config.labels.iter().map(|(k, v)| format!("LABEL {}={}", quoted(k), quoted(v))));
    for (word, value) in [("WORKDIR", &config.workdir), ("USER", &config.user)] {
        lines.extend((!value.is_empty()).then(|| format!("{word} {value}")));
    }
    for (word, value) in [("ENTRYPOINT", &config.entrypoint), ("CMD", &config.cmd)] {
        lines.extend((!value.is_empty()).then(|| format!("{word} {}", json(value))));
    }
    lines
}
