//! What a server refuses, in the words of the command line: its flags instead of headers, fields and parameters.

use headwater_api::{Code, Expected, Failure, Problem};

/// What of a problem's detail only a program can follow, and what a person at a shell does instead.
const TRANSLATED: &[(&str, &str)] = &[
    ("; send Content-Type: text/plain for what is no JSON", ""),
    ("; /openapi.json lists what there is", "; is that the address of a Headwater server?"),
    ("try again after Retry-After", "try again in a moment"),
    ("another or again after Retry-After", "another or again in a moment"),
    ("Idempotency-Key must be", "--idempotency-key must be"),
    ("in the body or in the header Headwater-Reason", "-m TEXT"),
    (
        "send it again for narrower prefixes (a/, b/ …), or for single keys, each with the same to_revision",
        "run it again for narrower prefixes (--prefix a/, --prefix b/ …), or for single keys (--key), each with the same --to",
    ),
];

/// What is wrong.
pub(crate) fn message(problem: &Problem) -> String {
    told(problem).unwrap_or_else(|| translated(&problem.detail))
}

/// What the codes say whose fields say more than their detail, or whose detail speaks of the API.
fn told(problem: &Problem) -> Option<String> {
    let number = |name| problem.number(name);
    Some(match problem.code {
        Code::Conflict => conflict(&problem.failures()),
        Code::PreconditionFailed => {
            format!("{}, nothing was written", now(number("current_revision")?))
        }
        Code::RevisionInFuture => {
            format!("there is no such revision yet: the newest is {}", number("head_revision")?)
        }
        Code::RevisionNotReached => {
            format!(
                "the server is at revision {}, and did not get there in time",
                number("revision")?
            )
        }
        Code::RevisionCompacted => {
            format!("that revision is no longer kept: the oldest is {}", number("oldest_revision")?)
        }
        Code::OutcomeUnknown => "the write may or may not have happened".to_owned(),
        Code::IdempotencyKeyInUse => {
            "the first try with this --idempotency-key is still under way".to_owned()
        }
        Code::IdempotencyKeyReused => {
            "this --idempotency-key was used for another write; give each write one of its own"
                .to_owned()
        }
        _ => return None,
    })
}

fn translated(detail: &str) -> String {
    TRANSLATED.iter().fold(detail.to_owned(), |text, (api, shell)| text.replace(api, shell))
}

/// Where a key stands.
fn now(revision: u64) -> String {
    match revision {
        0 => "the key is absent".to_owned(),
        revision => format!("the key was last changed by revision {revision}"),
    }
}

/// The most preconditions told one by one: nobody reads a thousand lines.
const LINES: usize = 20;

/// Preconditions that do not hold, one a line.
pub(crate) fn conflict(failures: &[Failure]) -> String {
    let what = match failures.len() {
        1 => "a precondition does not hold".to_owned(),
        count => format!("{count} preconditions do not hold"),
    };
    let lines = failures.iter().take(LINES).map(|failure| format!("\n  {}", line(failure)));
    let more = failures.len().saturating_sub(LINES);
    let more = if more == 0 { String::new() } else { format!("\n  and {more} more") };
    format!("{what}, nothing was written:{}{more}", lines.collect::<String>())
}

fn line(failure: &Failure) -> String {
    let Failure { namespace, key, expected, current_revision: current, .. } = failure;
    let is = match current {
        0 => "is absent".to_owned(),
        revision => format!("was last changed by revision {revision}"),
    };
    let but = match expected {
        Expected::Revision(0) | Expected::Absent => "and should be absent".to_owned(),
        Expected::Revision(revision) => format!("not by {revision}"),
        Expected::Exists => "and should be there".to_owned(),
        Expected::BaseRevision(base) => format!("and should not have changed after {base}"),
    };
    format!("{namespace}/{key} {is}, {but}")
}

/// What to do next, whatever the command was.
pub(crate) fn hint(problem: &Problem) -> Option<&'static str> {
    match problem.code {
        Code::InvalidJson => {
            Some("quote text as JSON ('\"text\"'), or say what it is: --content-type text/plain")
        }
        Code::RevisionInFuture => {
            Some("`headwater status` says how far the server is, `headwater watch` what comes")
        }
        Code::RevisionNotReached => Some("run it again, or ask another server (--server URL)"),
        Code::RevisionCompacted => Some("ask for that revision or a later one"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use headwater_schemas::StreamId;

    use super::*;

    /// What only a program that speaks HTTP can use.
    const OF_THE_API: &[&str] = &[
        "min_revision=",
        "in failures",
        "Retry-After",
        "Idempotency-Key",
        "Content-Type",
        "Headwater-Reason",
        "/v1/",
        "/openapi.json",
        "to_revision",
        "If-Match",
    ];

    fn failure(expected: Expected, current_revision: u64) -> Failure {
        let (namespace, key) = ("demo".parse().unwrap(), "k".parse().unwrap());
        Failure { index: None, namespace, key, expected, current_revision }
    }

    #[test]
    fn no_refusal_tells_a_person_at_a_shell_of_headers_fields_or_paths() {
        let json = Problem::new(
            Code::InvalidJson,
            "the value is not JSON: x at line 1, column 1; send Content-Type: text/plain for what is no JSON",
        );
        let reason =
            "say why: a rollback wants a reason, in the body or in the header Headwater-Reason";
        for problem in [
            json,
            Problem::invalid_request(reason),
            Problem::invalid_request("Idempotency-Key must be 1 to 255 visible ASCII characters"),
            Problem::revision_in_future(99, 3),
            Problem::revision_not_reached(99, 3),
            Problem::revision_compacted(1, 3),
            Problem::conflict(&[failure(Expected::Absent, 3)]),
            Problem::precondition_failed(3),
            Problem::idempotency_key_in_use(),
            Problem::idempotency_key_reused(),
            Problem::outcome_unknown(),
            Problem::overloaded("the queue is full"),
            Problem::log_unavailable("no broker"),
            Problem::not_ready("no state yet"),
            Problem::contended(),
            Problem::shutting_down(),
            Problem::not_found("/x"),
            Problem::too_many_changes(1_000, 2_000).in_steps(7),
            Problem::commit_too_large(1_000, 2_000).in_steps(7),
            Problem::wrong_stream("x", StreamId::from_hex(&"0".repeat(32)).unwrap()),
            Problem::request_timeout(Duration::from_secs(1)),
        ] {
            let told = format!("{} {:?}", message(&problem), hint(&problem));
            let api = OF_THE_API.iter().find(|word| told.contains(**word));
            assert!(api.is_none(), "{api:?} in {told}");
        }
    }

    #[test]
    fn each_precondition_says_what_is_and_what_should_be() {
        let told = conflict(&[
            failure(Expected::Revision(3), 4),
            failure(Expected::Absent, 4),
            failure(Expected::Exists, 0),
            failure(Expected::BaseRevision(2), 4),
        ]);
        let wanted = "4 preconditions do not hold, nothing was written:\
                      \n  demo/k was last changed by revision 4, not by 3\
                      \n  demo/k was last changed by revision 4, and should be absent\
                      \n  demo/k is absent, and should be there\
                      \n  demo/k was last changed by revision 4, and should not have changed after 2";
        assert_eq!(told, wanted);
        let many = conflict(&vec![failure(Expected::Absent, 4); LINES + 3]);
        assert!(many.ends_with("\n  and 3 more") && many.lines().count() == LINES + 2, "{many}");
    }
}
