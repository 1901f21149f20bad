//! `PUT /v1/config/{ns}/{key}`: sets one value to the bytes of the body.

use axum::extract::{Request, State};
use axum::response::Response;
use headwater_api::{Problem, Proposal, ProposedChange, ProposedOp, paths};
use headwater_server::{ApiResult, BodyLimits, KeyPath, NoQuery, Query, read_body};

use super::answer;
use crate::{Kind, Write, Writer, admit};

pub(crate) async fn put(
    State(writer): State<Writer>,
    KeyPath { namespace, key }: KeyPath,
    Query(NoQuery {}): Query<NoQuery>,
    request: Request,
) -> ApiResult<Response> {
    let (parts, body) = request.into_parts();
    let limits = BodyLimits::of(&parts.extensions);
    let limit = writer.settings().max_value_bytes;
    let value = read_body(body, limit, &limits, Problem::value_too_large).await?;
    let content_type = admit::json::content_type(&parts.headers, &value)?;
    let condition = admit::condition::of_key(&parts.headers)?;
    let path = paths::config(&namespace, &key);
    let idempotency = admit::idempotency::of(Kind::Put, &path, &parts, &value)?;
    let op = ProposedOp::Put { content_type, value };
    let change = ProposedChange { namespace, key, op, expect: None };
    let mut proposal = Proposal { changes: vec![change], ..Proposal::default() };
    admit::provenance::complete(&mut proposal, &parts.headers)?;
    let write =
        Write { kind: Kind::Put, proposal, rollback: None, condition, idempotency, dry_run: false };
    answer::write(&writer, write).await
}
