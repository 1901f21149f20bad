//! The routes that answer once.

pub(crate) mod commit;
pub(crate) mod commits;
pub(crate) mod config;
pub(crate) mod diff;
pub(crate) mod history;
pub(crate) mod images;
pub(crate) mod list;
pub(crate) mod namespaces;
pub(crate) mod openapi;
mod page;
mod range;
pub(crate) mod status;
