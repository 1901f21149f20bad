//! `POST /v1/commits`: a change set, all or nothing; with `dry_run=true`, what would come of it.

use axum::extract::{Request, State};
use axum::response::Response;
use headwater_api::{CommitRequest, Problem, Proposal, paths};
use headwater_server::{ApiResult, BodyLimits, Precondition, Query, read_body, read_json};

use super::answer;
use crate::{Kind, Write, Writer, admit};

/// How much larger than the record it describes a JSON body may be: a control character is six bytes of JSON, and
/// names of fields come on top.
const BODY_FACTOR: usize = 8;

#[derive(Debug, Default, serde::Deserialize)]
pub(crate) struct Options {
    #[serde(default)]
    pub(super) dry_run: bool,
}

pub(crate) async fn commit(
    State(writer): State<Writer>,
    Query(Options { dry_run }): Query<Options>,
    request: Request,
) -> ApiResult<Response> {
    let (parts, body) = request.into_parts();
    let limits = BodyLimits::of(&parts.extensions);
    let most = writer.settings().max_record_bytes;
    // What is told is the limit of a commit: how many bytes of JSON that may be is nobody's concern.
    let too_large = |_, actual| Problem::commit_too_large(most, actual);
    let body = read_body(body, most.saturating_mul(BODY_FACTOR), &limits, too_large).await?;
    admit::condition::none(&parts.headers)?;
    let idempotency = admit::idempotency::of(Kind::Commit, paths::COMMITS, &parts, &body)?;
    let asked: CommitRequest = read_json(&parts.headers, &body)?;
    drop(body);
    let mut proposal = Proposal::try_from(asked)?;
    admit::size::check(&proposal, writer.settings())?;
    admit::provenance::complete(&mut proposal, &parts.headers)?;
    let condition = Precondition::None;
    let kind = Kind::Commit;
    let write = Write { kind, proposal, rollback: None, condition, idempotency, dry_run };
    answer::write(&writer, write).await
}
