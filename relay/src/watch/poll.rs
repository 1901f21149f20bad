//! A watch as a long poll: one answer, as soon as there is a commit or when the wait is over.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use headwater_api::{DEFAULT_MEDIA_TYPE, Problem};
use headwater_server::{ApiResult, PageLimit, stamp};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue};
use tokio::time::{Instant, timeout_at};

use super::cursor::{Cursor, Next};
use super::matched::Matched;
use crate::metrics;

/// Waits for a commit, then answers with it and those behind it.
pub(super) async fn answer(mut cursor: Cursor, wait: Duration) -> ApiResult<Response> {
    let first = first(&mut cursor, Instant::now() + wait).await?;
    // What comes while the answer is on its way belongs to the next one.
    let view = cursor.desk().view()?;
    let head = *view.head();
    cursor.end_at(head.revision);
    let mut headers = HeaderMap::new();
    stamp(&mut headers, head.revision, head.stream_id);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(DEFAULT_MEDIA_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    Ok((headers, Body::from_stream(Page::new(cursor, first).text())).into_response())
}

/// The first commit; none when the wait is over.
async fn first(cursor: &mut Cursor, until: Instant) -> Result<Option<Matched>, Problem> {
    loop {
        match cursor.next().await? {
            Next::Commit(matched) => return Ok(Some(matched)),
            Next::Silent if Instant::now() < until => tokio::task::yield_now().await,
            Next::Silent => return Ok(None),
            Next::Idle => match timeout_at(until, cursor.changed()).await {
                Ok(changed) => changed?,
                Err(_) => return Ok(None),
            },
        }
    }
}

/// The answer, as the client takes it: `{"commits":[…],"revision":…}`.
struct Page {
    cursor: Cursor,
    writing: Option<Matched>,
    begun: bool,
    ended: bool,
    commits: usize,
    bytes: usize,
}

impl Page {
    fn new(cursor: Cursor, first: Option<Matched>) -> Self {
        Self { cursor, writing: first, begun: false, ended: false, commits: 0, bytes: 0 }
    }

    fn text(self) -> impl Stream<Item = io::Result<Bytes>> {
        futures::stream::unfold(self, |mut page| async move {
            if page.ended {
                return None;
            }
            let text = page.next().await;
            page.ended |= text.is_err();
            Some((text.map(Bytes::from).map_err(io::Error::other), page))
        })
    }

    /// About as much as one send takes.
    async fn next(&mut self) -> Result<String, Problem> {
        let (desk, values) = (self.cursor.desk().clone(), self.cursor.values());
        let mut out = String::new();
        if !std::mem::replace(&mut self.begun, true) {
            out.push_str("{\"commits\":[");
        }
        while out.len() < desk.relay.settings.send_bytes && !self.ended {
            match &mut self.writing {
                Some(matched) => match matched.piece(&desk, values).await? {
                    Some(piece) => out.push_str(&piece),
                    None => {
                        self.writing = None;
                        self.commits += 1;
                    }
                },
                None => match self.more(self.bytes + out.len()).await {
                    Some(matched) => {
                        out.push(',');
                        self.writing = Some(matched);
                    }
                    None => {
                        out.push_str(&format!("],\"revision\":{}}}", self.cursor.taken()));
                        self.ended = true;
                    }
                },
            }
        }
        self.bytes += out.len();
        metrics::watch_sent(out.len());
        Ok(out)
    }

    /// The next commit, if it belongs to this answer. Whatever is in the way of it is told at the next poll: this
    /// answer is complete up to where it is.
    async fn more(&mut self, bytes: usize) -> Option<Matched> {
        let is_full =
            self.commits >= PageLimit::MAX || bytes >= self.cursor.desk().relay.settings.page_bytes;
        if self.commits == 0 || is_full {
            return None;
        }
        match self.cursor.next().await {
            Ok(Next::Commit(matched)) => Some(matched),
            _ => None,
        }
    }
}
