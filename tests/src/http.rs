//! A plain HTTP/1.1 client: what is asked goes out as it stands, so that a test can ask what no good client would.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::http::HeaderMap;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

/// How long any answer may take; the longest that a server may take by itself is its outcome timeout of 11 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Ask {
    /// Any method on a path with its query.
    pub fn new(method: &str, target: impl Into<String>) -> Self {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        Self { method, target: target.into(), headers: Vec::new(), body: Bytes::new() }
    }

    /// `GET`.
    pub fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    /// `PUT` of these bytes, without a content type.
    pub fn put(target: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::new("PUT", target) }
    }

    /// `DELETE`.
    pub fn delete(target: impl Into<String>) -> Self {
        Self::new("DELETE", target)
    }

    /// `POST` of JSON.
    pub fn post(target: impl Into<String>, body: &serde_json::Value) -> Self {
        Self { body: body.to_string().into(), ..Self::new("POST", target) }
            .header(CONTENT_TYPE.as_str(), "application/json")
    }

    /// The same with a query behind its path.
    #[must_use]
    pub fn query(self, query: &str) -> Self {
        Self { target: format!("{}?{query}", self.target), ..self }
    }

    /// The same with another body.
    #[must_use]
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// The same with one more header; one that is there already is replaced.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The same under an `Idempotency-Key`.
    #[must_use]
    pub fn keyed(self, key: impl Into<String>) -> Self {
        self.header("Idempotency-Key", key)
    }

    /// Its `Idempotency-Key`; empty without one.
    pub fn key(&self) -> String {
        let found = self.headers.iter().find(|(name, _)| name == "Idempotency-Key");
        found.map(|(_, key)| key.clone()).unwrap_or_default()
    }

    fn request(&self, host: &str) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(&self.method).uri(&self.target);
        request = request.header(HOST, host);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body.clone())).expect("a request")
    }
}

/// No answer came: nobody knows what became of the request.
#[derive(Debug, Clone)]
pub struct Lost(pub String);

/// One connection, kept alive.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// [`Lost`] when nobody answers there.
    pub async fn open(host: &str) -> Result<Self, Lost> {
        let lost = |error: &dyn std::fmt::Display| Lost(error.to_string());
        let stream = TcpStream::connect(host).await.map_err(|error| lost(&error))?;
        stream.set_nodelay(true).map_err(|error| lost(&error))?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
        // It ends with the sender; what goes wrong shows at the sender, too.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, host: host.to_owned() })
    }

    /// Asks, and waits for the whole answer.
    ///
    /// # Errors
    /// [`Lost`]; the connection is of no use then.
    pub async fn send(&mut self, ask: &Ask) -> Result<Answer, Lost> {
        let lost = |error: &dyn std::fmt::Display| Lost(error.to_string());
        let exchange = async {
            self.sender.ready().await.map_err(|error| lost(&error))?;
            let request = ask.request(&self.host);
            let answer = self.sender.send_request(request).await.map_err(|error| lost(&error))?;
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.map_err(|error| lost(&error))?.to_bytes();
            Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await;
        answer.unwrap_or_else(|_| Err(Lost(format!("no answer within {PATIENCE:?} to {ask:?}"))))
    }
}

/// Asks once, on a connection of its own.
///
/// # Panics
/// When no answer comes.
pub async fn ask(host: &str, ask: &Ask) -> Answer {
    let answer = async { Connection::open(host).await?.send(ask).await };
    answer.await.unwrap_or_else(|Lost(why)| panic!("{ask:?}: {why}"))
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The same, having this status.
    ///
    /// # Panics
    /// When it has another; the message holds the body.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The same, being a problem of this status and code.
    ///
    /// # Panics
    /// When it is none; the message holds the body.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) -> serde_json::Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem: serde_json::Value = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for field in ["type", "title", "detail"] {
            let told = problem[field].as_str().unwrap_or_default();
            assert!(!told.is_empty(), "{field} says nothing: {problem}");
        }
        problem
    }

    /// A header; empty when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON of some shape.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The revision of a receipt.
    #[track_caller]
    pub fn revision(&self) -> u64 {
        let receipt: serde_json::Value = self.json();
        receipt["revision"].as_u64().unwrap_or_else(|| panic!("no revision: {receipt}"))
    }
}
