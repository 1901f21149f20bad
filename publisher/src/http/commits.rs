//! `POST /v1/commits`: a change set, all or nothing; with `dry_run=true`, what would come of it.

use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::response::Response;
use headwater_api::{CommitRequest, Problem, Proposal};
use headwater_server::{ApiResult, BodyTimeout, Json, Precondition, Query, read_body};

use super::answer;
use crate::{Kind, Write, Writer, admit};

/// How much larger than the record it describes a JSON body may be: escapes, base64, names of fields.
const BODY_FACTOR: usize = 4;

#[derive(Debug, Default, serde::Deserialize)]
pub(crate) struct Options {
    #[serde(default)]
    dry_run: bool,
}

pub(crate) async fn commit(
    State(writer): State<Writer>,
    Query(Options { dry_run }): Query<Options>,
    request: Request,
) -> ApiResult<Response> {
    let (parts, body) = request.into_parts();
    let timeout = parts.extensions.get::<BodyTimeout>().copied();
    let limit = writer.settings().max_record_bytes.saturating_mul(BODY_FACTOR);
    let body = read_body(body, limit, timeout, Problem::commit_too_large).await?;
    admit::condition::none(&parts.headers)?;
    let idempotency = admit::idempotency::of(Kind::Commit, &parts, &body)?;
    let again = Request::from_parts(parts.clone(), Body::from(body));
    let Json(asked) = Json::<CommitRequest>::from_request(again, &()).await?;
    let mut proposal = Proposal::try_from(asked)?;
    admit::size::check(&proposal, writer.settings())?;
    admit::provenance::complete(&mut proposal, &parts.headers)?;
    let condition = Precondition::None;
    answer::write(&writer, Write { kind: Kind::Commit, proposal, condition, idempotency, dry_run })
        .await
}
