mod follow;
mod tail;
mod view;
