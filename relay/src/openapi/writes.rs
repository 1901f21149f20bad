//! Descriptions of the write side, which the publisher answers.

use headwater_api::{CommitRequest, DryRunBody, Problem, ReceiptBody, RollbackRequest};

/// Sets a value: one commit of one change.
///
/// The body is the value, kept exactly. Without a content type, or with a form's, it is `application/json`, and must
/// parse.
#[utoipa::path(put, path = "/v1/config/{ns}/{key}", operation_id = "put_value", tag = "write",
    params(
        ("ns" = String, Path, description = "The namespace"),
        ("key" = String, Path, description = "The key, percent-encoded; `/` and `%2F` are the same"),
        ("If-Match" = Option<String>, Header, description = "`\"<mod_revision>\"`, or `*`: it must exist"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: it must be absent"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: a retry lands once"),
        ("Headwater-Actor" = Option<String>, Header, description = "Who; percent-encoded UTF-8 allowed"),
        ("Headwater-Reason" = Option<String>, Header, description = "Why; percent-encoded UTF-8 allowed"),
    ),
    request_body(content = Vec<u8>, content_type = "*/*"),
    responses(
        (status = 200, description = "Changed", body = ReceiptBody, headers(("ETag" = String, description = "`\"<mod_revision>\"`"))),
        (status = 201, description = "New; Location names it", body = ReceiptBody, headers(("ETag" = String), ("Location" = String))),
        (status = "default", description = "A problem", content_type = "application/problem+json", body = Problem),
    ))]
#[expect(dead_code, reason = "a description; the publisher answers it")]
pub(super) fn put() {}

/// Removes a key: one commit of one change.
#[utoipa::path(delete, path = "/v1/config/{ns}/{key}", operation_id = "delete_value", tag = "write",
    params(
        ("ns" = String, Path, description = "The namespace"),
        ("key" = String, Path, description = "The key, percent-encoded; `/` and `%2F` are the same"),
        ("If-Match" = Option<String>, Header, description = "`\"<mod_revision>\"`, or `*`"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: a retry lands once"),
        ("Headwater-Actor" = Option<String>, Header, description = "Who; percent-encoded UTF-8 allowed"),
        ("Headwater-Reason" = Option<String>, Header, description = "Why; percent-encoded UTF-8 allowed"),
    ),
    responses(
        (status = 200, description = "Removed", body = ReceiptBody),
        (status = "default", description = "A problem; `key_not_found` when it is absent, and there is no commit then", content_type = "application/problem+json", body = Problem),
    ))]
#[expect(dead_code, reason = "a description; the publisher answers it")]
pub(super) fn delete() {}

/// Commits 1 to 1,000 changes, all or nothing.
#[utoipa::path(post, path = "/v1/commits", tag = "write",
    params(
        ("dry_run" = Option<bool>, Query, description = "Says what would happen, and writes nothing; the answer is a DryRunBody"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: a retry lands once"),
        ("Headwater-Actor" = Option<String>, Header, description = "Who, unless the body says"),
        ("Headwater-Reason" = Option<String>, Header, description = "Why, unless the body says"),
    ),
    request_body = CommitRequest,
    responses(
        (status = 200, description = "Committed; of a dry run, what would happen", body = Committed),
        (status = "default", description = "A problem; `conflict` names every failed precondition", content_type = "application/problem+json", body = Problem),
    ))]
#[expect(dead_code, reason = "a description; the publisher answers it")]
pub(super) fn commit() {}

/// Restores an older state of a key, of all keys with a prefix or of a namespace, as a new commit.
///
/// What does not differ is not touched; when nothing differs there is no commit, and the answer's `commit_id` is null. The
/// commit's attribute `rollback_to` names the revision; it is rolled back like any other.
#[utoipa::path(post, path = "/v1/rollback", tag = "write",
    params(
        ("dry_run" = Option<bool>, Query, description = "Says what would happen, and writes nothing; the answer is a DryRunBody"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: a retry lands once"),
        ("Headwater-Actor" = Option<String>, Header, description = "Who, unless the body says"),
        ("Headwater-Reason" = Option<String>, Header, description = "Why, unless the body says: one of the two must"),
    ),
    request_body = RollbackRequest,
    responses(
        (status = 200, description = "Restored, or nothing differed; of a dry run, what would happen", body = Committed),
        (status = "default", description = "A problem; `too_many_changes` and `commit_too_large` when one commit cannot hold it", content_type = "application/problem+json", body = Problem),
    ))]
#[expect(dead_code, reason = "a description; the publisher answers it")]
pub(super) fn rollback() {}

/// What `POST /v1/commits` and `POST /v1/rollback` answer.
#[derive(serde::Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "a description; the publisher answers it")]
pub(super) enum Committed {
    /// The receipt of a commit.
    Receipt(ReceiptBody),
    /// What a dry run found.
    DryRun(DryRunBody),
}
