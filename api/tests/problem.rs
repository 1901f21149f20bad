//! Problems: every code of the API with its status, and what a client makes of any answer.

use headwater_api::{Code, Expected, Failure, Problem};

/// The table of API.md, word for word.
const TABLE: &[(u16, &[&str])] = &[
    (400, &["invalid_request", "invalid_name", "invalid_json", "invalid_cursor"]),
    (403, &["reserved_namespace"]),
    (404, &["key_not_found", "revision_in_future", "not_found"]),
    (405, &["method_not_allowed"]),
    (406, &["not_acceptable"]),
    (408, &["request_timeout"]),
    (409, &["conflict", "idempotency_key_in_use", "wrong_stream", "wrong_chain"]),
    (410, &["revision_compacted"]),
    (412, &["precondition_failed"]),
    (413, &["value_too_large", "commit_too_large", "too_many_changes"]),
    (415, &["unsupported_media_type"]),
    (416, &["range_not_satisfiable"]),
    (422, &["idempotency_key_reused"]),
    (429, &["overloaded"]),
    (431, &["headers_too_large"]),
    (500, &["internal"]),
    (503, &["log_unavailable", "not_ready", "contended", "shutting_down"]),
    (504, &["outcome_unknown", "revision_not_reached"]),
];

#[test]
fn the_codes_are_those_of_the_api_with_their_statuses() {
    let mut told: Vec<(u16, &str)> = TABLE
        .iter()
        .flat_map(|(status, codes)| codes.iter().map(|code| (*status, *code)))
        .collect();
    let mut ours: Vec<(u16, &str)> =
        Code::ALL.iter().map(|code| (code.status(), code.as_str())).collect();
    told.sort_unstable();
    ours.sort_unstable();
    assert_eq!(ours, told);
    for code in Code::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
    }
}

#[test]
fn exactly_429_and_503_name_a_wait() {
    for code in Code::ALL {
        let waits = Problem::new(*code, "x").retry_after.is_some();
        assert_eq!(waits, matches!(code.status(), 429 | 503), "{code}");
        assert!(!waits || code.is_retryable(), "{code}");
    }
    assert!(Code::OutcomeUnknown.is_retryable() && !Code::OutcomeUnknown.nothing_done());
    assert!(!Code::Conflict.is_retryable() && !Code::Internal.is_retryable());
}

#[test]
fn a_problem_reads_as_rfc_9457_says_and_comes_back() {
    let problem = Problem::value_too_large(262_144, 300_000);
    let json = problem.to_json();
    assert_eq!(
        json,
        "{\"type\":\"urn:headwater:problem:value_too_large\",\"title\":\"The value is too large\",\"status\":413,\
         \"detail\":\"the value has 300000 bytes, the most is 262144; store a reference to it instead\",\
         \"code\":\"value_too_large\",\"actual\":300000,\"limit\":262144}"
    );
    assert_eq!(Problem::of_answer(413, json.as_bytes()), problem);
}

#[test]
fn a_conflict_names_every_failure() {
    let failure = |index, expected| Failure {
        index,
        namespace: "a".parse().unwrap(),
        key: "k".parse().unwrap(),
        expected,
        current_revision: 4,
    };
    let failures = [
        failure(Some(0), Expected::Revision(3)),
        failure(None, Expected::Absent),
        failure(Some(2), Expected::Exists),
        failure(Some(3), Expected::BaseRevision(1)),
    ];
    let problem = Problem::conflict(&failures);
    assert_eq!(
        problem.fields["failures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["expected"].to_string())
            .collect::<Vec<_>>(),
        ["{\"revision\":3}", "{\"absent\":true}", "{\"exists\":true}", "{\"base_revision\":1}"]
    );
    assert!(problem.fields["failures"][1]["index"].is_null());
    assert_eq!(Problem::of_answer(409, problem.to_json().as_bytes()).failures(), failures);
}

#[test]
fn an_expectation_holds_or_not() {
    for (expected, current, holds) in [
        (Expected::Revision(3), 3, true),
        (Expected::Revision(3), 4, false),
        (Expected::Revision(0), 0, true),
        (Expected::Absent, 0, true),
        (Expected::Absent, 1, false),
        (Expected::Exists, 1, true),
        (Expected::Exists, 0, false),
        (Expected::BaseRevision(3), 3, true),
        (Expected::BaseRevision(3), 4, false),
    ] {
        assert_eq!(expected.holds(current), holds, "{expected:?} at {current}");
    }
}

#[test]
fn any_answer_becomes_a_problem() {
    let proxy = Problem::of_answer(502, b"<html>Bad gateway</html>");
    assert_eq!((proxy.status, proxy.code), (502, Code::NotReady));
    assert!(proxy.detail.contains("Bad gateway"), "{}", proxy.detail);
    let newer =
        Problem::of_answer(409, b"{\"code\": \"from_the_future\", \"detail\": \"do this\"}");
    assert_eq!((newer.status, newer.code, newer.detail.as_str()), (409, Code::Conflict, "do this"));
    let gateway = Problem::of_answer(504, b"");
    assert_eq!(gateway.code, Code::OutcomeUnknown);
    assert!(!Problem::of_answer(418, b"\xff\xfe").is_retryable());
}
