//! Requests to registries: who we are, patience, and errors that say what to do.

use super::RegistryError;
use super::keys::{Keys, Use};
use super::place::Endpoint;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, RANGE, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a request that failed for a passing reason is made without anything having come.
const ATTEMPTS: u32 = 7;
/// The longest wait that a registry may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// The longest wait of our own choice.
const OWN_WAIT: Duration = Duration::from_secs(10);

/// A client of registries.
pub(super) struct Client {
    http: reqwest::Client,
    pub(super) keys: Keys,
    /// When a registry that asked us to wait may be asked again.
    closed: Mutex<HashMap<String, Instant>>,
}

/// One thing to be had from a repository.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    pub(super) endpoint: &'a Endpoint,
    /// Below the repository.
    pub(super) path: &'a str,
    pub(super) accept: &'static str,
    /// For messages: the image and the blob.
    pub(super) what: &'a str,
}

impl Client {
    pub(super) fn new(keys: Keys) -> Result<Self, reqwest::Error> {
        // Proxies come from the environment, root certificates from the system (or SSL_CERT_FILE).
        // On a redirect to another host reqwest leaves the token out.
        let http = reqwest::Client::builder()
            .user_agent(super::USER_AGENT)
            .connect_timeout(Duration::from_secs(20))
            .read_timeout(Duration::from_secs(60))
            .build()?;
        Ok(Self { http, keys, closed: Mutex::default() })
    }

    /// A successful answer, from a byte on; waits and asks again where that may help.
    pub(super) async fn get(
        &self,
        ask: &Ask<'_>,
        from: u64,
        patience: &mut Patience,
    ) -> Result<Response, RegistryError> {
        let mut renewed = false;
        loop {
            self.wait_for(&ask.endpoint.host).await;
            let header = match self.keys.header(ask.endpoint, Use::Pull).await {
                Ok(header) => header,
                Err(error) => {
                    patience.pause(no_token(ask, &error), None).await?;
                    continue;
                }
            };
            let mut request = self.http.get(ask.endpoint.url(ask.path)).header(ACCEPT, ask.accept);
            if let Some(header) = header {
                request = request.header(AUTHORIZATION, header);
            }
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) => {
                    patience.pause(network(ask.what, &error), None).await?;
                    continue;
                }
            };
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            if status == StatusCode::UNAUTHORIZED && !renewed {
                // Tokens last for minutes, downloads for longer.
                renewed = true;
                self.keys.forget(ask.endpoint, Use::Pull);
                continue;
            }
            let wait = retry_after(response.headers());
            let error = refused(ask, response).await;
            let passing = error.may_pass() && wait.is_none_or(|wait| wait <= LONGEST_WAIT);
            if !passing {
                return Err(error);
            }
            if let (RegistryError::Limited { .. }, Some(wait)) = (&error, wait) {
                self.close(&ask.endpoint.host, wait);
            }
            patience.pause(error, wait).await?;
        }
    }

    /// A file that belongs to nobody's repository: without a token.
    pub(super) async fn get_elsewhere(
        &self,
        url: &str,
        what: &str,
        from: u64,
    ) -> Result<Response, RegistryError> {
        let mut request = self.http.get(url);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let answer = request.send().await.and_then(Response::error_for_status);
        answer.map_err(|error| network(what, &error))
    }

    /// A whole small file.
    pub(super) async fn document(
        &self,
        ask: &Ask<'_>,
        limit: u64,
        patience: &mut Patience,
    ) -> Result<(Bytes, HeaderMap), RegistryError> {
        loop {
            let response = self.get(ask, 0, patience).await?;
            let headers = response.headers().clone();
            match collect(response, ask.what, limit).await {
                Ok(bytes) => return Ok((bytes, headers)),
                Err(error) if error.may_pass() => patience.pause(error, None).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits while a registry has asked us not to come.
    async fn wait_for(&self, host: &str) {
        loop {
            let until = self.closed.lock().expect("no holder panics").get(host).copied();
            match until.and_then(|until| until.checked_duration_since(Instant::now())) {
                Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
                _ => return,
            }
        }
    }

    fn close(&self, host: &str, wait: Duration) {
        let until = Instant::now() + wait;
        let mut closed = self.closed.lock().expect("no holder panics");
        let known = closed.entry(host.to_owned()).or_insert(until);
        *known = until.max(*known);
    }
}

async fn collect(response: Response, what: &str, limit: u64) -> Result<Bytes, RegistryError> {
    let mut body = BytesMut::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| network(what, &error))?;
        body.extend_from_slice(&chunk);
        if body.len() as u64 > limit {
            let why = format!("it is larger than {limit} bytes");
            return Err(RegistryError::Senseless { what: what.to_owned(), why });
        }
    }
    Ok(body.freeze())
}

/// How often something failed in a row.
#[derive(Default)]
pub(super) struct Patience {
    failed: u32,
}

impl Patience {
    /// Waits a little longer each time, or as long as the registry asked for; gives the failure
    /// back when there were too many, or when waiting cannot help.
    pub(super) async fn pause(
        &mut self,
        failure: RegistryError,
        wait: Option<Duration>,
    ) -> Result<(), RegistryError> {
        self.failed += 1;
        if self.failed >= ATTEMPTS || !failure.may_pass() {
            return Err(failure);
        }
        let own = (Duration::from_millis(200) * 2u32.pow(self.failed - 1)).min(OWN_WAIT);
        // Many that failed together do not come back together.
        let own = own.mul_f64(rand::random_range(0.7..1.3));
        let wait = wait.unwrap_or(own);
        tracing::info!("{failure}; trying again in {:.1} s", wait.as_secs_f64());
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Something was achieved since the last failure.
    pub(super) fn progress(&mut self) {
        self.failed = 0;
    }
}

/// The connection failed.
pub(super) fn network(what: &str, error: &reqwest::Error) -> RegistryError {
    let mut why = match error.is_timeout() {
        true => "the registry does not answer in time".to_owned(),
        false => "the connection failed".to_owned(),
    };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !why.contains(&cause_text) {
            why = format!("{why}: {cause_text}");
        }
        source = cause.source();
    }
    RegistryError::Failed { what: what.to_owned(), why }
}

fn no_token(ask: &Ask<'_>, error: &oci_client::errors::OciDistributionError) -> RegistryError {
    use oci_client::errors::OciDistributionError as Oci;
    match error {
        Oci::RequestError(error) => network(ask.what, error),
        Oci::AuthenticationFailure(said) if !said.to_lowercase().contains("too many") => {
            RegistryError::Denied {
                what: ask.what.to_owned(),
                host: ask.endpoint.host.clone(),
                status: 401,
                said: short(said),
            }
        }
        other => {
            let why = format!("no token could be had: {}", short(&other.to_string()));
            RegistryError::Failed { what: ask.what.to_owned(), why }
        }
    }
}

/// What a registry says of an error.
#[derive(Deserialize)]
struct Envelope {
    errors: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

async fn refused(ask: &Ask<'_>, response: Response) -> RegistryError {
    let status = response.status();
    let what = ask.what.to_owned();
    let host = ask.endpoint.host.clone();
    let body = collect(response, ask.what, 64 << 10).await.unwrap_or_default();
    let said = match serde_json::from_slice::<Envelope>(&body) {
        Ok(Envelope { errors }) => {
            let all: Vec<_> =
                errors.iter().map(|one| format!("{} {}", one.code, one.message)).collect();
            short(&all.join("; "))
        }
        Err(_) => String::new(),
    };
    match status.as_u16() {
        404 => RegistryError::NotFound { what, said },
        status @ (401 | 403) => RegistryError::Denied { what, host, status, said },
        429 => RegistryError::Limited { what, host, said },
        status @ (408 | 416 | 500..=599) => RegistryError::Failed {
            what,
            why: format!("the registry failed (status {status}){said}"),
        },
        status => RegistryError::Senseless {
            what,
            why: format!("the registry answers with status {status}{said}"),
        },
    }
}

/// A foreign text for messages: `: text`, or nothing.
fn short(text: &str) -> String {
    let text: String = text.trim().chars().filter(|c| !c.is_control()).take(200).collect();
    if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) }
}

/// How long to wait, in seconds or until a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?;
    let left = until.timestamp().duration_since(jiff::Timestamp::now());
    Some(Duration::try_from(left).unwrap_or_default())
}
