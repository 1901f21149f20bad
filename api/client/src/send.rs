//! Sending a request, again where that is safe, and reading the answer within bounds.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use headwater_api::{Code, Problem};
use http::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;

use crate::{Client, ClientError};

/// The largest answer that is read into memory, in bytes: a page ends at 4 MiB of values, in base64 more.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// The longest wait a server may ask of one call.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5);

/// How often a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// A read, or a write with an Idempotency-Key: whenever it can help.
    Safe,
    /// A write without one: only when the server certainly did nothing.
    Unless,
}

impl Client {
    /// Makes a call, again while that is allowed and can help. `wait` is what the call itself asks the
    /// server to wait.
    pub(crate) async fn call(
        &self,
        again: Again,
        wait: Duration,
        build: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Response, ClientError> {
        let mut backoff = self.backoff();
        let mut tries = self.settings.tries;
        loop {
            let error = match self.once(wait, build(&self.http)).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            tries = tries.saturating_sub(1);
            let helps = match again {
                // The caller has waited as long as it wanted.
                _ if error.code() == Some(Code::RevisionNotReached) => false,
                Again::Safe => error.is_retryable(),
                Again::Unless => error.nothing_done() && error.is_retryable(),
            };
            if tries == 0 || !helps {
                return Err(error);
            }
            let jitter = backoff.next().unwrap_or_default();
            let asked = match &error {
                ClientError::Problem(problem) => problem.retry_after.unwrap_or_default(),
                _ => Duration::ZERO,
            };
            tracing::debug!(url = self.url(), %error, tries, "trying again");
            tokio::time::sleep(asked.min(MAX_RETRY_AFTER) + jitter).await;
        }
    }

    /// Makes a call once; any answer but success or 304 is an error.
    pub(crate) async fn once(
        &self,
        wait: Duration,
        request: RequestBuilder,
    ) -> Result<Response, ClientError> {
        let limit = self.settings.call_timeout + wait;
        let response = self.head(limit, request).await?;
        let status = response.status();
        if status.is_success() || status.as_u16() == 304 {
            return Ok(response);
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let body = self.body(response).await?;
        let problem = Problem::of_answer(status.as_u16(), &body);
        Err(ClientError::Problem(Problem {
            retry_after: retry_after.or(problem.retry_after),
            ..problem
        }))
    }

    /// Waits for the head of an answer.
    async fn head(
        &self,
        limit: Duration,
        request: RequestBuilder,
    ) -> Result<Response, ClientError> {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        match tokio::time::timeout(limit, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(ClientError::of(self.url(), limit_ms, &error)),
            Err(_) => Err(ClientError::Timeout { url: self.url().to_owned(), limit_ms }),
        }
    }

    /// Reads a whole body, bounded in size and in silence.
    pub(crate) async fn body(&self, response: Response) -> Result<Bytes, ClientError> {
        self.body_within(response, MAX_ANSWER_BYTES).await
    }

    async fn body_within(
        &self,
        mut response: Response,
        max_bytes: usize,
    ) -> Result<Bytes, ClientError> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            if whole.len() + chunk.len() > max_bytes {
                return Err(self.undecodable(format!("more than {max_bytes} bytes")));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// The next bytes of a body; none at its end.
    pub(crate) async fn chunk(
        &self,
        response: &mut Response,
    ) -> Result<Option<Bytes>, ClientError> {
        let limit = self.settings.silence;
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        match tokio::time::timeout(limit, response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) if error.is_decode() || error.is_body() => Err(ClientError::Transport {
                url: self.url().to_owned(),
                cause: "the connection broke in the middle of an answer".to_owned(),
                unsent: false,
            }),
            Ok(Err(error)) => Err(ClientError::of(self.url(), limit_ms, &error)),
            Err(_) => Err(ClientError::Timeout { url: self.url().to_owned(), limit_ms }),
        }
    }

    /// Reads a JSON body.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        response: Response,
    ) -> Result<T, ClientError> {
        self.json_within(response, MAX_ANSWER_BYTES).await
    }

    /// The same within another bound, in bytes.
    pub(crate) async fn json_within<T: DeserializeOwned>(
        &self,
        response: Response,
        max_bytes: usize,
    ) -> Result<T, ClientError> {
        let body = self.body_within(response, max_bytes).await?;
        serde_json::from_slice(&body).map_err(|error| self.undecodable(error.to_string()))
    }

    pub(crate) fn undecodable(&self, cause: impl Into<String>) -> ClientError {
        ClientError::Decode { url: self.url().to_owned(), cause: cause.into() }
    }
}
