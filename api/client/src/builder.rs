//! Building a client.

use std::time::Duration;

use crate::{Client, ClientError, tls};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer may take. A write may stand for up to the log's own timeout.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a stream may be silent; its server sends a heartbeat every 5 s.
const SILENCE: Duration = Duration::from_secs(15);
/// How many times a call is tried in all.
const TRIES: u32 = 5;

/// Settings of a [`Client`].
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    server: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) call_timeout: Duration,
    pub(crate) silence: Duration,
    pub(crate) tries: u32,
    pub(crate) seed: u64,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            server: "http://127.0.0.1:7070".to_owned(),
            connect_timeout: CONNECT_TIMEOUT,
            call_timeout: CALL_TIMEOUT,
            silence: SILENCE,
            tries: TRIES,
            seed: rand::random(),
        }
    }
}

impl ClientBuilder {
    /// The base URL, `http://` or `https://`; `http://127.0.0.1:7070` unless told.
    #[must_use]
    pub fn server(mut self, url: impl Into<String>) -> Self {
        self.server = url.into();
        self
    }

    /// How long a connection may take to come about; 2 s unless told.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long an answer may take, a wait asked for not counted; 15 s unless told.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// How long a stream or download may be silent; 15 s unless told.
    #[must_use]
    pub fn silence(mut self, limit: Duration) -> Self {
        self.silence = limit;
        self
    }

    /// How many times a call is tried in all; 5 unless told, 1 for never again.
    #[must_use]
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = tries.max(1);
        self
    }

    /// The seed of the waits between tries, so that a test replays.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Builds the client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Setting`] when the URL is none.
    pub fn build(self) -> Result<Client, ClientError> {
        let base = base(&self.server)?;
        let http = transport_with(base.starts_with("https://"), self.connect_timeout)?;
        Ok(Client::new(http, base, self))
    }
}

/// What this crate's calls go over, for a library that makes calls of its own to other servers: TLS by rustls with
/// ring and the platform's certificates, HTTP/1.1, a bound on connecting. Where nothing is
/// `https://`, `is_https` false spares loading the certificates.
///
/// # Errors
/// [`ClientError::Setting`].
pub fn transport(is_https: bool) -> Result<reqwest::Client, ClientError> {
    transport_with(is_https, CONNECT_TIMEOUT)
}

fn transport_with(
    is_https: bool,
    connect_timeout: Duration,
) -> Result<reqwest::Client, ClientError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls::config(is_https)?)
        .http1_only()
        .user_agent(concat!("headwater/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect_timeout)
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::limited(4))
        .build()
        .map_err(|error| ClientError::Setting(format!("no HTTP client: {error}")))
}

/// The base URL without a slash at its end.
pub(crate) fn base(server: &str) -> Result<String, ClientError> {
    let wrong = |why: &str| {
        ClientError::Setting(format!(
            "{server:?} is no server: {why}; write it like http://127.0.0.1:7070"
        ))
    };
    let url = reqwest::Url::parse(server).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("it must begin with http:// or https://"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it must not have a ? or #"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_url() {
        assert_eq!(base("http://127.0.0.1:7070/").unwrap(), "http://127.0.0.1:7070");
        assert_eq!(
            base("https://relay.example/headwater/").unwrap(),
            "https://relay.example/headwater"
        );
        for wrong in ["", "127.0.0.1:7070", "localhost:7070", "ftp://x", "http://x/?a=b"] {
            let told = base(wrong).unwrap_err().to_string();
            assert!(told.contains("http://127.0.0.1:7070"), "{told}");
        }
    }

    #[test]
    fn a_client_speaks_tls_without_a_provider_of_the_process() {
        assert!(ClientBuilder::default().server("https://relay.example").build().is_ok());
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    }
}
