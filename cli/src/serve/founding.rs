//! The first record of a stream: written once, where nothing was ever seen before.

use std::time::Duration;

use headwater_log::Log;
use headwater_publisher::genesis::{self, FoundError};

use crate::exit::Failure;
use crate::serve::now_ms;

/// The pause after a log that could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// Finds the stream's genesis, or founds the stream.
pub(super) async fn found(log: &dyn Log) -> Result<(), Failure> {
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
