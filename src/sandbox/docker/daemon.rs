//! Asking a daemon: not too much at once, with deadlines of our own, and again where the connection
//! was at fault.

use crate::sandbox::SandboxError;
use bollard::Docker;
use bollard::errors::Error;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Requests to the daemon that are under way at once. More only make each of them slower.
const REQUESTS: usize = 12;
/// Before a request is repeated: so long at first, twice as long each time, and so long at last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// A request that is answered at once by a daemon in good health: what takes longer is asked
    /// again.
    pub request: Duration,
    /// A request whose answer is work: an image is taken in, a container becomes one.
    pub work: Duration,
    /// A daemon that was there and does not answer any more is waited for this long.
    pub absence: Duration,
    /// A connection that is silent for so long is looked after.
    pub silence: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(60),
            work: Duration::from_secs(3600),
            absence: Duration::from_secs(180),
            silence: Duration::from_secs(20),
        }
    }
}

/// A daemon.
pub(super) struct Daemon {
    docker: Docker,
    requests: Semaphore,
    pub(super) deadlines: Deadlines,
}

impl Daemon {
    pub(super) fn new(docker: Docker, deadlines: Deadlines) -> Self {
        Self { docker, requests: Semaphore::new(REQUESTS), deadlines }
    }

    /// Waits for a turn to ask the daemon something.
    pub(super) async fn turn(&self) -> SemaphorePermit<'_> {
        self.requests.acquire().await.expect("the semaphore is never closed")
    }

    /// For answers that are streams: they have no deadline but their own.
    pub(super) fn streaming(&self) -> Docker {
        self.docker.clone().with_timeout(self.deadlines.work)
    }

    /// Asks until there is an answer, at most as long as an absence may be. Whoever asks must be
    /// content if it was heard twice.
    pub(super) async fn ask<T, F>(&self, ask: impl Fn(Docker) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.ask_within(self.deadlines.request, ask).await
    }

    /// The same for what takes longer.
    pub(super) async fn ask_for_work<T, F>(&self, ask: impl Fn(Docker) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.ask_within(self.deadlines.work, ask).await
    }

    async fn ask_within<T, F>(
        &self,
        deadline: Duration,
        ask: impl Fn(Docker) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut failing_since = None;
        let mut pause = PAUSES.0;
        loop {
            let answer = {
                let _turn = self.turn().await;
                let docker = self.docker.clone().with_timeout(deadline);
                let answer = tokio::time::timeout(deadline, ask(docker)).await;
                answer.unwrap_or(Err(Error::RequestTimeoutError))
            };
            let error = match answer {
                Err(error) if may_pass(&error) => error,
                other => return other,
            };
            let since = *failing_since.get_or_insert_with(Instant::now);
            if since.elapsed() > self.deadlines.absence {
                return Err(error);
            }
            tracing::debug!("the daemon does not answer, asking again: {error}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

/// What a daemon says that is on its way down or up, or whose helpers are.
const PASSING: [&str; 9] = [
    "shutting down",
    "connection refused",
    "connection reset",
    "transport is closing",
    "unavailable",
    "deadline exceeded",
    "context canceled",
    "ttrpc: closed",
    "i/o timeout",
];

/// Whether the same request may have another answer in a while.
pub(super) fn may_pass(error: &Error) -> bool {
    match error {
        Error::DockerResponseServerError { status_code: 429 | 502..=504, .. } => true,
        Error::DockerResponseServerError { status_code: 500, message } => {
            let message = message.to_ascii_lowercase();
            PASSING.iter().any(|sign| message.contains(sign))
        }
        Error::RequestTimeoutError
        | Error::IOError { .. }
        | Error::HyperResponseError { .. }
        | Error::HyperLegacyError { .. }
        | Error::HttpClientError { .. }
        | Error::SocketNotFoundError(_) => true,
        // An answer that was cut off.
        Error::JsonSerdeError { err } => err.is_eof(),
        _ => false,
    }
}

pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

pub(super) fn is_not_found(error: &Error) -> bool {
    status(error) == Some(404)
}

pub(super) fn failed(step: &str, error: Error) -> SandboxError {
    if may_pass(&error) {
        return SandboxError::Lost(format!("{step}: the daemon does not answer: {error}"));
    }
    SandboxError::System { step: format!("docker: {step}"), source: std::io::Error::other(error) }
}

#[cfg(test)]
mod tests {
    use super::may_pass;
    use bollard::errors::Error;

    #[test]
    fn trouble_of_the_connection_is_told_from_answers() {
        let server = |status_code, message: &str| Error::DockerResponseServerError {
            status_code,
            message: message.to_owned(),
        };
        assert!(may_pass(&Error::RequestTimeoutError));
        assert!(may_pass(&server(503, "")));
        assert!(may_pass(&server(500, "connection error: transport is closing")));
        assert!(!may_pass(&server(500, "no space left on device")));
        assert!(!may_pass(&server(404, "no such image")));
        assert!(!may_pass(&server(409, "the name is in use")));
    }
}
