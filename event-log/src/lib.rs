//! The log of a stream: the traits every log implements, a log in memory, seeded faults, and the one suite of
//! claims that holds for all of them.

mod log;

pub use log::{Appended, Batch, Identity, Log, LogReader, LogWriter, ReadError, Seek};
