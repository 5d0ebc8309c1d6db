//! Who we are to a registry: credentials from Docker's own `config.json` and its helpers, and the
//! tokens that registries give for them, or for nothing.

use super::place::Endpoint;
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, RegistryOperation};
use reqwest::header::HeaderValue;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// What a repository is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Use {
    Pull,
    Push,
}

impl From<Use> for RegistryOperation {
    fn from(purpose: Use) -> Self {
        match purpose {
            Use::Pull => Self::Pull,
            Use::Push => Self::Push,
        }
    }
}

/// Host, repository and what for.
type Door = (String, String, Use);

/// Credentials and tokens.
pub(super) struct Keys {
    plain: Client,
    secure: Client,
    config: Option<PathBuf>,
    credentials: Mutex<HashMap<String, RegistryAuth>>,
    tokens: Mutex<HashMap<Door, Option<HeaderValue>>>,
}

impl Keys {
    /// With the credentials of this `config.json`.
    pub(super) fn new(config: Option<PathBuf>) -> Result<Self, OciDistributionError> {
        let client = |protocol| Client::try_from(client_config(protocol));
        Ok(Self {
            plain: client(ClientProtocol::Http)?,
            secure: client(ClientProtocol::Https)?,
            config,
            credentials: Mutex::default(),
            tokens: Mutex::default(),
        })
    }

    /// The client library's client for an address, which pushes.
    pub(super) fn client(&self, endpoint: &Endpoint) -> &Client {
        if endpoint.plain { &self.plain } else { &self.secure }
    }

    /// What a request to this repository says of us; `None`: nothing.
    pub(super) async fn header(
        &self,
        endpoint: &Endpoint,
        purpose: Use,
    ) -> Result<Option<HeaderValue>, OciDistributionError> {
        let door = (endpoint.host.clone(), endpoint.repository.clone(), purpose);
        let known = self.tokens.lock().expect("no holder panics").get(&door).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let credentials = self.credentials(&endpoint.host).await;
        let client = self.client(endpoint);
        let token = client.auth(&endpoint.reference(), &credentials, purpose.into()).await?;
        let header = match (token, &credentials) {
            (Some(token), _) => secret(&format!("Bearer {token}")),
            (None, RegistryAuth::Basic(user, password)) => basic(user, password),
            (None, _) => None,
        };
        self.tokens.lock().expect("no holder panics").insert(door, header.clone());
        Ok(header)
    }

    /// A token was refused: the next request asks for another.
    pub(super) fn forget(&self, endpoint: &Endpoint, purpose: Use) {
        let door = (endpoint.host.clone(), endpoint.repository.clone(), purpose);
        self.tokens.lock().expect("no holder panics").remove(&door);
    }

    /// What Docker knows of a registry. Trouble with it is said, and is no reason not to ask as
    /// anybody: most images are for all.
    pub(super) async fn credentials(&self, host: &str) -> RegistryAuth {
        let known = self.credentials.lock().expect("no holder panics").get(host).cloned();
        if let Some(known) = known {
            return known;
        }
        let (config, server) = (self.config.clone(), server_name(host));
        let found = tokio::task::spawn_blocking(move || {
            let file = fs_err::File::open(config?).ok()?;
            match get_credential_from_reader(std::io::BufReader::new(file), &server) {
                Ok(credential) => Some(credential),
                Err(CredentialRetrievalError::NoCredentialConfigured) => None,
                // How helpers say that they have none.
                Err(CredentialRetrievalError::HelperFailure { stdout, .. })
                    if stdout.contains("credentials not found") =>
                {
                    None
                }
                Err(error) => {
                    let error = error.to_string();
                    let error = error.lines().next().unwrap_or_default();
                    tracing::warn!("credentials for {server}: {error}; asking as anybody");
                    None
                }
            }
        });
        let credentials = match found.await.ok().flatten() {
            None => RegistryAuth::Anonymous,
            Some(DockerCredential::UsernamePassword(user, password)) => {
                RegistryAuth::Basic(user, password)
            }
            // The user that stands for such a token at the registries that give them.
            Some(DockerCredential::IdentityToken(token)) => {
                RegistryAuth::Basic("00000000-0000-0000-0000-000000000000".to_owned(), token)
            }
        };
        let mut all = self.credentials.lock().expect("no holder panics");
        all.insert(host.to_owned(), credentials.clone());
        credentials
    }
}

/// How Docker's files name a registry.
fn server_name(host: &str) -> String {
    match host {
        "index.docker.io" | "docker.io" | "registry-1.docker.io" => {
            "https://index.docker.io/v1/".to_owned()
        }
        other => other.to_owned(),
    }
}

fn client_config(protocol: ClientProtocol) -> ClientConfig {
    ClientConfig {
        protocol,
        // One request a blob; the registry's answer to many small ones is slower.
        use_monolithic_push: true,
        connect_timeout: Some(Duration::from_secs(20)),
        read_timeout: Some(Duration::from_secs(120)),
        user_agent: super::USER_AGENT,
        ..ClientConfig::default()
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    // The HTTP library encodes it; only its header is wanted.
    let request = reqwest::Client::new().get("http://localhost").basic_auth(user, Some(password));
    let mut value = request.build().ok()?.headers().get(reqwest::header::AUTHORIZATION)?.clone();
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(config: &str, folder: &std::path::Path) -> Keys {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let path = folder.join("config.json");
        fs_err::write(&path, config).unwrap();
        Keys::new(Some(path)).unwrap()
    }

    #[tokio::test]
    async fn credentials_are_those_of_docker() {
        let folder = tempfile::tempdir().unwrap();
        // user:secret
        let keys = keys(
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dXNlcjpzZWNyZXQ="},
                "registry.example:5000":{"auth":"dXNlcjpvdGhlcg=="}}}"#,
            folder.path(),
        );
        let basic = |password: &str| RegistryAuth::Basic("user".into(), password.into());
        assert_eq!(keys.credentials("index.docker.io").await, basic("secret"));
        assert_eq!(keys.credentials("registry.example:5000").await, basic("other"));
        assert_eq!(keys.credentials("ghcr.io").await, RegistryAuth::Anonymous);
        let header = super::basic("user", "secret").unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic dXNlcjpzZWNyZXQ=");
    }

    #[tokio::test]
    async fn a_helper_that_is_missing_is_no_reason_not_to_ask() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(r#"{"credsStore":"evalrun-none-such"}"#, folder.path());
        assert_eq!(keys.credentials("ghcr.io").await, RegistryAuth::Anonymous);
        let missing = Keys::new(Some(folder.path().join("none.json"))).unwrap();
        assert_eq!(missing.credentials("ghcr.io").await, RegistryAuth::Anonymous);
    }
}
