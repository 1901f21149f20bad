//! `DELETE /v1/config/{ns}/{key}`: removes one key.

use axum::extract::{Request, State};
use axum::response::Response;
use headwater_api::{Problem, Proposal, ProposedChange, ProposedOp, paths};
use headwater_server::{ApiResult, BodyLimits, KeyPath, NoQuery, Query, read_body};

use super::answer;
use crate::{Kind, Write, Writer, admit};

pub(crate) async fn delete(
    State(writer): State<Writer>,
    KeyPath { namespace, key }: KeyPath,
    Query(NoQuery {}): Query<NoQuery>,
    request: Request,
) -> ApiResult<Response> {
    let (parts, body) = request.into_parts();
    let limits = BodyLimits::of(&parts.extensions);
    let no_body = |_, _| Problem::invalid_request("DELETE takes no body");
    read_body(body, 0, &limits, no_body).await?;
    let condition = admit::condition::of_key(&parts.headers)?;
    let path = paths::config(&namespace, &key);
    let idempotency = admit::idempotency::of(Kind::Delete, &path, &parts, &[])?;
    let change = ProposedChange { namespace, key, op: ProposedOp::Delete, expect: None };
    let mut proposal = Proposal { changes: vec![change], ..Proposal::default() };
    admit::provenance::complete(&mut proposal, &parts.headers)?;
    let write = Write {
        kind: Kind::Delete,
        proposal,
        rollback: None,
        condition,
        idempotency,
        dry_run: false,
    };
    answer::write(&writer, write).await
}
