//! How spans travel: the HTTP client that everything else here uses, on the process's runtime.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use headwater_client::ClientError;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

/// How long one request may take. It waits on a thread of its own.
const CALL: Duration = Duration::from_secs(5);
/// The most bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// A client of one collector.
#[derive(Debug)]
pub(super) struct Transport {
    http: reqwest::Client,
    runtime: Handle,
}

impl Transport {
    /// A client of the collector at `url`. Nothing is sent yet.
    pub(super) fn new(url: &str, runtime: Handle) -> Result<Self, ClientError> {
        Ok(Self { http: headwater_client::transport(url.starts_with("https://"))?, runtime })
    }
}

#[async_trait]
impl HttpClient for Transport {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut request = reqwest::Request::try_from(request)?;
        *request.timeout_mut() = Some(CALL);
        // Whoever waits here is no task of the runtime, which the client needs.
        self.runtime.spawn(send(self.http.clone(), request)).await?
    }
}

async fn send(
    http: reqwest::Client,
    request: reqwest::Request,
) -> Result<Response<Bytes>, HttpError> {
    let mut answer = http.execute(request).await?;
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await? {
        if body.len() + piece.len() > MAX_ANSWER_BYTES {
            return Err("the collector's answer is too long".into());
        }
        body.extend_from_slice(&piece);
    }
    Ok(Response::builder().status(answer.status()).body(body.freeze())?)
}
