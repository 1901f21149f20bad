//! Blocks decompressed, hashed and surveyed on other cores, handed back in order.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use headwater_schemas::Hash;

use super::block::Unpacker;
use super::header::Header;
use super::survey::Survey;
use crate::ImageError;
use crate::hash::checksum;

/// Blocks each worker may have waiting: one in hand, one behind it.
const WAITING: usize = 2;
/// More workers than this only wait for memory.
const MAX_WORKERS: usize = 8;

/// A block as it came.
pub(crate) struct Packed {
    /// Its number in the image.
    pub(crate) block: usize,
    pub(crate) hash: Hash,
    pub(crate) bytes: Vec<u8>,
    /// A buffer for its records: a fresh one would cost a page fault every 4 KiB.
    pub(crate) spare: Vec<u8>,
    pub(crate) header: Arc<Header>,
}

/// A block ready to be taken in.
pub(crate) struct Unpacked {
    pub(crate) block: usize,
    /// XXH3-64 of it as it came.
    pub(crate) checksum: u64,
    pub(crate) outcome: Result<Survey, Refused>,
    /// The bytes as they came, to be used again.
    pub(crate) bytes: Vec<u8>,
}

/// Why a block cannot be taken in.
pub(crate) enum Refused {
    /// It is not what was announced: fetching it again can help.
    Transfer(ImageError),
    /// It is what was announced, and wrong.
    Image(ImageError),
}

fn work(unpacker: &mut Unpacker, packed: Packed) -> Unpacked {
    let Packed { block, hash, bytes, spare: mut records, header } = packed;
    let outcome = match unpacker.unpack(&bytes, hash, &mut records) {
        Ok(()) => Survey::of(&header, records).map_err(Refused::Image),
        Err(error) => Err(Refused::Transfer(error)),
    };
    Unpacked { block, checksum: checksum(&bytes), outcome, bytes }
}

struct Worker {
    /// None once it is told to end.
    jobs: Option<SyncSender<Packed>>,
    done: Receiver<Unpacked>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// None when the system gives no thread or no memory.
    fn start() -> Option<Self> {
        let (jobs, queue) = sync_channel::<Packed>(WAITING);
        let (answers, done) = sync_channel(WAITING);
        let mut unpacker = Unpacker::new().ok()?;
        let run = move || {
            for packed in queue {
                if answers.send(work(&mut unpacker, packed)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("image-unpack".into()).spawn(run).ok()?;
        Some(Self { jobs: Some(jobs), done, thread: Some(thread) })
    }
}

/// A few workers, served in turn, so that their answers come back in turn.
pub(crate) struct Unpackers {
    workers: Vec<Worker>,
    /// For when there are none.
    own: Unpacker,
    /// Which worker has which block, oldest first.
    waiting: VecDeque<(usize, usize)>,
    next: usize,
}

impl Unpackers {
    /// Workers for an image of so many blocks: none for few, where a thread costs more than it gives.
    pub(crate) fn for_blocks(blocks: usize) -> Result<Self, ImageError> {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let count = if blocks < 4 || cores < 2 { 0 } else { cores.min(MAX_WORKERS) };
        let workers = (0..count).map_while(|_| Worker::start()).collect();
        Ok(Self { workers, own: Unpacker::new()?, waiting: VecDeque::new(), next: 0 })
    }

    /// Hands a block over. With all workers busy the oldest block comes back first, and without any, this one.
    pub(crate) fn push(&mut self, packed: Packed) -> Option<Unpacked> {
        if self.workers.is_empty() {
            return Some(work(&mut self.own, packed));
        }
        let full = self.waiting.len() >= self.workers.len() * WAITING;
        let oldest = if full { self.pop() } else { None };
        self.waiting.push_back((self.next, packed.block));
        // A worker that is gone is found out when its answer is wanted.
        if let Some(jobs) = self.workers.get(self.next).and_then(|worker| worker.jobs.as_ref()) {
            let _ = jobs.send(packed);
        }
        self.next = (self.next + 1) % self.workers.len();
        oldest
    }

    /// The oldest block that was handed over and not taken back; waits for it.
    pub(crate) fn pop(&mut self) -> Option<Unpacked> {
        let (worker, block) = self.waiting.pop_front()?;
        let answer = self.workers.get(worker).and_then(|worker| worker.done.recv().ok());
        Some(answer.unwrap_or_else(|| {
            let gone = ImageError::source("a thread that decompresses blocks ended");
            Unpacked { block, checksum: 0, outcome: Err(Refused::Image(gone)), bytes: Vec::new() }
        }))
    }

    /// Forgets all blocks handed over.
    pub(crate) fn clear(&mut self) {
        while self.pop().is_some() {}
    }
}

impl Drop for Unpackers {
    fn drop(&mut self) {
        // Answers nobody takes must not hold a worker up.
        self.clear();
        for worker in &mut self.workers {
            worker.jobs = None;
        }
        for thread in self.workers.iter_mut().filter_map(|worker| worker.thread.take()) {
            let _ = thread.join();
        }
    }
}
