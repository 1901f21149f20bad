//! The log of a stream: the traits every log implements, a log in memory, seeded faults, and the one suite of
//! claims that holds for all of them.

pub mod conformance;
mod faults;
mod log;
mod memory;

pub use faults::{FaultCounts, FaultPlan, Faulty};
pub use log::{Appended, Batch, Identity, Log, LogReader, LogWriter, ReadError, Seek};
pub use memory::MemoryLog;
