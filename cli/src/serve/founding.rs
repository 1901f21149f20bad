//! The first record of a stream: written once, where nothing was ever seen before.

use std::time::Duration;

use headwater_image_store::Store;
use headwater_log::{Log, Table};
use headwater_publisher::genesis::{self, FoundError};

use crate::exit::Failure;
use crate::serve::{OpenLog, now_ms};

/// The pause after a log that could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// Whether the stream's table was written: it is a witness that the log it came from was there, though it may be gone.
pub(super) async fn is_witnessed(open: &OpenLog) -> Result<bool, Failure> {
    let Some(table) = open.table() else { return Ok(false) };
    let written = loop {
        match table.was_written().await {
            Ok(written) => break written,
            Err(error) => {
                tracing::warn!(%error, "the table cannot be read; trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    if written {
        tracing::info!(
            table = Table::place(table.as_ref()),
            "the table was written, so that this is no new stream: none is founded. Where its log was removed on \
             purpose, remove that topic, too"
        );
    }
    Ok(written)
}

/// Finds the stream's genesis, or founds the stream. Where images are shared and one is announced, an empty log was
/// lost, or is not the right one: nobody founds anything over it.
pub(super) async fn found(log: &dyn Log, images: Option<&Store>) -> Result<(), Failure> {
    if let Some(images) = images
        && is_empty(log).await?
        && is_announced(images, log).await
    {
        return Ok(());
    }
    loop {
        match genesis::found(log, now_ms()).await {
            Ok(founded) if founded.here => {
                tracing::info!(stream_id = %founded.stream_id, "founded a new stream");
                return Ok(());
            }
            Ok(_) => return Ok(()),
            Err(FoundError::Read(error)) if error.is_retryable() => {
                tracing::warn!(%error, "the log cannot be read; trying again");
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => return Err(Failure::failed(error)),
        }
    }
}

/// Whether the stream of a log that is empty has an image.
async fn is_announced(images: &Store, log: &dyn Log) -> bool {
    loop {
        match images.latest().await {
            Ok(None) => return false,
            Ok(Some(latest)) => {
                let (place, url) = (&log.identity().place, images.url());
                let (revision, stream_id) = (latest.manifest.revision, latest.manifest.stream_id);
                tracing::error!(
                    %place, url, revision, %stream_id,
                    "the log is empty, and an image is announced: no stream is founded. Restore the log, or give a new \
                     stream an image store of its own"
                );
                return true;
            }
            Err(error) => {
                tracing::warn!(%error, "whether the stream is new cannot be seen; trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Whether nothing was ever written to the log.
async fn is_empty(log: &dyn Log) -> Result<bool, Failure> {
    loop {
        let end = async { log.reader().await?.end().await };
        match end.await {
            Ok(end) => return Ok(end.0 == 0),
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, "the log cannot be read; trying again");
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => return Err(Failure::failed(error)),
        }
    }
}
