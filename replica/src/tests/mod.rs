mod follow;
mod rebase;
mod table;
mod tail;
pub(crate) mod view;
