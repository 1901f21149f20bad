mod follow;
mod view;
