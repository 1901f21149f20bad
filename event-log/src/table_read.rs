//! Reading a table as a whole.

use std::time::Duration;

use headwater_schemas::TableFold;
use tokio::time::Instant;

use crate::{ReadError, Table};

/// How much one read takes, in bytes.
const READ_BYTES: usize = 1024 * 1024;
/// How long one read waits.
const READ_WAIT: Duration = Duration::from_millis(500);
/// How long a table may give nothing, its end not reached, before it counts as out of reach.
const SILENCE: Duration = Duration::from_secs(20);
/// How long a table that is written all the time may take, from its end on, to come to what is wanted.
const BUSY: Duration = Duration::from_secs(60);
/// How long one that is not. While it is written, the next checkpoint comes within a moment; one that is wrong and idle
/// stays wrong, and who starts does not wait for that.
const IDLE: Duration = Duration::from_secs(2);

/// Reads everything that is there now into `fold`, and goes on until `done` holds or nothing more comes: a batch that
/// is being written, or rows that are newer than a checkpoint before them, settle at a later one. None where there is
/// no table. The caller judges what it got.
///
/// # Errors
/// [`ReadError`].
pub async fn read_table(
    table: &dyn Table,
    mut fold: TableFold,
    done: impl Fn(&TableFold) -> bool,
) -> Result<Option<TableFold>, ReadError> {
    let Some(mut reader) = table.reader().await? else { return Ok(None) };
    let (mut heard, mut end_reached) = (Instant::now(), None);
    loop {
        let batch = reader.read(READ_WAIT, READ_BYTES).await?;
        if !batch.records.is_empty() {
            heard = Instant::now();
        }
        for (key, value) in &batch.records {
            fold.take(key, value.as_ref());
            // Before the end, a later checkpoint is better; behind it, a batch may end anywhere.
            if end_reached.is_some() && done(&fold) {
                return Ok(Some(fold));
            }
        }
        if batch.at_end {
            let since = *end_reached.get_or_insert_with(Instant::now);
            if done(&fold) || heard.elapsed() >= IDLE || since.elapsed() >= BUSY {
                return Ok(Some(fold));
            }
        } else if heard.elapsed() >= SILENCE {
            let place = table.place();
            let why = format!("{place}: nothing came for {SILENCE:?}, and it was not at its end");
            return Err(ReadError::Unavailable(why));
        }
    }
}
