//! Bytes of a file as they arrive.

use std::fmt;

use bytes::Bytes;
use headwater_client::Download;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, Take};

use crate::StoreError;

/// How much of a local file one read takes, in bytes.
const PIECE_BYTES: usize = 1024 * 1024;

/// Bytes of a file as they arrive.
pub struct Reading {
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) from: From,
}

/// Where they come from.
pub(crate) enum From {
    File(Take<File>),
    Web(Download),
    #[cfg(feature = "s3")]
    Bucket(crate::bucket::Pieces),
}

impl Reading {
    /// The next bytes; none behind the last.
    ///
    /// # Errors
    /// [`StoreError`]; go on from the byte reached with a new call of [`crate::Store::read`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        match &mut self.from {
            From::File(file) => {
                let mut piece = Vec::with_capacity(PIECE_BYTES);
                let read = file.read_buf(&mut piece).await;
                read.map_err(|error| StoreError::Unreachable {
                    url: self.url.clone(),
                    cause: format!("{}: {error}", self.name),
                })?;
                Ok((!piece.is_empty()).then(|| piece.into()))
            }
            From::Web(download) => {
                let next = download.next().await;
                next.map_err(|error| StoreError::of_client(&self.url, &self.name, error))
            }
            #[cfg(feature = "s3")]
            From::Bucket(pieces) => pieces.next(&self.url, &self.name).await,
        }
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("url", &self.url).field("name", &self.name).finish()
    }
}
