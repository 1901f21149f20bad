//! Sizes of values, and how many changes one commit may hold.

use headwater_api::{Problem, Proposal, ProposedOp};

use crate::settings::Settings;

/// Checks the limits that are settings. The encoded commit is measured where it is encoded.
pub(crate) fn check(proposal: &Proposal, settings: &Settings) -> Result<(), Problem> {
    let count = proposal.changes.len();
    if count > settings.max_changes {
        return Err(Problem::too_many_changes(settings.max_changes, count));
    }
    let guards = proposal.expects.len();
    if guards > settings.max_changes {
        return Err(Problem::invalid_request(format!(
            "expects names {guards} keys; the most is {}",
            settings.max_changes
        )));
    }
    let mut sum = 0usize;
    for (index, change) in proposal.changes.iter().enumerate() {
        let ProposedOp::Put { value, .. } = &change.op else { continue };
        if value.len() > settings.max_value_bytes {
            let problem = Problem::value_too_large(settings.max_value_bytes, value.len());
            let detail = format!("{}/{}: {}", change.namespace, change.key, problem.detail);
            return Err(Problem { detail, ..problem }.with("index", index));
        }
        sum = sum.saturating_add(value.len());
    }
    // A commit is larger than its values: no need to encode what cannot fit.
    if sum > settings.max_record_bytes {
        return Err(Problem::commit_too_large(settings.max_record_bytes, sum));
    }
    Ok(())
}
