//! Live commits as JSON: server-sent events over one connection, and the long poll.

use std::time::Duration;

use headwater_api::{
    CommitBody, DEFAULT_MEDIA_TYPE, Event, EventDecoder, HeartbeatBody, PollBody, Problem, Values,
    format_duration, header, paths,
};
use headwater_schemas::{Key, Namespace, StreamId};
use http::header::{ACCEPT, CONTENT_TYPE};
use reqwest::Response;
use serde::de::DeserializeOwned;

use crate::query::Parameters;
use crate::send::Again;
use crate::{Client, ClientError};

/// The largest event that is read, in bytes: as many as a whole answer may have.
const MAX_EVENT_BYTES: usize = 64 * 1024 * 1024;
/// The same where events carry what was there before. A commit may replace or remove a thousand values, by default of
/// up to 256 KiB, and base64 takes a third more.
const MAX_EVENT_BYTES_OF_BOTH: usize = 512 * 1024 * 1024;

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WatchQuery {
    /// Only what concerns these; empty for all.
    pub namespaces: Vec<Namespace>,
    /// Only keys that begin with this; not together with `key`.
    pub prefix: Option<String>,
    /// Only this key, in each of the namespaces.
    pub key: Option<Key>,
    /// Behind this revision; the head as of the call if not given.
    pub after: Option<u64>,
    /// What changes carry of their values.
    pub values: Values,
    /// Only of this stream.
    pub stream: Option<StreamId>,
}

impl WatchQuery {
    /// The largest event, and the largest answer to a poll, that is read.
    fn max_bytes(&self) -> usize {
        match self.values {
            Values::Both => MAX_EVENT_BYTES_OF_BOTH,
            Values::New | Values::None => MAX_EVENT_BYTES,
        }
    }

    fn parameters(&self) -> Parameters {
        let names: Vec<&str> = self.namespaces.iter().map(Namespace::as_str).collect();
        Parameters::default()
            .with("namespaces", (!names.is_empty()).then(|| names.join(",")))
            .with("prefix", self.prefix.as_ref().filter(|prefix| !prefix.is_empty()))
            .with("key", self.key.as_ref())
            .with("after", self.after)
            .with("values", (self.values != Values::default()).then_some(self.values))
            .with("stream", self.stream)
    }
}

/// What a watch sends.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    /// A commit with the matching changes only.
    Commit(CommitBody),
    /// The server is there.
    Heartbeat {
        /// The revision up to which this watch has sent everything.
        sent: u64,
        /// The server's head.
        head: HeartbeatBody,
    },
    /// The server ends the watch, and says why; nothing comes behind it.
    End(Problem),
}

/// Events as they arrive, over one connection. [`Watcher`](crate::Watcher) goes on over the next one.
#[derive(Debug)]
pub struct WatchStream {
    client: Client,
    response: Response,
    decoder: EventDecoder,
    stream_id: StreamId,
}

impl Client {
    /// Opens a watch. Tried once.
    ///
    /// # Errors
    /// [`ClientError`]; `revision_compacted` and `wrong_stream` tell what to do.
    pub async fn watch(&self, query: &WatchQuery) -> Result<WatchStream, ClientError> {
        let url = query.parameters().on(&self.at(paths::WATCH));
        let request = self.http.get(url).header(ACCEPT, header::EVENT_STREAM);
        let response = self.once(Duration::ZERO, request).await?;
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let kind = text(CONTENT_TYPE);
        if kind.is_none_or(|kind| headwater_api::essence(kind) != header::EVENT_STREAM) {
            return Err(self.undecodable(format!("events of {}", kind.unwrap_or("no type"))));
        }
        let stream_id = text(header::STREAM).and_then(StreamId::from_hex);
        let stream_id =
            stream_id.ok_or_else(|| self.undecodable(format!("no header {}", header::STREAM)))?;
        let decoder = EventDecoder::new(query.max_bytes());
        Ok(WatchStream { client: self.clone(), response, decoder, stream_id })
    }

    /// Waits up to `wait` (at most 60 s) for commits behind `after`. The answer's revision is the next call's `after`.
    ///
    /// # Errors
    /// [`ClientError`]; `revision_compacted` and `wrong_stream` tell what to do.
    pub async fn poll(&self, query: &WatchQuery, wait: Duration) -> Result<PollBody, ClientError> {
        let parameters = query.parameters().with("wait", Some(format_duration(wait)));
        let url = parameters.on(&self.at(paths::WATCH));
        let build = |http: &reqwest::Client| http.get(&url).header(ACCEPT, DEFAULT_MEDIA_TYPE);
        let response = self.call(Again::Safe, wait, build).await?;
        self.json_within(response, query.max_bytes()).await
    }
}

impl WatchStream {
    /// The stream that is watched.
    pub fn stream_id(&self) -> StreamId {
        self.stream_id
    }

    /// The next event. A watch never ends well: its end is [`WatchEvent::End`], or an error that may be tried again.
    ///
    /// # Errors
    /// [`ClientError`]: silence for too long, a broken connection, or bytes that are no events.
    ///
    /// # Cancel safety
    /// A cancelled call loses nothing.
    pub async fn next(&mut self) -> Result<WatchEvent, ClientError> {
        loop {
            let event = self.decoder.next_event();
            if let Some(event) =
                event.map_err(|error| self.client.undecodable(error.to_string()))?
            {
                match self.read(&event)? {
                    Some(event) => return Ok(event),
                    // Of a later day.
                    None => continue,
                }
            }
            match self.client.chunk(&mut self.response).await? {
                Some(chunk) => self.decoder.push(&chunk),
                None => {
                    return Err(ClientError::Transport {
                        url: self.client.url().to_owned(),
                        cause: "the server ended the watch".to_owned(),
                        unsent: false,
                    });
                }
            }
        }
    }

    fn read(&self, event: &Event) -> Result<Option<WatchEvent>, ClientError> {
        Ok(match event.kind.as_str() {
            "commit" => Some(WatchEvent::Commit(self.data(event)?)),
            "heartbeat" => {
                let sent = event.id.as_deref().and_then(|id| id.parse().ok());
                let sent = sent.ok_or_else(|| self.client.undecodable("a heartbeat without id"))?;
                Some(WatchEvent::Heartbeat { sent, head: self.data(event)? })
            }
            "end" => Some(WatchEvent::End(self.data(event)?)),
            _ => None,
        })
    }

    fn data<T: DeserializeOwned>(&self, event: &Event) -> Result<T, ClientError> {
        serde_json::from_str(&event.data)
            .map_err(|error| self.client.undecodable(format!("an event {}: {error}", event.kind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_differs_from_the_default() {
        assert_eq!(WatchQuery::default().parameters().on("/x"), "/x");
        let query = WatchQuery {
            namespaces: vec!["a".parse().unwrap(), "b.c".parse().unwrap()],
            prefix: Some("db/".into()),
            after: Some(0),
            values: Values::Both,
            stream: Some(StreamId([1; 16])),
            ..WatchQuery::default()
        };
        let stream = StreamId([1; 16]);
        assert_eq!(
            query.parameters().on("/x"),
            format!("/x?namespaces=a%2Cb.c&prefix=db%2F&after=0&values=both&stream={stream}")
        );
    }
}
