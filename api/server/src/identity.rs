//! Which state answers come from: `Headwater-Revision` and `Headwater-Stream` on every answer.

use std::fmt;
use std::sync::Arc;

use headwater_api::{Problem, header};
use headwater_schemas::StreamId;
use http::{HeaderMap, HeaderValue, Method, Uri};

type Read = dyn Fn() -> Option<(u64, StreamId)> + Send + Sync;

/// Where the edge learns the current revision and the stream; none while they are not known.
#[derive(Clone)]
pub struct Identity(Arc<Read>);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&(self.0)()).finish()
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new(|| None)
    }
}

impl Identity {
    /// Asks `read` at every answer: it must be cheap and never block.
    pub fn new(read: impl Fn() -> Option<(u64, StreamId)> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(crate) fn now(&self) -> Option<(u64, StreamId)> {
        (self.0)()
    }

    /// Adds the two headers where the handler has not set them itself.
    pub(crate) fn complete(&self, headers: &mut HeaderMap) {
        let Some((revision, stream)) = self.now() else { return };
        let (has_revision, has_stream) =
            (headers.contains_key(header::REVISION), headers.contains_key(header::STREAM));
        if !has_revision {
            headers.insert(header::REVISION, HeaderValue::from(revision));
        }
        if !has_stream && let Ok(value) = HeaderValue::try_from(stream.to_string()) {
            headers.insert(header::STREAM, value);
        }
    }

    /// `stream=<id>` on a read: another stream's client must not take this one's answers for its own.
    pub(crate) fn guard(&self, method: &Method, uri: &Uri) -> Result<(), Problem> {
        if !is_guarded(method, uri.path()) {
            return Ok(());
        }
        let asked = crate::query::pairs(uri.query().unwrap_or_default())?
            .into_iter()
            .find(|(name, value)| name == STREAM_PARAMETER && !value.is_empty());
        let Some((_, asked)) = asked else { return Ok(()) };
        match self.now() {
            None => Err(Problem::not_ready("this server does not know its stream yet")),
            Some((_, here)) if StreamId::from_hex(&asked) == Some(here) => Ok(()),
            Some((_, here)) => Err(Problem::wrong_stream(&asked, here)),
        }
    }
}

/// The parameter every read takes.
pub(crate) const STREAM_PARAMETER: &str = "stream";

/// Whether a call is a read that takes `stream`.
pub(crate) fn is_guarded(method: &Method, path: &str) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && path.starts_with("/v1/")
}

/// Sets the two headers of an answer that was read from the state at `revision`.
pub fn stamp(headers: &mut HeaderMap, revision: u64, stream: StreamId) {
    headers.insert(header::REVISION, HeaderValue::from(revision));
    if let Ok(value) = HeaderValue::try_from(stream.to_string()) {
        headers.insert(header::STREAM, value);
    }
}
