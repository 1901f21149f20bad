//! `GET /v1/commits/{revision}`: one commit, or its record.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use headwater_api::{CommitBody, Problem, header, paths};
use headwater_replica::CommitsQuery;
use headwater_schemas::{Genesis, Hash};
use headwater_server::{ApiError, ApiResult, NoQuery, Query, accepts, stamp};
use http::header::{CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Uri};

use crate::relay::Desk;

/// A commit of the chain. 0 is the genesis, which founded the stream.
#[utoipa::path(get, path = "/v1/commits/{revision}", operation_id = "get_commit", tag = "read",
    params(
        ("revision" = u64, Path, description = "Its revision"),
        ("Accept" = Option<String>, Header, description = "`application/vnd.headwater.commit+avro` for the record as stored; anything else is ignored"),
    ),
    responses(
        (status = 200, description = "The commit; or its record's bytes, whose BLAKE3 is its hash",
            content((headwater_api::CommitBody = "application/json"), (Vec<u8> = "application/vnd.headwater.commit+avro"))),
        (status = 404, description = "`revision_in_future`: above the head", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = 410, description = "`revision_compacted` with `oldest_revision`: this server keeps no older commits", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = "default", description = "A problem", content_type = "application/problem+json", body = headwater_api::Problem),
    ))]
pub(crate) async fn get(
    State(desk): State<Arc<Desk>>,
    uri: Uri,
    _: Query<NoQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let named = paths::decode_text(uri.path().rsplit('/').next().unwrap_or_default());
    let revision = number(&named.map_err(|error| Problem::invalid_request(error.to_string()))?)?;
    let head = *desk.view()?.head();
    if revision > head.revision {
        return Err(Problem::revision_in_future(revision, head.revision).into());
    }
    let mut answer = HeaderMap::new();
    stamp(&mut answer, head.revision, head.stream_id);
    answer.insert(VARY, HeaderValue::from_static("Accept"));
    if accepts(&headers, header::COMMIT_AVRO) {
        answer.insert(CONTENT_TYPE, HeaderValue::from_static(header::COMMIT_AVRO));
        return Ok((answer, desk.record(revision).await?).into_response());
    }
    let body = if revision == 0 { desk.genesis().await? } else { desk.commit(revision).await? };
    Ok((answer, axum::Json(body)).into_response())
}

fn number(text: &str) -> Result<u64, Problem> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wrong = || {
        let shown: String = text.chars().take(64).collect();
        Problem::invalid_request(format!("{shown:?} is no revision; write digits only"))
    };
    is_number.then(|| text.parse().ok()).flatten().ok_or_else(wrong)
}

fn missing(revision: u64) -> Problem {
    Problem::not_ready(&format!("history does not know revision {revision}"))
}

impl Desk {
    async fn record(&self, revision: u64) -> Result<bytes::Bytes, Problem> {
        let record = self.ask(revision, |history| history.record(revision)).await?;
        record.filter(|record| !record.is_empty()).ok_or_else(|| missing(revision))
    }

    async fn commit(&self, revision: u64) -> Result<CommitBody, Problem> {
        let query = CommitsQuery {
            after: revision - 1,
            upto: revision,
            limit: 1,
            max_bytes: usize::MAX,
            ..CommitsQuery::default()
        };
        let page = self.commits(&query).await?;
        let (hash, commit) = page.commits.first().ok_or_else(|| missing(revision))?;
        Ok(CommitBody::new(commit, *hash))
    }

    async fn genesis(&self) -> ApiResult<CommitBody> {
        let record = self.record(0).await?;
        let genesis = Genesis::decode(&record).map_err(ApiError::internal)?;
        let commit = genesis.commit().map_err(ApiError::internal)?;
        Ok(CommitBody::new(&commit, Hash::of(&record)))
    }
}
