//! Where a commit is followed from the request that made it.

use headwater_api::trace;
use headwater_schemas::Commit;
use tracing::{Span, debug_span};

/// From the fold's end until everybody here knows, in the trace of the request that made the commit; none where that
/// had none.
pub(crate) fn apply(commit: &Commit) -> Span {
    let Some(traceparent) = commit.attributes.get(trace::ATTRIBUTE) else { return Span::none() };
    let (traceparent, revision) = (traceparent.as_str(), commit.revision);
    debug_span!(target: trace::TARGET, "apply", traceparent, revision)
}
