//! The kinds of places, and what each must be able to do.

use std::path::Path;

use headwater_image::Manifest;

use crate::StoreError;
#[cfg(feature = "s3")]
use crate::bucket::Bucket;
use crate::folder::Folder;
use crate::reading::Reading;
use crate::web::Web;

/// The name of the announcement.
pub(crate) const LATEST: &str = "latest.json";
/// The largest announcement, in bytes: that of an image of some 100,000 blocks.
pub(crate) const MAX_LATEST_BYTES: u64 = 64 * 1024 * 1024;

/// A place. What only writers need is refused by those that can only be read.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Folder(Folder),
    #[cfg(feature = "s3")]
    Bucket(Bucket),
    Web(Web),
}

/// The announcement as it was found.
pub(crate) struct Found {
    pub(crate) manifest: Manifest,
    /// What tells it from any other: a tag or a hash.
    pub(crate) version: String,
}

/// A file that stands in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    /// When it came there, milliseconds since the Unix epoch, by the place's clock.
    pub(crate) at_ms: i64,
}

/// Whether a file may stand in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Nothing may stand there yet.
    Nothing,
    /// What stands there is damaged.
    Damaged,
}

impl Place {
    pub(crate) async fn latest(&self) -> Result<Option<Found>, StoreError> {
        match self {
            Self::Folder(folder) => folder.latest().await,
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.latest().await,
            Self::Web(web) => web.latest().await,
        }
    }

    /// The bytes `from..until` of a file.
    pub(crate) async fn read(
        &self,
        name: &str,
        from: u64,
        until: Option<u64>,
    ) -> Result<Reading, StoreError> {
        match self {
            Self::Folder(folder) => folder.read(name, from, until).await,
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.read(name, from, until).await,
            Self::Web(web) => web.read(name, from, until).await,
        }
    }

    /// Puts the image that stands in `dir` there, whole or not at all; false when another file stands in the way.
    pub(crate) async fn put(
        &self,
        dir: &Path,
        manifest: &Manifest,
        over: Over,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Folder(folder) => folder.put(dir, manifest, over).await,
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.put(dir, manifest, over).await,
            Self::Web(web) => Err(web.read_only()),
        }
    }

    /// Replaces the announcement, if it still is `version` (none: if there is none). False when it is not.
    pub(crate) async fn swap(
        &self,
        manifest: &Manifest,
        version: Option<&str>,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Folder(folder) => folder.swap(manifest, version).await,
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.swap(manifest, version).await,
            Self::Web(web) => Err(web.read_only()),
        }
    }

    pub(crate) async fn list(&self) -> Result<Vec<Listed>, StoreError> {
        match self {
            Self::Folder(folder) => folder.list().await,
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.list().await,
            Self::Web(web) => Err(web.read_only()),
        }
    }

    pub(crate) async fn remove(&self, name: &str) -> Result<(), StoreError> {
        match self {
            Self::Folder(folder) => folder.remove(name).await,
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.remove(name).await,
            Self::Web(web) => Err(web.read_only()),
        }
    }
}
