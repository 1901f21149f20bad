//! Appends records to a log until it is killed, and prints how each ended: what the tests of crashes and of failing
//! disks watch from outside.
//!
//! `appender DIR BYTES`: every record is its own number, filled up to BYTES. Prints `in-log N`, `ambiguous N` or
//! `refused N`; 100 refusals end it, with `read N` for the records that can still be read.

use std::collections::VecDeque;
use std::io::{Write, stdout};
use std::time::Duration;

use bytes::Bytes;
use headwater_log::{Appended, Log, LogReader, ReadError};
use headwater_log_embedded::{EmbeddedLog, EmbeddedSettings};

/// Appends under way at once.
const PIPELINED: usize = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("usage: appender DIR BYTES")?;
    let size: usize = arguments.next().ok_or("usage: appender DIR BYTES")?.parse()?;
    let log = EmbeddedLog::open(EmbeddedSettings::new(dir))?;
    let writer = log.writer().ok_or("no writer")?;
    let mut reader = log.reader().await?;
    let mut next = reader.end().await?.0;
    let mut waiting = VecDeque::new();
    let mut refusals = 0;
    while refusals < 100 {
        while waiting.len() < PIPELINED {
            waiting.push_back((next, writer.append(vec![record(next, size)])));
            next += 1;
        }
        let Some((number, appended)) = waiting.pop_front() else { break };
        let how = match appended.await.first() {
            Some(Appended::InLog(_)) => "in-log",
            Some(Appended::Ambiguous(_)) => "ambiguous",
            Some(Appended::Refused(_)) | None => {
                refusals += 1;
                "refused"
            }
        };
        writeln!(stdout(), "{how} {number}")?;
    }
    writeln!(stdout(), "read {}", count(reader.as_mut()).await?)?;
    Ok(())
}

fn record(number: u64, size: usize) -> Bytes {
    format!("{number:>size$}").into()
}

async fn count(reader: &mut dyn LogReader) -> Result<usize, ReadError> {
    let mut count = 0;
    loop {
        let batch = reader.read(Duration::ZERO, 1 << 20).await?;
        count += batch.records.len();
        if batch.at_end {
            return Ok(count);
        }
    }
}
