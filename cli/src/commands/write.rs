//! What `put` and `delete` have in common: who, why, once, and what is told afterwards.

use headwater_client::{ClientError, If, Write, Written};
use headwater_schemas::{Key, Namespace};

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

/// Why a write failed, and whether anything may have happened.
pub(super) fn outcome(error: ClientError) -> Failure {
    let refused = matches!(error, ClientError::Problem(_) | ClientError::Setting(_));
    if refused || error.nothing_done() {
        Failure::from(error)
    } else {
        Failure::new(Exit::Unknown, error)
    }
}

/// A write that failed: whether anything may have happened decides what to do.
pub(super) fn failed(write: &Write, error: ClientError) -> Failure {
    let failure = outcome(error);
    if failure.exit() != Exit::Unknown {
        return failure;
    }
    let key = write.idempotency_key.as_deref().unwrap_or_default();
    failure.hint(format!(
        "the write may or may not have happened; run it again with --idempotency-key {key}"
    ))
}

/// A write of one key that failed: where its condition does not hold, the flag that would.
pub(super) fn refused(
    write: &Write,
    namespace: &Namespace,
    key: &Key,
    error: ClientError,
) -> Failure {
    let current = match &error {
        ClientError::Problem(problem) => problem.number("current_revision"),
        _ => None,
    };
    let failure = failed(write, error);
    let Some(current) = current else { return failure };
    let look = format!("look at it (`headwater get {namespace} {key}`)");
    failure.hint(match (write.condition, current) {
        (If::Exists, _) => "leave --if-exists out, or say --if-absent, to create it".to_owned(),
        (_, 0) => "it was deleted, or never was: --if-absent instead of --if-revision creates it"
            .to_owned(),
        (If::Absent, _) => {
            format!("{look}; --if-revision {current} instead of --if-absent replaces it")
        }
        _ => format!("{look}, decide again, and say --if-revision {current}"),
    })
}

/// Tells that nothing was written: to a program as the API does where there is nothing to write, with no `commit_id`.
pub(super) fn nothing(revision: Option<u64>, told: &str, json: bool) -> Result<(), Failure> {
    if !json {
        return output::line(told);
    }
    output::json(&serde_json::json!({ "revision": revision, "commit_id": null, "changes": [] }))
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
    fn a_condition_that_does_not_hold_names_the_flag_that_would() {
        let (namespace, key) = ("demo".parse().unwrap(), "k".parse().unwrap());
        for (condition, current, flag) in [
            (If::Revision(3), 4, "say --if-revision 4"),
            (If::Revision(3), 0, "--if-absent instead of --if-revision"),
            (If::Absent, 4, "--if-revision 4 instead of --if-absent"),
            (If::Exists, 0, "leave --if-exists out"),
        ] {
            let how = write(Provenance::default(), condition, None);
            let error = ClientError::Problem(Problem::precondition_failed(current));
            let told = refused(&how, &namespace, &key, error);
            assert_eq!(told.exit(), Exit::Precondition);
            assert!(told.to_string().contains(flag), "{told}");
        }
    }

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
