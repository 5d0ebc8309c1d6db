//! Requests to the hub: credentials, proxies, certificates, patience, and errors that say what to
//! do.

use crate::dataset::DatasetError;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RANGE, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// How often a request that failed for a passing reason is made.
pub(super) const ATTEMPTS: u32 = 5;
/// The longest wait that the hub may ask for.
const PATIENCE: Duration = Duration::from_secs(300);

/// A connection to a hub.
pub(super) struct Client {
    http: reqwest::Client,
    endpoint: String,
    with_token: bool,
}

impl Client {
    /// For a hub at this address.
    pub(super) fn new(endpoint: &str, token: Option<&str>) -> Result<Self, DatasetError> {
        // Another part of the process may have chosen a provider already: that one will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if !(endpoint.starts_with("https://") || endpoint.starts_with("http://")) {
            return Err(DatasetError::Hub {
                what: format!("`{endpoint}` is no address of a hub"),
                hint: "HF_ENDPOINT is of the form `https://huggingface.co`".to_owned(),
            });
        }
        let mut headers = HeaderMap::new();
        let token = token.map(str::trim).filter(|token| !token.is_empty());
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
                DatasetError::Hub {
                    what: "the token for the hub holds characters that no token has".to_owned(),
                    hint: "set HF_TOKEN to the token alone".to_owned(),
                }
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        // Proxies come from the environment, root certificates from the system (or SSL_CERT_FILE).
        // On a redirect to another host reqwest leaves the token out.
        let http = reqwest::Client::builder()
            .user_agent(concat!("evalrun/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(Duration::from_secs(20))
            .read_timeout(Duration::from_secs(60))
            .build()
            .map_err(|error| DatasetError::Hub {
                what: format!("no connection to {endpoint} can be set up: {}", causes(&error)),
                hint: "install the package `ca-certificates`, or name a file of root certificates in SSL_CERT_FILE".to_owned(),
            })?;
        Ok(Self { http, endpoint, with_token: token.is_some() })
    }

    /// The JSON at a path of the hub.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        path: &str,
        id: &str,
    ) -> Result<T, DatasetError> {
        let mut retries = Retries::default();
        loop {
            let response = self.get(path, id, 0, &mut retries).await?;
            match response.bytes().await {
                Ok(body) => {
                    return serde_json::from_slice(&body).map_err(|error| {
                        self.odd(path, &format!("the answer is not what a hub says: {error}"))
                    });
                }
                Err(error) => retries.pause(self.network(path, error)).await?,
            }
        }
    }

    /// A successful answer for a path of the hub, from a byte on; waits and asks again where that
    /// may help. An answer of 416 counts as one.
    pub(super) async fn get(
        &self,
        path: &str,
        id: &str,
        from: u64,
        retries: &mut Retries,
    ) -> Result<Response, DatasetError> {
        loop {
            let mut request = self.http.get(format!("{}{path}", self.endpoint));
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) => {
                    retries.pause(self.network(path, error)).await?;
                    continue;
                }
            };
            let status = response.status();
            if status.is_success() || (status == StatusCode::RANGE_NOT_SATISFIABLE && from > 0) {
                return Ok(response);
            }
            let wait = retry_after(response.headers());
            let failure = self.refused(path, id, &response);
            let passing = status == StatusCode::TOO_MANY_REQUESTS
                || status == StatusCode::REQUEST_TIMEOUT
                || status.is_server_error();
            if !passing || wait.is_some_and(|wait| wait > PATIENCE) {
                return Err(failure);
            }
            retries.pause_for(failure, wait).await?;
        }
    }

    /// An answer that makes no sense.
    pub(super) fn odd(&self, path: &str, what: &str) -> DatasetError {
        DatasetError::Hub {
            what: format!("{}{path}: {what}", self.endpoint),
            hint: "check HF_ENDPOINT: a proxy or another server may be answering".to_owned(),
        }
    }

    /// The connection failed.
    pub(super) fn network(&self, path: &str, error: reqwest::Error) -> DatasetError {
        let what = match error.is_timeout() {
            true => "the hub does not answer in time",
            false => "the connection failed",
        };
        let causes = causes(&error.without_url());
        let hint = match causes.contains("certificate") {
            true => {
                "if a proxy or a hub of your own signs with its own authority, name its \
                     certificate in SSL_CERT_FILE"
            }
            false => {
                "check the network, HTTPS_PROXY and HF_ENDPOINT, or download the rows \
                      elsewhere and name the file"
            }
        };
        DatasetError::Hub {
            what: format!("{}{path}: {what}: {causes}", self.endpoint),
            hint: hint.to_owned(),
        }
    }

    fn refused(&self, path: &str, id: &str, response: &Response) -> DatasetError {
        let status = response.status();
        let said = response.headers().get("x-error-message").and_then(|text| text.to_str().ok());
        let code = response.headers().get("x-error-code").and_then(|text| text.to_str().ok());
        let (what, hint) = match (status.as_u16(), code) {
            (401, _) if !self.with_token => (
                "the hub wants to know who asks".to_owned(),
                format!(
                    "set HF_TOKEN to a token of {}/settings/tokens; the hub says so, too, of names that do not exist: check `{id}`",
                    self.endpoint
                ),
            ),
            (401, _) => (
                "the hub does not accept the token".to_owned(),
                format!(
                    "make a new one at {}/settings/tokens and set HF_TOKEN to it",
                    self.endpoint
                ),
            ),
            (403, _) => (
                "the hub gives this data set to some only".to_owned(),
                format!(
                    "ask for access at {}/datasets/{id}, and set HF_TOKEN to a token of that account",
                    self.endpoint
                ),
            ),
            (404, Some("RevisionNotFound")) => (
                format!("{id} has no such revision"),
                "check --revision, or `revision` in the registry".to_owned(),
            ),
            (404, _) => (
                "the hub knows no such data set, revision or file".to_owned(),
                format!(
                    "check the name `{id}` and the revision; of private ones the hub says so, too: set HF_TOKEN"
                ),
            ),
            (429, _) => (
                match retry_after(response.headers()) {
                    Some(wait) => format!("the hub asks us to wait {} s", wait.as_secs()),
                    None => "the hub has had too many requests".to_owned(),
                },
                "try again later; with HF_TOKEN the hub allows more".to_owned(),
            ),
            _ => ("the hub failed".to_owned(), "try again later".to_owned()),
        };
        let said = said.map(|said| format!(" ({said})")).unwrap_or_default();
        DatasetError::Hub {
            what: format!("{}{path}: {what} (status {}){said}", self.endpoint, status.as_u16()),
            hint,
        }
    }
}

/// How often something failed in a row.
#[derive(Default)]
pub(super) struct Retries {
    failed: u32,
}

impl Retries {
    /// Waits a little longer each time; gives the failure back when there were too many.
    pub(super) async fn pause(&mut self, failure: DatasetError) -> Result<(), DatasetError> {
        self.pause_for(failure, None).await
    }

    /// Waits as long as the hub asked for.
    async fn pause_for(
        &mut self,
        failure: DatasetError,
        wait: Option<Duration>,
    ) -> Result<(), DatasetError> {
        self.failed += 1;
        if self.failed >= ATTEMPTS {
            return Err(failure);
        }
        let own = Duration::from_millis(250) * 2u32.pow(self.failed - 1);
        let wait = wait.unwrap_or(own);
        if let DatasetError::Hub { what, .. } = &failure {
            tracing::warn!("{what}; asking again in {:.1} s", wait.as_secs_f64());
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Something was achieved since the last failure.
    pub(super) fn progress(&mut self) {
        self.failed = 0;
    }
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

/// An error and what caused it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let after = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            retry_after(&headers)
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert!(after("Fri, 21 Oct 2089 07:28:00 GMT").unwrap() > PATIENCE);
        assert_eq!(after("soon"), None);
    }
}
