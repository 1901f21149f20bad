//! What `put` and `delete` have in common: who, why, once, and what is told afterwards.

use headwater_client::{ClientError, If, Write, Written};

use crate::args::Provenance;
use crate::exit::{Exit, Failure};
use crate::output;

/// A write that lands once however often it is sent: with a key of its own when none was given.
pub(super) fn write(
    provenance: Provenance,
    condition: If,
    idempotency_key: Option<String>,
) -> Write {
    let key = idempotency_key.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    Write {
        actor: provenance.actor,
        reason: provenance.reason,
        idempotency_key: Some(key),
        condition,
        ..Write::default()
    }
}

/// A write that failed: whether anything may have happened decides what to do.
pub(super) fn failed(write: &Write, error: ClientError) -> Failure {
    let refused = matches!(error, ClientError::Problem(_) | ClientError::Setting(_));
    let failure = if refused || error.nothing_done() {
        Failure::from(error)
    } else {
        Failure::new(Exit::Unknown, error)
    };
    if failure.exit() != Exit::Unknown {
        return failure;
    }
    let key = write.idempotency_key.as_deref().unwrap_or_default();
    failure.hint(format!(
        "the write may or may not have happened; run it again with --idempotency-key {key}"
    ))
}

/// Tells what became of it.
pub(super) fn told(written: &Written, done: &str, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(&written.receipt);
    }
    let version =
        written.receipt.version.map(|version| format!(", version {version}")).unwrap_or_default();
    let replayed = if written.replayed { " (done before)" } else { "" };
    output::line(format_args!("{done} at revision {}{version}{replayed}", written.receipt.revision))
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_api::{Code, Problem};

    #[test]
    fn a_write_whose_fate_is_open_names_the_key_to_try_it_again_with() {
        let how = write(Provenance::default(), If::Anything, None);
        let key = how.idempotency_key.clone().unwrap();
        for code in [Code::OutcomeUnknown, Code::IdempotencyKeyInUse] {
            let told = failed(&how, ClientError::Problem(Problem::new(code, "open"))).to_string();
            assert!(told.contains(&format!("--idempotency-key {key}")), "{told}");
        }
        let refused = failed(&how, ClientError::Problem(Problem::new(Code::Conflict, "no")));
        assert!(!refused.to_string().contains("--idempotency-key"), "{refused}");
    }
}
