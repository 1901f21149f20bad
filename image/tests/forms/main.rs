//! The claims of the image crate, one file each.
#![cfg(test)]

mod damage;
mod files;
mod golden;
mod model;
mod round_trip;
mod subscribed;
