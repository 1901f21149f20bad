//! The client itself.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::{Backoff, ClientBuilder};

/// The waits between tries of one call.
const RETRY_BASE: Duration = Duration::from_millis(50);
const RETRY_CAP: Duration = Duration::from_secs(2);

/// A client of one server. Cheap to clone; connections are pooled and shared.
#[derive(Clone)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    base: Arc<str>,
    pub(crate) settings: Arc<ClientBuilder>,
    calls: Arc<AtomicU64>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.base).finish_non_exhaustive()
    }
}

impl Client {
    /// A client is built from settings; only the server has to be named.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    pub(crate) fn new(http: reqwest::Client, base: String, settings: ClientBuilder) -> Self {
        Self { http, base: base.into(), settings: Arc::new(settings), calls: Arc::default() }
    }

    /// The server's base URL.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// The URL of a path, `/` first.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Waits of their own for every call.
    pub(crate) fn backoff(&self) -> Backoff {
        self.backoff_of(RETRY_BASE, RETRY_CAP)
    }

    pub(crate) fn backoff_of(&self, base: Duration, cap: Duration) -> Backoff {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        Backoff::new(self.settings.seed.wrapping_add(call), base, cap)
    }
}
