//! `If-Match` and `If-None-Match`, where they mean something.

use headwater_api::Problem;
use headwater_server::Precondition;
use http::HeaderMap;

/// The precondition of a write of one key.
pub(crate) fn of_key(headers: &HeaderMap) -> Result<Precondition, Problem> {
    Precondition::of_write(headers)
}

/// A change set has no entity tag: a precondition in a header would silently guard nothing.
pub(crate) fn none(headers: &HeaderMap) -> Result<(), Problem> {
    match Precondition::of_write(headers)? {
        Precondition::None => Ok(()),
        _ => Err(Problem::invalid_request(
            "If-Match and If-None-Match guard one key; in a change set use expect and expects",
        )),
    }
}
