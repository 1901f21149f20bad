//! `GET /v1/stream`: live commits as binary frames.

mod frames;
mod session;
mod subscription;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use headwater_api::{Problem, Succession, header};
use headwater_replica::TailRead;
use headwater_schemas::{Hash, Word};
use headwater_server::{ApiResult, Query, not_acceptable_unless};
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

pub(crate) use frames::Frames;
use session::Session;
use subscription::Subscription;

use crate::relay::Desk;

#[derive(Debug, serde::Deserialize)]
pub(crate) struct Parameters {
    after: Option<u64>,
    hash: Option<String>,
    namespaces: Option<String>,
}

/// Everything after a revision, and then whatever comes, until one of the two hangs up.
#[utoipa::path(get, path = "/v1/stream", operation_id = "stream", tag = "follow",
    params(
        ("after" = Option<u64>, Query, description = "The revision that the client has; the head by default. Above the head it waits"),
        ("hash" = Option<String>, Query, description = "The chain hash at that revision, in hex"),
        ("namespaces" = Option<String>, Query, description = "`a,b`: only what concerns them, filtered; `_schemas` belongs to every choice"),
    ),
    responses(
        (status = 200, description = "Frames: a length (u32, little-endian), then Avro; heartbeats at once and every 5 s", content_type = "application/vnd.headwater.stream+avro", body = Vec<u8>),
        (status = 409, description = "`wrong_chain`: the hash here is another", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = 410, description = "`revision_compacted` with `oldest_revision`: take an image", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = "default", description = "A problem", content_type = "application/problem+json", body = headwater_api::Problem),
    ))]
pub(crate) async fn get(
    State(desk): State<Arc<Desk>>,
    Query(query): Query<Parameters>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    not_acceptable_unless(&headers, &[header::STREAM_AVRO])?;
    let subscription = query.namespaces.as_deref().map(Subscription::parse).transpose()?;
    let hash = query.hash.as_deref().map(parse_hash).transpose()?;
    let head = *desk.view()?.head();
    let (after, hash) = match (query.after, hash) {
        (Some(after), hash) => (after, hash),
        (None, None) => (head.revision, Some(head.hash)),
        (None, Some(_)) => {
            return Err(Problem::invalid_request(
                "hash: give after, too, the revision it belongs to",
            )
            .into());
        }
    };
    desk.check_start(after, hash).await?;
    if desk.relay.shutdown.is_cancelled() {
        return Err(Problem::shutting_down().into());
    }
    let session = Session::new(desk, subscription, after, hash);
    let answer = [(CONTENT_TYPE, header::STREAM_AVRO), (CACHE_CONTROL, "no-store")];
    Ok((answer, Body::from_stream(session.frames())).into_response())
}

fn parse_hash(text: &str) -> Result<Hash, Problem> {
    Hash::from_hex(text)
        .ok_or_else(|| Problem::invalid_request("hash: 64 hex digits, the chain hash at after"))
}

impl Desk {
    /// Refuses a start that the tail does not reach, or that is not on this chain. One above the head waits.
    async fn check_start(&self, after: u64, hash: Option<Hash>) -> Result<(), Problem> {
        let tail = self.relay.replica.tail();
        let differs =
            |ours: Option<Hash>| ours.zip(hash).is_some_and(|(ours, theirs)| ours != theirs);
        // On a stream that was founded anew, a client of the old one may be above the head: it must not wait there.
        let left = hash.is_some_and(|hash| self.has_left(after, hash));
        if left || differs(tail.hash_at(after)) {
            return Err(self.wrong_chain(after, left));
        }
        match tail.after(after, 0) {
            TailRead::Items(_) => Ok(()),
            TailRead::Behind { oldest } => {
                // An image hides a fork: a client of another chain must be told before it takes one.
                if hash.is_some() && differs(self.hash_in_history(after).await) {
                    return Err(self.wrong_chain(after, false));
                }
                self.want_image();
                Err(Problem::revision_compacted(after, oldest))
            }
        }
    }

    /// Whether a place is of a chain that this stream has left: here, or by the word of its founder.
    fn has_left(&self, revision: u64, hash: Hash) -> bool {
        let founded_from = self.view().ok().and_then(|view| match view.succession()?.word {
            Word::Supersedes(point, _) => Some(point),
            _ => None,
        });
        founded_from.is_some_and(|point| (point.revision, point.hash) == (revision, hash))
            || self.relay.replica.has_left(revision, hash)
    }

    /// The refusal of a client that is not on this chain; `known`: it is on the one that this stream has left.
    pub(crate) fn wrong_chain(&self, after: u64, known: bool) -> Problem {
        let succession = self.view().ok().and_then(|view| {
            let told = view.succession()?;
            Some(Succession { from: told.word.point(), since: told.since, known })
        });
        Problem::wrong_chain(after).led_on(succession.as_ref())
    }
}
