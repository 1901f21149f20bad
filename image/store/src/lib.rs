//! Where images stand for readers to get: a directory, a bucket that speaks S3, a web server or CDN in front of
//! either, or a relay.
//!
//! ```text
//!  <place>/latest.json                 the manifest of the announced image, replaced whole
//!  <place>/<revision>-<hash>.hwi       images in their wire form, never changed
//!
//!  put_image ─▶ read back ─▶ announce (only over what was read) ─▶ retain
//! ```
//!
//! Any number of writers may share a place: the announcement is replaced on the condition that it still is what was
//! read, and [`headwater_image::Manifest::may_follow`] alone says what may replace what.
//!
//! ```no_run
//! # async fn example() -> Result<(), headwater_image_store::StoreError> {
//! use headwater_image_store::{S3Settings, Store};
//!
//! let store = Store::open("https://cdn.example/images", &S3Settings::default())?;
//! if let Some(latest) = store.latest().await? {
//!     println!("revision {} in {} bytes", latest.manifest.revision, latest.manifest.bytes);
//! }
//! # Ok(())
//! # }
//! ```

mod announce;
#[cfg(feature = "s3")]
mod bucket;
mod error;
mod folder;
mod place;
mod put;
mod reading;
mod retain;
mod s3;
mod store;
mod web;

pub use announce::Announced;
pub use error::StoreError;
pub use reading::Reading;
pub use s3::S3Settings;
pub use store::{Latest, Store};
