//! Reading a request's body, bounded in size and time; and all bodies together, bounded in memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use headwater_api::Problem;
use http::Extensions;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ServerSettings;

/// What the bodies of a server's requests have in common: how long one may take to arrive, and how many bytes all
/// may hold together. The edge puts it into every request's extensions.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    timeout: Duration,
    budget: Arc<Semaphore>,
}

impl BodyLimits {
    pub(crate) fn new(settings: &ServerSettings) -> Self {
        let bytes = settings.max_held_body_bytes.min(Semaphore::MAX_PERMITS);
        Self { timeout: settings.body_timeout(), budget: Arc::new(Semaphore::new(bytes)) }
    }

    /// Those the edge has set for a request; behind no edge, the defaults for this request alone.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_else(|| Self::new(&ServerSettings::default()))
    }

    /// Takes room for bytes that have arrived. What a client only announces takes none, so silent clients cost nothing.
    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let bytes = u32::try_from(bytes).ok();
        bytes
            .and_then(|bytes| Arc::clone(&self.budget).try_acquire_many_owned(bytes).ok())
            .ok_or_else(|| {
                Problem::overloaded("this server holds as many bytes of requests as it may")
            })
    }
}

/// A body and its room, which is given back with the last reference to the bytes.
struct Held {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a body of at most `limit` bytes; `too_large` makes the refusal of (limit, actual).
/// What is announced as larger is refused before it is read. The bytes count as held until the last reference to
/// them is dropped.
///
/// # Errors
/// The refusal, `request_timeout`, `overloaded` when all bodies together are too many bytes, or `invalid_request`
/// when the client stopped in the middle.
pub async fn read_body(
    body: Body,
    limit: usize,
    limits: &BodyLimits,
    too_large: impl Fn(usize, usize) -> Problem,
) -> Result<Bytes, Problem> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_large(limit, announced));
    }
    match tokio::time::timeout(limits.timeout, collect(body, limit, limits, too_large)).await {
        Ok(read) => read,
        Err(_) => Err(Problem::request_timeout(limits.timeout)),
    }
}

async fn collect(
    mut body: Body,
    limit: usize,
    limits: &BodyLimits,
    too_large: impl Fn(usize, usize) -> Problem,
) -> Result<Bytes, Problem> {
    let mut whole = BytesMut::new();
    let mut room = limits.take(0)?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Problem::invalid_request("the body was cut off; send as many bytes as announced")
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let actual = whole.len() + data.len();
        if actual > limit {
            return Err(too_large(limit, actual));
        }
        room.merge(limits.take(data.len())?);
        if whole.is_empty() && body.is_end_stream() {
            return Ok(Bytes::from_owner(Held { bytes: data, _room: room }));
        }
        whole.extend_from_slice(&data);
    }
    Ok(Bytes::from_owner(Held { bytes: whole.freeze(), _room: room }))
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use headwater_api::Code;

    use super::*;

    fn limits(max_held_body_bytes: usize) -> BodyLimits {
        let settings = ServerSettings { max_held_body_bytes, ..ServerSettings::default() };
        BodyLimits::new(&settings)
    }

    fn chunks(chunks: Vec<Result<&'static str, std::io::Error>>) -> Body {
        Body::from_stream(stream::iter(chunks))
    }

    async fn read(body: Body, limits: &BodyLimits) -> Result<Bytes, Problem> {
        read_body(body, 8, limits, Problem::value_too_large).await
    }

    #[tokio::test]
    async fn room_is_given_back_with_the_last_reference_to_the_bytes() {
        let limits = limits(10);
        for body in [Body::from("abcdef"), chunks(vec![Ok("abc"), Ok("def")])] {
            let whole = read(body, &limits).await.unwrap();
            assert_eq!((&whole[..], limits.budget.available_permits()), (&b"abcdef"[..], 4));
            let part = whole.slice(2..3);
            drop(whole);
            assert_eq!(limits.budget.available_permits(), 4);
            drop(part);
            assert_eq!(limits.budget.available_permits(), 10);
        }
    }

    #[tokio::test]
    async fn a_body_without_room_is_told_to_wait_and_an_empty_one_needs_none() {
        let limits = limits(10);
        let first = read(Body::from("abcdef"), &limits).await.unwrap();
        for body in [Body::from("ghijk"), chunks(vec![Ok("gh"), Ok("ijk")])] {
            let refused = read(body, &limits).await.unwrap_err();
            assert_eq!((refused.code, refused.retry_after.is_some()), (Code::Overloaded, true));
            assert_eq!(limits.budget.available_permits(), 4, "what it had taken is given back");
        }
        let second = read(Body::from("ghij"), &limits).await.unwrap();
        assert_eq!(read(Body::empty(), &limits).await.unwrap().len(), 0);
        drop((first, second));
        assert_eq!(read(Body::from("ghijk"), &limits).await.unwrap(), "ghijk");
    }

    #[tokio::test]
    async fn a_body_that_is_refused_cut_off_or_late_gives_its_room_back() {
        let limits = BodyLimits { timeout: Duration::from_millis(10), ..limits(10) };
        let over = read(chunks(vec![Ok("abcdef"), Ok("ghi")]), &limits).await.unwrap_err();
        assert_eq!((over.code, over.number("actual")), (Code::ValueTooLarge, Some(9)));
        let cut = chunks(vec![Ok("abc"), Err(std::io::Error::other("cut"))]);
        assert_eq!(read(cut, &limits).await.unwrap_err().code, Code::InvalidRequest);
        let begun = stream::iter([Ok::<_, std::io::Error>("abc")]);
        let late = Body::from_stream(futures::StreamExt::chain(begun, stream::pending()));
        assert_eq!(read(late, &limits).await.unwrap_err().code, Code::RequestTimeout);
        assert_eq!(limits.budget.available_permits(), 10);
    }
}
