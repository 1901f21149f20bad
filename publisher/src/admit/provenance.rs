//! Who, why, and where it was traced: from the body, else from the headers.

use headwater_api::{Problem, Proposal, trace};
use headwater_server::Provenance;
use http::HeaderMap;

/// Completes a proposal with what the headers say.
pub(crate) fn complete(proposal: &mut Proposal, headers: &HeaderMap) -> Result<(), Problem> {
    let Provenance { actor, reason, traceparent } = Provenance::of(headers)?;
    proposal.actor = proposal.actor.take().or(actor);
    proposal.reason = proposal.reason.take().or(reason);
    if let Some(traceparent) = traceparent {
        proposal.attributes.entry(trace::ATTRIBUTE.into()).or_insert(traceparent);
    }
    Ok(())
}
