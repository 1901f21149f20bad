//! The log of a stream: the traits every log implements, a log in memory, seeded faults, and the one suite of
//! claims that holds for all of them.

pub mod conformance;
mod faults;
mod finding;
mod log;
mod memory;
mod memory_table;
mod table;
pub mod table_conformance;
mod table_read;

pub use faults::{FaultCounts, FaultPlan, Faulty};
pub use finding::{Finding, Verdict};
pub use log::{Appended, Batch, Identity, Log, LogReader, LogWriter, ReadError, Seek};
pub use memory::MemoryLog;
pub use memory_table::MemoryTable;
pub use table::{Lease, Table, TableBatch, TableError, TableReader, TableRecord, TableWriter};
pub use table_read::read_table;
