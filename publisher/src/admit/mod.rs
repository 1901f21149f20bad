//! What a request must be before the writer sees it: one file per check.

pub(crate) mod condition;
pub(crate) mod idempotency;
pub(crate) mod json;
pub(crate) mod provenance;
pub(crate) mod size;
