mod follow;
mod rebase;
mod tail;
pub(crate) mod view;
