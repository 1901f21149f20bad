//! Blocks decompressed and hashed on other cores, handed back in order.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use headwater_schemas::Hash;

use super::block::unpack;
use crate::{ImageError, hash};

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
}

/// A block ready to be walked.
pub(crate) struct Unpacked {
    pub(crate) block: usize,
    /// XXH3-64 of it as it came.
    pub(crate) checksum: u64,
    pub(crate) records: Result<Vec<u8>, ImageError>,
}

fn work(packed: Packed) -> Unpacked {
    Unpacked {
        block: packed.block,
        checksum: hash::checksum(&packed.bytes),
        records: unpack(&packed.bytes, packed.hash),
    }
}

struct Worker {
    /// None once it is told to end.
    jobs: Option<SyncSender<Packed>>,
    done: Receiver<Unpacked>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// None when the system gives no thread.
    fn start() -> Option<Self> {
        let (jobs, queue) = sync_channel::<Packed>(WAITING);
        let (answers, done) = sync_channel(WAITING);
        let run = move || {
            for packed in queue {
                if answers.send(work(packed)).is_err() {
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
    /// Which worker has which block, oldest first.
    waiting: VecDeque<(usize, usize)>,
    next: usize,
}

impl Unpackers {
    /// Workers for an image of so many blocks: none for few, where a thread costs more than it gives.
    pub(crate) fn for_blocks(blocks: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let count = if blocks < 4 || cores < 2 { 0 } else { cores.min(MAX_WORKERS) };
        let workers = (0..count).map_while(|_| Worker::start()).collect();
        Self { workers, waiting: VecDeque::new(), next: 0 }
    }

    /// Hands a block over. With all workers busy the oldest block comes back first, and without any, this one.
    pub(crate) fn push(&mut self, packed: Packed) -> Option<Unpacked> {
        if self.workers.is_empty() {
            return Some(work(packed));
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
            let records = Err(ImageError::source("a thread that decompresses blocks ended"));
            Unpacked { block, checksum: 0, records }
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
