//! Reads: one method per call.

use std::time::Duration;

use bytes::Bytes;
use headwater_api::{
    Code, CommitBody, CommitsBody, DiffBody, EntryBody, HistoryBody, ListBody, NamespacesBody,
    StatusBody, header, paths,
};
use headwater_schemas::{Key, Namespace, StreamId};
use http::header::{ACCEPT, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName};
use reqwest::Response;
use serde::de::DeserializeOwned;

use crate::query::Parameters;
use crate::send::Again;
use crate::{Client, ClientError, CommitsQuery, DiffQuery, ListQuery, Read};

/// A value as stored, with what the headers say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// The bytes.
    pub value: Bytes,
    /// Their media type.
    pub content_type: String,
    /// The revision that last changed the key: its entity tag.
    pub mod_revision: u64,
    /// The version of the key.
    pub version: u64,
    /// The revision that created the key.
    pub create_revision: u64,
    /// The revision of the state it was read from.
    pub revision: u64,
    /// The stream.
    pub stream_id: StreamId,
}

/// An answer, and the state that it was read from.
#[derive(Debug, Clone)]
pub struct Told<T> {
    /// The answer.
    pub body: T,
    /// The revision of the state.
    pub revision: u64,
    /// The stream.
    pub stream_id: StreamId,
}

impl Client {
    /// The raw value of a key; none when it is absent.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_raw(
        &self,
        namespace: &Namespace,
        key: &Key,
        read: &Read,
    ) -> Result<Option<Raw>, ClientError> {
        let url = self.at(&read.parameters().on(&paths::config(namespace, key)));
        let answer = self.call(Again::Safe, wait(read), |http| http.get(&url)).await;
        let Some(response) = present(answer)? else { return Ok(None) };
        let headers = response.headers().clone();
        let value = self.body(response).await?;
        self.raw(&headers, value).map(Some)
    }

    fn raw(&self, headers: &HeaderMap, value: Bytes) -> Result<Raw, ClientError> {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: HeaderName| {
            let number = text(&name).and_then(|text| text.trim_matches('"').parse().ok());
            number.ok_or_else(|| self.undecodable(format!("no header {name}")))
        };
        let stream_id = text(&header::STREAM).and_then(StreamId::from_hex);
        Ok(Raw {
            value,
            content_type: text(&CONTENT_TYPE).unwrap_or_default().to_owned(),
            mod_revision: number(ETAG)?,
            version: number(header::VERSION)?,
            create_revision: number(header::CREATE_REVISION)?,
            revision: number(header::REVISION)?,
            stream_id: stream_id
                .ok_or_else(|| self.undecodable(format!("no header {}", header::STREAM)))?,
        })
    }

    /// The entry of a key; none when it is absent.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_entry(
        &self,
        namespace: &Namespace,
        key: &Key,
        read: &Read,
    ) -> Result<Option<EntryBody>, ClientError> {
        let url = self.at(&read.parameters().on(&paths::config(namespace, key)));
        let build = |http: &reqwest::Client| http.get(&url).header(ACCEPT, header::ENTRY_JSON);
        let answer = self.call(Again::Safe, wait(read), build).await;
        match present(answer)? {
            Some(response) => self.json(response).await.map(Some),
            None => Ok(None),
        }
    }

    /// One page of a namespace's entries; `cursor` is the page before's `next`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list(
        &self,
        namespace: &Namespace,
        query: &ListQuery,
        cursor: Option<&str>,
    ) -> Result<ListBody, ClientError> {
        let read = Read { at: query.at, stream: query.stream, ..Read::default() };
        let parameters = read
            .parameters()
            .with("prefix", query.prefix.as_ref())
            .with("keys_only", query.keys_only.then_some(true))
            .with("limit", query.limit)
            .with("cursor", cursor);
        self.read_json(&parameters.on(&paths::list(namespace))).await
    }

    /// All pages of a namespace's entries, one at a time.
    pub fn pages<'a>(&'a self, namespace: &'a Namespace, query: &'a ListQuery) -> Pages<'a> {
        Pages { client: self, namespace, query, next: Some(None) }
    }

    /// One page of namespaces.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn namespaces(
        &self,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<NamespacesBody, ClientError> {
        let parameters = Parameters::default().with("limit", limit).with("cursor", cursor);
        self.read_json(&parameters.on(paths::NAMESPACES)).await
    }

    /// One page of commits.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn commits(
        &self,
        query: &CommitsQuery,
        cursor: Option<&str>,
    ) -> Result<CommitsBody, ClientError> {
        self.read_json(&query.parameters().with("cursor", cursor).on(paths::COMMITS)).await
    }

    /// One page of the versions of a key, newest first; `cursor` is the page before's `next`.
    ///
    /// # Errors
    /// [`ClientError`]; a key that never was is `key_not_found`.
    pub async fn history(
        &self,
        namespace: &Namespace,
        key: &Key,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<HistoryBody, ClientError> {
        let parameters = Parameters::default().with("limit", limit).with("cursor", cursor);
        self.read_json(&parameters.on(&paths::history(namespace, key))).await
    }

    /// One page of what two states of a namespace differ in; `cursor` is the page before's `next`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn diff(
        &self,
        namespace: &Namespace,
        query: &DiffQuery,
        cursor: Option<&str>,
    ) -> Result<DiffBody, ClientError> {
        let parameters = query.parameters().with("cursor", cursor);
        self.read_json(&parameters.on(&paths::diff(namespace))).await
    }

    /// The record of a commit as stored; 0 is the genesis.
    ///
    /// # Errors
    /// [`ClientError`]; a revision above the head is `revision_in_future`.
    pub async fn record_at(&self, revision: u64) -> Result<Bytes, ClientError> {
        let url = self.at(&paths::commit(revision));
        let build = |http: &reqwest::Client| http.get(&url).header(ACCEPT, header::COMMIT_AVRO);
        let response = self.call(Again::Safe, Duration::ZERO, build).await?;
        let content_type = response.headers().get(CONTENT_TYPE);
        if content_type.is_none_or(|content_type| content_type != header::COMMIT_AVRO) {
            return Err(self.undecodable("no record of a commit"));
        }
        self.body(response).await
    }

    /// One commit.
    ///
    /// # Errors
    /// [`ClientError`]; a revision above the head is `revision_in_future`.
    pub async fn commit_at(&self, revision: u64) -> Result<CommitBody, ClientError> {
        self.read_json(&paths::commit(revision)).await
    }

    /// What the server says of itself.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<StatusBody, ClientError> {
        self.read_json(paths::STATUS).await
    }

    /// The manifest of the newest image, as whatever type the caller reads it into.
    ///
    /// # Errors
    /// [`ClientError`]; without any image it is `not_found`.
    pub async fn image_manifest<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        self.read_json(paths::IMAGES_LATEST).await
    }

    /// Reads the JSON at any path of the server (`/` first), as whatever type the caller reads it into.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn json_at<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.read_json(path).await
    }

    /// One page of commits, with the state that it was read from.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn commits_told(
        &self,
        query: &CommitsQuery,
    ) -> Result<Told<CommitsBody>, ClientError> {
        let url = self.at(&query.parameters().on(paths::COMMITS));
        let response = self.call(Again::Safe, Duration::ZERO, |http| http.get(&url)).await?;
        let headers = response.headers().clone();
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let revision = text(&header::REVISION).and_then(|text| text.parse().ok());
        let stream_id = text(&header::STREAM).and_then(StreamId::from_hex);
        let missing = || self.undecodable("an answer without its revision or its stream");
        let (revision, stream_id) = revision.zip(stream_id).ok_or_else(missing)?;
        Ok(Told { body: self.json(response).await?, revision, stream_id })
    }

    /// Asks once whether the server is alive.
    ///
    /// # Errors
    /// [`ClientError`] when it is not.
    pub async fn healthz(&self) -> Result<(), ClientError> {
        self.probe(paths::HEALTHZ).await
    }

    /// Asks once whether the server is ready.
    ///
    /// # Errors
    /// [`ClientError`]; `not_ready` until it has caught up.
    pub async fn readyz(&self) -> Result<(), ClientError> {
        self.probe(paths::READYZ).await
    }

    async fn probe(&self, path: &str) -> Result<(), ClientError> {
        self.once(Duration::ZERO, self.http.get(self.at(path))).await.map(drop)
    }

    async fn read_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let url = self.at(path);
        let response = self.call(Again::Safe, Duration::ZERO, |http| http.get(&url)).await?;
        self.json(response).await
    }
}

/// An answer, or none for a key that is absent.
fn present(answer: Result<Response, ClientError>) -> Result<Option<Response>, ClientError> {
    match answer {
        Err(error) if error.code() == Some(Code::KeyNotFound) => Ok(None),
        other => other.map(Some),
    }
}

/// How long the call asks the server to wait: 5 s unless told.
fn wait(read: &Read) -> Duration {
    match read.min_revision {
        Some(_) => read.timeout.unwrap_or(Duration::from_secs(5)),
        None => read.timeout.unwrap_or_default(),
    }
}

/// All pages of a list, one at a time; all of them show one revision.
#[derive(Debug)]
pub struct Pages<'a> {
    client: &'a Client,
    namespace: &'a Namespace,
    query: &'a ListQuery,
    next: Option<Option<String>>,
}

impl Pages<'_> {
    /// The next page; none behind the last.
    ///
    /// # Errors
    /// [`ClientError`]; the same page is asked for again by the next call.
    pub async fn next(&mut self) -> Result<Option<ListBody>, ClientError> {
        let Some(cursor) = &self.next else { return Ok(None) };
        let page = self.client.list(self.namespace, self.query, cursor.as_deref()).await?;
        self.next = page.next.clone().map(Some);
        Ok(Some(page))
    }
}
