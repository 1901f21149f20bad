//! `GET /v1/commits`: the chain, in pages up to one revision.
//!
//! ```text
//!   after ─────────── history ───────────▶│── the replica's tail ──▶ upto (the head at the first page)
//! ```

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use headwater_api::{CommitBody, CommitsBody, Cursor, CursorKind, Problem};
use headwater_replica::{CommitsPage, CommitsQuery, History, HistoryError, TailRead};
use headwater_schemas::{Hash, StreamId};
use headwater_server::{ApiResult, PageLimit, Query, stamp};
use http::HeaderMap;

use crate::relay::Desk;

#[derive(Debug, serde::Deserialize)]
pub(crate) struct Parameters {
    after: Option<u64>,
    actor: Option<String>,
    #[serde(default)]
    limit: PageLimit,
    cursor: Option<String>,
}

/// What a commit costs beside its record, in bytes of JSON; base64 takes a third more than the record itself.
const COMMIT_BYTES: usize = 512;
/// How long history that is ahead of this server's replica is waited for.
const AHEAD: Duration = Duration::from_secs(1);

/// A page of commits, ascending. The genesis is no commit of anybody's and is not listed; barriers are.
#[utoipa::path(get, path = "/v1/commits", operation_id = "list_commits", tag = "read",
    params(
        ("after" = Option<u64>, Query, description = "Only later revisions"),
        ("actor" = Option<String>, Query, description = "Only commits of this actor"),
        ("limit" = Option<u64>, Query, description = "1 to 1,000, 100 by default", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; all pages of one cursor end at one revision"),
    ),
    responses(
        (status = 200, description = "Whole commits, ascending; barriers, too", body = headwater_api::CommitsBody),
        (status = "default", description = "A problem", content_type = "application/problem+json", body = headwater_api::Problem),
    ))]
pub(crate) async fn get(
    State(desk): State<Arc<Desk>>,
    Query(query): Query<Parameters>,
) -> ApiResult<Response> {
    let after = query.after.unwrap_or(0);
    let scope = [&after.to_string(), query.actor.as_deref().unwrap_or_default()];
    let head = *desk.view()?.head();
    let span = match &query.cursor {
        None => Span { from: after, upto: head.revision },
        Some(cursor) => Span::resume(&desk.cursor(cursor, CursorKind::Commits, &scope)?)?,
    };
    let wanted = Wanted {
        span,
        actor: query.actor.as_deref(),
        limit: query.limit.get(),
        max_bytes: desk.relay.settings.page_bytes,
    };
    let page = desk.commits(&wanted).await?;
    let (commits, listed_to) = bodies(&page, wanted.max_bytes);
    let next = (listed_to < span.upto).then(|| {
        Span { from: listed_to, ..span }.cursor(head.stream_id).encode(CursorKind::Commits, &scope)
    });
    let mut answer = HeaderMap::new();
    stamp(&mut answer, span.upto, head.stream_id);
    Ok((answer, axum::Json(CommitsBody { commits, next })).into_response())
}

/// The commits as they are answered, and the revision up to which they are: a page was found by the size of its records,
/// but a control character of a text takes six bytes of JSON.
fn bodies(page: &CommitsPage, max_bytes: usize) -> (Vec<CommitBody>, u64) {
    let (mut commits, mut bytes) = (Vec::<CommitBody>::with_capacity(page.commits.len()), 0);
    for (hash, commit) in &page.commits {
        if bytes >= max_bytes
            && let Some(last) = commits.last()
        {
            let listed_to = last.revision;
            return (commits, listed_to);
        }
        let body = CommitBody::new(commit, *hash);
        let values = body.changes.iter().map(|change| {
            let base64 = change.value_base64.as_ref().map_or(0, String::len);
            change.value.as_ref().map_or(base64, |value| value.get().len())
        });
        bytes += values.sum::<usize>() + COMMIT_BYTES;
        commits.push(body);
    }
    (commits, page.scanned_to)
}

/// What is still to be listed: the revisions after `from` up to `upto`.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: u64,
    upto: u64,
}

impl Span {
    fn resume(cursor: &Cursor) -> Result<Self, Problem> {
        let from = <[u8; 8]>::try_from(cursor.payload.as_slice());
        let from = from.map_err(|_| Problem::invalid_cursor(&"the cursor is damaged"))?;
        Ok(Self { from: u64::from_le_bytes(from), upto: cursor.revision })
    }

    fn cursor(self, stream_id: StreamId) -> Cursor {
        Cursor { stream_id, revision: self.upto, payload: self.from.to_le_bytes().to_vec() }
    }
}

/// What one page is to hold.
struct Wanted<'a> {
    span: Span,
    actor: Option<&'a str>,
    limit: usize,
    max_bytes: usize,
}

impl Desk {
    async fn commits(&self, wanted: &Wanted<'_>) -> Result<CommitsPage, Problem> {
        let Span { from, upto } = wanted.span;
        if from >= upto {
            return Ok(CommitsPage { commits: Vec::new(), scanned_to: upto });
        }
        match self.relay.replica.tail().oldest() {
            Some(oldest) if from < oldest => match &self.relay.history {
                Some(history) => self.ask_history(history.as_ref(), wanted).await,
                None => Err(Problem::revision_compacted(from, oldest)),
            },
            _ => self.tail_page(wanted),
        }
    }

    /// A page from the tail, read piece by piece: whoever extends it waits for whoever reads it.
    fn tail_page(&self, wanted: &Wanted<'_>) -> Result<CommitsPage, Problem> {
        let Span { from, upto } = wanted.span;
        let mut page = CommitsPage { commits: Vec::new(), scanned_to: from };
        let mut bytes = 0usize;
        while page.scanned_to < upto {
            let read =
                self.relay.replica.tail().after(page.scanned_to, self.relay.settings.send_bytes);
            let items = match read {
                TailRead::Items(items) => items,
                // It moved on meanwhile: what was found is a page, and the next one comes from history.
                TailRead::Behind { .. } if page.scanned_to > from => return Ok(page),
                TailRead::Behind { oldest } => {
                    return Err(Problem::revision_compacted(from, oldest));
                }
            };
            if items.is_empty() {
                return Err(Problem::not_ready("this server begins anew from an older state"));
            }
            for item in items.iter().take_while(|item| item.head.revision <= upto) {
                if page.commits.len() >= wanted.limit || bytes >= wanted.max_bytes {
                    return Ok(page);
                }
                page.scanned_to = item.head.revision;
                if wanted.actor.is_none_or(|actor| *actor == *item.commit.actor) {
                    bytes += item.record.len() / 3 * 4 + COMMIT_BYTES;
                    page.commits.push((item.head.hash, item.commit.clone()));
                }
            }
        }
        Ok(page)
    }

    /// A page from history, as far as that is; the next page goes on in the tail, or where history is then.
    async fn ask_history(
        &self,
        history: &dyn History,
        wanted: &Wanted<'_>,
    ) -> Result<CommitsPage, Problem> {
        let Span { from, upto } = wanted.span;
        let held = self.check_history(history).await?;
        let upto = upto.min(held);
        if from >= upto {
            return Err(behind(held));
        }
        let max_bytes = wanted.max_bytes / 4 * 3;
        let query = CommitsQuery {
            after: from,
            upto,
            actor: wanted.actor.map(str::to_owned),
            limit: wanted.limit,
            max_bytes,
            ..CommitsQuery::default()
        };
        let page = history.commits(query).await;
        page.map_err(|error| match error {
            HistoryError::Unavailable(why) => Problem::not_ready(&why),
            HistoryError::Compacted { oldest } => Problem::revision_compacted(from, oldest),
        })
    }

    /// The chain hash at a revision that left the tail; none when history cannot tell.
    pub(crate) async fn hash_in_history(&self, revision: u64) -> Option<Hash> {
        let history = self.relay.history.as_deref()?;
        let held = self.check_history(history).await.ok()?;
        if revision > held {
            return None;
        }
        history.hash_at(revision).await.ok()?
    }

    /// The revision up to which history stands on the same chain as this server.
    async fn check_history(&self, history: &dyn History) -> Result<u64, Problem> {
        let held = history.head().await.map_err(|error| Problem::not_ready(&error.to_string()))?;
        // Both read the same log, so one may be ahead of the other for a moment.
        let replica = &self.relay.replica;
        let _ = tokio::time::timeout(AHEAD, replica.wait_for(held.revision)).await;
        match replica.tail().hash_at(held.revision) {
            Some(hash) if hash == held.hash => Ok(held.revision),
            Some(_) => Err(Problem::not_ready(
                "the history that is kept here belongs to another chain: a person must look",
            )),
            None => Err(behind(held.revision)),
        }
    }
}

fn behind(held: u64) -> Problem {
    Problem::not_ready(&format!("history is at revision {held} and catches up"))
}
