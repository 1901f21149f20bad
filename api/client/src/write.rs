//! Writes: one method per call.

use std::time::Duration;

use bytes::Bytes;
use headwater_api::{CommitRequest, DryRunBody, ReceiptBody, RollbackRequest, etag, header, paths};
use headwater_schemas::{Key, Namespace};
use http::Method;
use http::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use reqwest::{RequestBuilder, Response};

use crate::send::Again;
use crate::{Client, ClientError};

/// What a single write expects of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum If {
    /// Nothing.
    #[default]
    Anything,
    /// It was last changed by this revision.
    Revision(u64),
    /// It is there.
    Exists,
    /// It is absent.
    Absent,
}

/// How a write is made: by whom, why, and under which conditions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Write {
    /// Who.
    pub actor: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Makes every retry land once: without it, a write is tried again only when the server did nothing.
    pub idempotency_key: Option<String>,
    /// What is expected of the key; for single writes only.
    pub condition: If,
    /// The trace context.
    pub traceparent: Option<String>,
}

impl Write {
    fn again(&self) -> Again {
        if self.idempotency_key.is_some() { Again::Safe } else { Again::Unless }
    }

    fn on(&self, request: RequestBuilder) -> RequestBuilder {
        let request = match self.condition {
            If::Anything => request,
            If::Revision(revision) => request.header(IF_MATCH, etag(revision)),
            If::Exists => request.header(IF_MATCH, "*"),
            If::Absent => request.header(IF_NONE_MATCH, "*"),
        };
        let encoded = |text: &Option<String>| text.as_deref().map(paths::encode_text);
        [
            (header::ACTOR, encoded(&self.actor)),
            (header::REASON, encoded(&self.reason)),
            (header::IDEMPOTENCY_KEY, self.idempotency_key.clone()),
            (header::TRACEPARENT, self.traceparent.clone()),
        ]
        .into_iter()
        .fold(request, |request, (name, value)| match value {
            Some(value) => request.header(name, value),
            None => request,
        })
    }
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The receipt.
    pub receipt: ReceiptBody,
    /// Whether a put created its key.
    pub created: bool,
    /// Whether an earlier try of the same request had already done it.
    pub replayed: bool,
}

impl Client {
    /// Sets a value.
    ///
    /// # Errors
    /// [`ClientError`]; a failed condition is `precondition_failed`.
    pub async fn put(
        &self,
        namespace: &Namespace,
        key: &Key,
        content_type: &str,
        value: impl Into<Bytes>,
        write: &Write,
    ) -> Result<Written, ClientError> {
        let (url, value) = (self.at(&paths::config(namespace, key)), value.into());
        self.write(write, |http| {
            http.put(&url).header(CONTENT_TYPE, content_type).body(value.clone())
        })
        .await
    }

    /// Removes a key.
    ///
    /// # Errors
    /// [`ClientError`]; an absent key is `key_not_found`.
    pub async fn delete(
        &self,
        namespace: &Namespace,
        key: &Key,
        write: &Write,
    ) -> Result<Written, ClientError> {
        let url = self.at(&paths::config(namespace, key));
        self.write(write, |http| http.request(Method::DELETE, &url)).await
    }

    /// Applies a change set, whole or not at all. Actor and reason of the body win over those of `write`.
    ///
    /// # Errors
    /// [`ClientError`]; preconditions that do not hold are `conflict` with all failures.
    pub async fn commit(
        &self,
        request: &CommitRequest,
        write: &Write,
    ) -> Result<Written, ClientError> {
        let (url, body) = (self.at(paths::COMMITS), encoded(request)?);
        self.write(write, |http| json(http, &url, &body)).await
    }

    /// What a change set would do; writes nothing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn dry_run(
        &self,
        request: &CommitRequest,
        write: &Write,
    ) -> Result<DryRunBody, ClientError> {
        self.preview(paths::COMMITS, request, write).await
    }

    /// Restores an older state as a new commit. Where nothing differs there is none, and the receipt has no commit id.
    /// Actor and reason of the body win over those of `write`; a reason is needed.
    ///
    /// # Errors
    /// [`ClientError`]; more than one commit may hold is `too_many_changes` or `commit_too_large`.
    pub async fn rollback(
        &self,
        request: &RollbackRequest,
        write: &Write,
    ) -> Result<Written, ClientError> {
        let (url, body) = (self.at(paths::ROLLBACK), encoded(request)?);
        self.write(write, |http| json(http, &url, &body)).await
    }

    /// What a rollback would do; writes nothing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rollback_dry_run(
        &self,
        request: &RollbackRequest,
        write: &Write,
    ) -> Result<DryRunBody, ClientError> {
        self.preview(paths::ROLLBACK, request, write).await
    }

    async fn preview(
        &self,
        path: &str,
        request: &impl serde::Serialize,
        write: &Write,
    ) -> Result<DryRunBody, ClientError> {
        let (url, body) = (self.at(&format!("{path}?dry_run=true")), encoded(request)?);
        let build = |http: &reqwest::Client| write.on(json(http, &url, &body));
        self.json(self.call(Again::Safe, Duration::ZERO, build).await?).await
    }

    async fn write(
        &self,
        write: &Write,
        build: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Written, ClientError> {
        let build = |http: &reqwest::Client| write.on(build(http));
        let response = self.call(write.again(), Duration::ZERO, build).await?;
        let (created, replayed) = (response.status().as_u16() == 201, is_replayed(&response));
        Ok(Written { receipt: self.json(response).await?, created, replayed })
    }
}

fn encoded(request: &impl serde::Serialize) -> Result<Bytes, ClientError> {
    serde_json::to_vec(request)
        .map(Bytes::from)
        .map_err(|error| ClientError::Setting(format!("the request is no JSON: {error}")))
}

fn json(http: &reqwest::Client, url: &str, body: &Bytes) -> RequestBuilder {
    http.post(url).header(CONTENT_TYPE, "application/json").body(body.clone())
}

fn is_replayed(response: &Response) -> bool {
    response.headers().get(header::IDEMPOTENT_REPLAYED).is_some_and(|value| value == "true")
}
