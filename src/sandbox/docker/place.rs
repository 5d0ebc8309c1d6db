//! Where the daemon is: an address, a context of Docker's, or one of the usual sockets; and the way
//! there.

use super::daemon::Deadlines;
use crate::model::Digest;
use crate::sandbox::SandboxError;
use bollard::{API_DEFAULT_VERSION, Docker};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::net::{UnixListener, UnixStream};

/// What the environment says of Docker; a value of its own so that it can be tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerPlace {
    /// `DOCKER_HOST`.
    pub host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub context: Option<String>,
    /// Whether `DOCKER_TLS_VERIFY` asks for TLS.
    pub tls: bool,
    /// `DOCKER_CERT_PATH`: `ca.pem`, `cert.pem` and `key.pem`; else they are in `config`.
    pub certificates: Option<PathBuf>,
    /// `DOCKER_CONFIG`, else `~/.docker`.
    pub config: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`, where daemons of ordinary users listen.
    pub runtime: Option<PathBuf>,
}

impl DockerPlace {
    /// What this process' environment says.
    #[must_use]
    pub fn of_environment() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name: &str| text(name).map(PathBuf::from);
        Self {
            host: text("DOCKER_HOST"),
            context: text("DOCKER_CONTEXT"),
            tls: text("DOCKER_TLS_VERIFY").is_some(),
            certificates: path("DOCKER_CERT_PATH"),
            config: path("DOCKER_CONFIG").or_else(|| path("HOME").map(|home| home.join(".docker"))),
            runtime: path("XDG_RUNTIME_DIR"),
        }
    }

    /// The address, from the first of: host, context, the context that is in use, usual sockets.
    pub(super) fn find(&self) -> Result<Address, SandboxError> {
        if let Some(host) = &self.host {
            let folder = self.certificates.as_ref().or(self.config.as_ref());
            let tls = folder.filter(|_| self.tls).map(|folder| Tls::below(folder));
            return Ok(Address { host: host.clone(), tls });
        }
        let in_use = || self.in_use();
        match self.context.clone().or_else(in_use).filter(|name| name != "default") {
            Some(name) => self.context(&name),
            None => Ok(Address { host: self.usual(), tls: None }),
        }
    }

    fn in_use(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Config {
            #[serde(rename = "currentContext")]
            current: Option<String>,
        }
        let text = fs_err::read(self.config.as_ref()?.join("config.json")).ok()?;
        serde_json::from_slice::<Config>(&text).ok()?.current.filter(|name| !name.is_empty())
    }

    /// A context, as `docker context create` writes it.
    fn context(&self, name: &str) -> Result<Address, SandboxError> {
        let wrong = |why: String| SandboxError::Unsupported { what: "the docker context", why };
        let folder = self.config.as_ref().map(|config| config.join("contexts"));
        let folder = folder.ok_or_else(|| wrong("there is no folder of contexts".to_owned()))?;
        let digest = Digest::of(name).to_string();
        let file = folder.join("meta").join(&digest).join("meta.json");
        let text = fs_err::read(&file).map_err(|error| wrong(format!("`{name}`: {error}")))?;
        let meta: Context = serde_json::from_slice(&text)
            .map_err(|error| wrong(format!("`{name}`, {}: {error}", file.display())))?;
        let docker = meta.endpoints.docker;
        if docker.skips_check {
            return Err(wrong(format!("`{name}` does not check certificates; that is not done")));
        }
        let tls = folder.join("tls").join(digest).join("docker");
        let tls = tls.join("ca.pem").is_file().then(|| Tls::below(&tls));
        Ok(Address { host: docker.host, tls })
    }

    /// The first socket that is there: Docker's, that of an ordinary user's Docker, podman's.
    fn usual(&self) -> String {
        let mut sockets = vec![PathBuf::from("/var/run/docker.sock")];
        sockets.extend(self.runtime.iter().map(|folder| folder.join("docker.sock")));
        sockets.push("/run/podman/podman.sock".into());
        sockets.extend(self.runtime.iter().map(|folder| folder.join("podman/podman.sock")));
        let found = sockets.iter().find(|socket| socket.exists()).unwrap_or(&sockets[0]);
        format!("unix://{}", found.display())
    }
}

#[derive(Deserialize)]
struct Context {
    #[serde(rename = "Endpoints")]
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Endpoint,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "Host")]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    skips_check: bool,
}

/// Files that prove who is who.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tls {
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Tls {
    fn below(folder: &Path) -> Self {
        let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| folder.join(name));
        Self { ca, cert, key }
    }
}

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) tls: Option<Tls>,
}

/// A connection, and what must live as long.
pub(super) struct Way {
    pub(super) docker: Docker,
    /// The daemon sees this machine's files.
    pub(super) is_here: bool,
    pub(super) tunnel: Option<Tunnel>,
}

impl Address {
    /// The way there. Nothing is asked of the daemon yet.
    pub(super) fn way(&self, deadlines: &Deadlines) -> Result<Way, SandboxError> {
        let wrong = |error: bollard::errors::Error| SandboxError::Unsupported {
            what: "the docker back-end",
            why: format!("{} cannot be used: {error}", self.host),
        };
        let seconds = deadlines.request.as_secs().max(1);
        let version = API_DEFAULT_VERSION;
        let (scheme, rest) = self.host.split_once("://").unwrap_or(("unix", &self.host));
        let docker = match (scheme, &self.tls) {
            ("unix", _) => {
                let docker = Docker::connect_with_unix(rest, seconds, version).map_err(wrong)?;
                return Ok(Way { docker, is_here: true, tunnel: None });
            }
            ("ssh", _) => {
                let tunnel = Tunnel::start(rest).map_err(SandboxError::step("open a tunnel"))?;
                let socket = tunnel.socket.display().to_string();
                let docker = Docker::connect_with_unix(&socket, seconds, version);
                let docker = docker.map_err(wrong)?;
                return Ok(Way { docker, is_here: false, tunnel: Some(tunnel) });
            }
            ("tcp" | "https", Some(tls)) => {
                Docker::connect_with_ssl(&self.host, &tls.key, &tls.cert, &tls.ca, seconds, version)
            }
            ("tcp" | "http", None) => Docker::connect_with_http(&self.host, seconds, version),
            _ => {
                return Err(SandboxError::Unsupported {
                    what: "the docker back-end",
                    why: format!("`{}` is no address of a daemon (unix, tcp, ssh)", self.host),
                });
            }
        };
        Ok(Way { docker: docker.map_err(wrong)?, is_here: false, tunnel: None })
    }
}

/// A socket of our own whose connections are carried by `ssh` to a daemon elsewhere, as Docker's own
/// command does it.
pub(super) struct Tunnel {
    socket: PathBuf,
    _folder: tempfile::TempDir,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Tunnel {
    /// `rest` is `[user@]host[:port]`.
    fn start(rest: &str) -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("evalrun-ssh-").tempdir()?;
        let socket = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&socket)?;
        let words = ssh_words(rest);
        let accepting = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(carry(connection, words.clone()));
            }
        });
        Ok(Self { socket, _folder: folder, accepting })
    }
}

fn ssh_words(rest: &str) -> Vec<String> {
    let rest = rest.trim_end_matches('/');
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, rest),
    };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => (host, Some(port)),
        _ => (place, None),
    };
    let mut words = vec!["-o".to_owned(), "BatchMode=yes".to_owned(), "-T".to_owned()];
    for (flag, value) in [("-l", user), ("-p", port)] {
        words.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value.to_owned()]));
    }
    words.extend(["--", host, "docker", "system", "dial-stdio"].map(str::to_owned));
    words
}

/// Carries one connection; when `ssh` ends, it does.
async fn carry(mut connection: UnixStream, words: Vec<String>) {
    let started = tokio::process::Command::new("ssh")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut ssh = match started {
        Ok(ssh) => ssh,
        Err(error) => return tracing::warn!("cannot start ssh: {error}"),
    };
    let (Some(stdin), Some(stdout)) = (ssh.stdin.take(), ssh.stdout.take()) else { return };
    let mut there = tokio::io::join(stdout, stdin);
    // Whichever side breaks, the other learns it by the end of its stream.
    let _ = tokio::io::copy_bidirectional(&mut connection, &mut there).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_goes_before_a_context_and_that_before_the_usual_places() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().to_owned();
        let write = |path: &str, text: &str| {
            let path = config.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        let digest = Digest::of("far").to_string();
        let meta = r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://far:2376","SkipTLSVerify":false}}}"#;
        write(&format!("contexts/meta/{digest}/meta.json"), meta);
        let mut place = DockerPlace {
            config: Some(config.clone()),
            runtime: Some(config.clone()),
            ..DockerPlace::default()
        };
        let plain = |host: &str| Address { host: host.to_owned(), tls: None };
        place.context = Some("far".to_owned());
        assert_eq!(place.find().unwrap(), plain("tcp://far:2376"));
        write(&format!("contexts/tls/{digest}/docker/ca.pem"), "");
        let tls = Tls::below(&config.join("contexts/tls").join(&digest).join("docker"));
        let far = Address { host: "tcp://far:2376".to_owned(), tls: Some(tls) };
        assert_eq!(place.find().unwrap(), far);
        place.context = None;
        write("config.json", r#"{"currentContext":"far","auths":{}}"#);
        assert_eq!(place.find().unwrap(), far);
        place.host = Some("ssh://me@there:22".to_owned());
        assert_eq!(place.find().unwrap(), plain("ssh://me@there:22"));
        place = DockerPlace { context: Some("nowhere".to_owned()), ..place };
        place.host = None;
        assert!(place.find().unwrap_err().to_string().contains("nowhere"));
        place.host = Some("tcp://near:2376".to_owned());
        place.tls = true;
        assert_eq!(place.find().unwrap().tls, Some(Tls::below(&config)));
    }

    #[test]
    fn what_ssh_is_told() {
        let words = ssh_words("me@there:2222").join(" ");
        assert!(words.ends_with("-l me -p 2222 -- there docker system dial-stdio"), "{words}");
        assert!(ssh_words("there").join(" ").ends_with("-T -- there docker system dial-stdio"));
    }

    #[test]
    fn no_address_is_told_as_such() {
        let address = Address { host: "gopher://x".to_owned(), tls: None };
        assert!(address.way(&Deadlines::default()).is_err());
    }
}
