//! The calls that change things.

mod answer;
pub(crate) mod commits;
pub(crate) mod delete;
pub(crate) mod put;
pub(crate) mod rollback;
