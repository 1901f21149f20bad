//! A table in memory, with faults on demand: for tests of what reads and writes one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::ReadError;
use crate::table::{Lease, Table, TableBatch, TableError, TableReader, TableRecord, TableWriter};

/// A table in memory. Clones share it; each has a turn of its own to write.
#[derive(Debug, Clone)]
pub struct MemoryTable {
    shared: Arc<Shared>,
    turn: watch::Sender<bool>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    written: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<TableRecord>,
    /// The writer that counts.
    epoch: u64,
    /// How the next writes end instead of being done.
    faults: VecDeque<TableError>,
    /// Why it cannot be read now, if so.
    unreadable: Option<ReadError>,
}

impl Default for MemoryTable {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryTable {
    /// An empty table, of which this handle has the turn to write.
    pub fn new() -> Self {
        let shared = Shared { state: Mutex::default(), written: watch::Sender::new(0) };
        Self { shared: Arc::new(shared), turn: watch::Sender::new(true) }
    }

    /// The same table for another process, which does not have the turn.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { turn: watch::Sender::new(false), ..self.clone() }
    }

    /// Whether somebody stands in line for this handle's turn.
    pub fn is_wanted(&self) -> bool {
        self.turn.receiver_count() > 0
    }

    /// Gives or takes this handle's turn to write.
    pub fn turn(&self, held: bool) {
        self.turn.send_replace(held);
    }

    /// Writes as a foreign producer would, past every writer.
    pub fn foreign(&self, key: impl Into<Bytes>, value: Option<Bytes>) {
        let record = TableRecord { key: key.into(), value, headers: Vec::new() };
        self.append(&mut self.state(), [record]);
    }

    /// Lets the next write fail.
    pub fn fail(&self, how: TableError) {
        self.state().faults.push_back(how);
    }

    /// Makes reading fail from now on, or no longer.
    pub fn unreadable(&self, why: Option<ReadError>) {
        self.state().unreadable = why;
    }

    /// Keeps the last record of each key only, and no deletions.
    pub fn compact(&self) {
        let mut state = self.state();
        let records = std::mem::take(&mut state.records);
        let last: HashMap<_, _> =
            records.iter().enumerate().map(|(at, record)| (record.key.clone(), at)).collect();
        let kept = records.into_iter().enumerate().filter_map(|(at, record)| {
            (last.get(&record.key) == Some(&at) && record.value.is_some()).then_some(record)
        });
        state.records = kept.collect();
    }

    /// Everything it holds, in order.
    pub fn records(&self) -> Vec<TableRecord> {
        self.state().records.clone()
    }

    /// How many batches were written; it changes with each.
    pub fn written(&self) -> watch::Receiver<usize> {
        self.shared.written.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, state: &mut State, batch: impl IntoIterator<Item = TableRecord>) {
        state.records.extend(batch);
        self.shared.written.send_modify(|written| *written += 1);
    }
}

impl Table for MemoryTable {
    fn place(&self) -> &str {
        "memory"
    }

    fn reader(&self) -> BoxFuture<'_, Result<Option<Box<dyn TableReader>>, ReadError>> {
        let opened = match &self.state().unreadable {
            Some(error) => Err(error.clone()),
            None => Ok(Some(Box::new(Reader { table: self.clone(), next: 0, told: false }) as _)),
        };
        async move { opened }.boxed()
    }

    fn writer(&self) -> BoxFuture<'_, Result<Box<dyn TableWriter>, TableError>> {
        let mut state = self.state();
        state.epoch += 1;
        let writer = Writer { table: self.clone(), epoch: state.epoch };
        async move { Ok(Box::new(writer) as Box<dyn TableWriter>) }.boxed()
    }

    fn lease(&self) -> BoxFuture<'_, Result<Box<dyn Lease>, TableError>> {
        let turn = Turn(self.turn.subscribe());
        async move { Ok(Box::new(turn) as Box<dyn Lease>) }.boxed()
    }
}

struct Turn(watch::Receiver<bool>);

impl Lease for Turn {
    fn held(&self) -> watch::Receiver<bool> {
        self.0.clone()
    }

    fn release(self: Box<Self>) -> BoxFuture<'static, ()> {
        futures::future::ready(()).boxed()
    }
}

struct Reader {
    table: MemoryTable,
    next: usize,
    /// Whether the end was told of.
    told: bool,
}

impl Reader {
    fn take(&mut self, max_bytes: usize) -> TableBatch {
        let state = self.table.state();
        let mut bytes = 0;
        let fits = |record: &&TableRecord| {
            let before = bytes;
            bytes += record.key.len() + record.value.as_ref().map_or(0, Bytes::len);
            before < max_bytes
        };
        let rest = state.records.get(self.next..).unwrap_or_default();
        let taken = rest.iter().take_while(fits);
        let records: Vec<_> =
            taken.map(|record| (record.key.clone(), record.value.clone())).collect();
        self.next += records.len();
        TableBatch { records, at_end: self.next >= state.records.len() }
    }
}

impl TableReader for Reader {
    fn read(
        &mut self,
        wait: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<TableBatch, ReadError>> {
        async move {
            let mut written = self.table.written();
            let batch = self.take(max_bytes);
            if !batch.records.is_empty() || (batch.at_end && !self.told) {
                self.told |= batch.at_end;
                return Ok(batch);
            }
            if let Some(error) = self.table.state().unreadable.clone() {
                return Err(error);
            }
            // Whether the wait ended by a write or by time, what is there is what is given.
            drop(tokio::time::timeout(wait, written.changed()).await);
            Ok(self.take(max_bytes))
        }
        .boxed()
    }
}

struct Writer {
    table: MemoryTable,
    epoch: u64,
}

impl TableWriter for Writer {
    fn write(&mut self, batch: Vec<TableRecord>) -> BoxFuture<'_, Result<(), TableError>> {
        async move {
            let mut state = self.table.state();
            if state.epoch != self.epoch {
                return Err(TableError::Fenced("a newer writer".into()));
            }
            if let Some(fault) = state.faults.pop_front() {
                return Err(fault);
            }
            self.table.append(&mut state, batch);
            Ok(())
        }
        .boxed()
    }
}
