//! `POST /v1/rollback`: an older state as a new commit; with `dry_run=true`, what would come of it.

use axum::extract::{Request, State};
use axum::response::Response;
use headwater_api::{Problem, Proposal, ProposedRollback, ROLLBACK_TO, RollbackRequest, paths};
use headwater_server::{ApiResult, BodyLimits, Precondition, Query, read_body, read_json};

use super::answer;
use super::commits::Options;
use crate::{Kind, Rollback, Write, Writer, admit};

/// Names and texts have their own limits; this is what they may take as JSON.
const MAX_BODY_BYTES: usize = 32 * 1024;

pub(crate) async fn rollback(
    State(writer): State<Writer>,
    Query(Options { dry_run }): Query<Options>,
    request: Request,
) -> ApiResult<Response> {
    let (parts, body) = request.into_parts();
    let limits = BodyLimits::of(&parts.extensions);
    let too_large = |limit, actual| {
        Problem::invalid_request(format!(
            "the body has {actual} bytes or more, and the names and texts of a rollback take at most {limit}"
        ))
    };
    let body = read_body(body, MAX_BODY_BYTES, &limits, too_large).await?;
    admit::condition::none(&parts.headers)?;
    let idempotency = admit::idempotency::of(Kind::Rollback, paths::ROLLBACK, &parts, &body)?;
    let asked: RollbackRequest = read_json(&parts.headers, &body)?;
    let (mut proposal, rollback) = proposal(ProposedRollback::try_from(asked)?);
    admit::provenance::complete(&mut proposal, &parts.headers)?;
    if proposal.reason.is_none() {
        return Err(Problem::invalid_request(
            "say why: a rollback wants a reason, in the body or in the header Headwater-Reason",
        )
        .into());
    }
    let (kind, condition) = (Kind::Rollback, Precondition::None);
    let rollback = Some(rollback);
    answer::write(&writer, Write { kind, proposal, rollback, condition, idempotency, dry_run })
        .await
}

/// What the commit says whatever it will change, and what is to be restored.
fn proposal(asked: ProposedRollback) -> (Proposal, Rollback) {
    let ProposedRollback { namespace, keys, to_revision, reason, actor, base_revision } = asked;
    let attributes = [(ROLLBACK_TO.to_owned(), to_revision.to_string())].into();
    let proposal = Proposal { reason, actor, attributes, base_revision, ..Proposal::default() };
    (proposal, Rollback { namespace, keys, to_revision })
}
