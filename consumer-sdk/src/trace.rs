//! Where a commit is followed from the request that made it, into this process.

use headwater_api::trace;
use headwater_replica::Seen;
use tracing::{Span, debug_span};

/// From the commit's arrival at the handles until each has it, in the trace of the request that made it; none where that
/// had none.
pub(crate) fn hand_over(step: &Seen) -> Option<Span> {
    let Seen::Applied { applied, .. } = step else { return None };
    let traceparent = applied.commit.attributes.get(trace::ATTRIBUTE)?.as_str();
    let revision = applied.head.revision;
    Some(debug_span!(target: trace::TARGET, "hand_over", traceparent, revision))
}
