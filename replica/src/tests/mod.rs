mod follow;
mod rebase;
mod tail;
mod view;
