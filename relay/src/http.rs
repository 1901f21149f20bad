//! The routes that answer once.

pub(crate) mod commits;
pub(crate) mod config;
pub(crate) mod images;
pub(crate) mod list;
pub(crate) mod namespaces;
pub(crate) mod openapi;
mod range;
pub(crate) mod status;
