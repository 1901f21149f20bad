//! Seeded faults around any log: what a network, a broker and a dying process do to appends and reads.
//! The same seed and the same calls give the same faults, so a run that fails can be played again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_schemas::Position;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::{Appended, Batch, Identity, Log, LogReader, LogWriter, ReadError, Seek};

/// How often each fault strikes, in calls of a thousand. One append suffers at most one fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultPlan {
    /// Lost on the way: not in the log, reported ambiguous.
    pub drop: u32,
    /// In the log twice, one right behind the other; reported where the first stands.
    pub duplicate: u32,
    /// A zombie: reported ambiguous at once, in the log only after some later appends.
    pub delay: u32,
    /// Not in the log, and said so.
    pub refuse: u32,
    /// In the log, reported ambiguous.
    pub ambiguous: u32,
    /// A read, seek or question for the end that finds nobody.
    pub unavailable: u32,
    /// How many later appends a zombie waits for at most.
    pub delay_appends: u32,
}

impl FaultPlan {
    /// No fault at all.
    pub const NONE: Self = Self {
        drop: 0,
        duplicate: 0,
        delay: 0,
        refuse: 0,
        ambiguous: 0,
        unavailable: 0,
        delay_appends: 0,
    };

    /// Every fault, each `per_mille` of the calls.
    pub const fn every(per_mille: u32) -> Self {
        Self {
            drop: per_mille,
            duplicate: per_mille,
            delay: per_mille,
            refuse: per_mille,
            ambiguous: per_mille,
            unavailable: per_mille,
            delay_appends: 8,
        }
    }
}

/// How many faults have struck so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultCounts {
    /// Appends lost on the way.
    pub dropped: u64,
    /// Appends that are in the log twice.
    pub duplicated: u64,
    /// Appends held back.
    pub delayed: u64,
    /// Appends refused.
    pub refused: u64,
    /// Appends that are in the log and were reported ambiguous.
    pub ambiguous: u64,
    /// Reads, seeks and questions that found nobody.
    pub unavailable: u64,
}

/// A log with seeded faults.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Log>,
    fate: Arc<Mutex<Fate>>,
}

/// Decides what happens to each call, and holds the zombies. Its `Debug` says how to play a run again.
#[derive(Debug)]
struct Fate {
    seed: u64,
    plan: FaultPlan,
    counts: FaultCounts,
    rng: StdRng,
    held: VecDeque<Zombie>,
}

/// An append on its way to the log, much too late.
#[derive(Debug)]
struct Zombie {
    records: Vec<Bytes>,
    /// Later appends to come before it lands.
    countdown: u32,
}

/// What becomes of one append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AppendFault {
    None,
    Drop,
    Duplicate,
    Delay,
    Refuse,
    Ambiguous,
}

impl Fate {
    fn draw(&mut self) -> AppendFault {
        use AppendFault as Fault;
        let FaultPlan { drop, duplicate, delay, refuse, ambiguous, .. } = self.plan;
        let mut rolled = self.rng.random_range(0..1000_u32);
        let counts = &mut self.counts;
        for (rate, fault, count) in [
            (drop, Fault::Drop, &mut counts.dropped),
            (duplicate, Fault::Duplicate, &mut counts.duplicated),
            (delay, Fault::Delay, &mut counts.delayed),
            (refuse, Fault::Refuse, &mut counts.refused),
            (ambiguous, Fault::Ambiguous, &mut counts.ambiguous),
        ] {
            if rolled < rate {
                *count += 1;
                return fault;
            }
            rolled -= rate;
        }
        Fault::None
    }

    fn unavailable(&mut self) -> Result<(), ReadError> {
        if self.rng.random_range(0..1000_u32) >= self.plan.unavailable {
            return Ok(());
        }
        self.counts.unavailable += 1;
        Err(ReadError::Unavailable(format!("an injected fault, seed {}", self.seed)))
    }

    /// The zombies that land before the append that is being made.
    fn due(&mut self) -> Vec<Vec<Bytes>> {
        for zombie in &mut self.held {
            zombie.countdown = zombie.countdown.saturating_sub(1);
        }
        let (due, held) = self.held.drain(..).partition::<Vec<_>, _>(|z| z.countdown == 0);
        self.held.extend(held);
        due.into_iter().map(|zombie| zombie.records).collect()
    }

    fn hold(&mut self, records: Vec<Bytes>) {
        let countdown = self.rng.random_range(1..=self.plan.delay_appends.max(1));
        self.held.push_back(Zombie { records, countdown });
    }
}

fn lock(fate: &Mutex<Fate>) -> MutexGuard<'_, Fate> {
    fate.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faulty {
    /// Wraps `inner`: its faults follow `plan` and `seed`.
    pub fn new(inner: Arc<dyn Log>, plan: FaultPlan, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let fate = Fate { seed, plan, counts: FaultCounts::default(), rng, held: VecDeque::new() };
        Self { inner, fate: Arc::new(Mutex::new(fate)) }
    }

    /// Another plan from now on; [`FaultPlan::NONE`] ends the storm.
    pub fn set_plan(&self, plan: FaultPlan) {
        lock(&self.fate).plan = plan;
    }

    /// The faults so far.
    pub fn counts(&self) -> FaultCounts {
        lock(&self.fate).counts
    }

    /// Lets every zombie land now, behind all that was appended; says how many there were.
    pub async fn release(&self) -> usize {
        let held: Vec<Zombie> = lock(&self.fate).held.drain(..).collect();
        let count = held.len();
        if let Some(writer) = self.inner.writer() {
            for zombie in held {
                writer.append(zombie.records).await;
            }
        }
        count
    }
}

impl Log for Faulty {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn reader(&self) -> BoxFuture<'_, Result<Box<dyn LogReader>, ReadError>> {
        async move {
            let inner = self.inner.reader().await?;
            let reader = FaultyReader { inner, fate: Arc::clone(&self.fate) };
            Ok(Box::new(reader) as Box<dyn LogReader>)
        }
        .boxed()
    }

    fn writer(&self) -> Option<Arc<dyn LogWriter>> {
        let inner = self.inner.writer()?;
        Some(Arc::new(FaultyWriter { inner, fate: Arc::clone(&self.fate) }))
    }
}

#[derive(Debug)]
struct FaultyWriter {
    inner: Arc<dyn LogWriter>,
    fate: Arc<Mutex<Fate>>,
}

impl LogWriter for FaultyWriter {
    fn append(&self, records: Vec<Bytes>) -> BoxFuture<'static, Vec<Appended>> {
        // Held over the handover (which never waits), so that the order of appends is the order of fates.
        let mut fate = lock(&self.fate);
        for zombie in fate.due() {
            drop(self.inner.append(zombie));
        }
        let count = records.len();
        let maybe = |what| vec![Appended::Ambiguous(format!("an injected fault: {what}")); count];
        match fate.draw() {
            AppendFault::None => self.inner.append(records),
            AppendFault::Drop => std::future::ready(maybe("dropped")).boxed(),
            AppendFault::Refuse => {
                let refused = Appended::Refused("an injected fault".into());
                std::future::ready(vec![refused; count]).boxed()
            }
            AppendFault::Delay => {
                fate.hold(records);
                std::future::ready(maybe("delayed")).boxed()
            }
            AppendFault::Duplicate => {
                let first = self.inner.append(records.clone());
                let second = self.inner.append(records);
                async move { futures::join!(first, second).0 }.boxed()
            }
            AppendFault::Ambiguous => {
                let landed = self.inner.append(records);
                let answer = maybe("in the log, the answer lost");
                landed.map(|_| answer).boxed()
            }
        }
    }

    fn renew(&self) -> BoxFuture<'static, ()> {
        self.inner.renew()
    }
}

struct FaultyReader {
    inner: Box<dyn LogReader>,
    fate: Arc<Mutex<Fate>>,
}

impl LogReader for FaultyReader {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn read(
        &mut self,
        wait: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Batch, ReadError>> {
        async move {
            lock(&self.fate).unavailable()?;
            self.inner.read(wait, max_bytes).await
        }
        .boxed()
    }

    fn seek(&mut self, to: Seek) -> BoxFuture<'_, Result<Position, ReadError>> {
        async move {
            lock(&self.fate).unavailable()?;
            self.inner.seek(to).await
        }
        .boxed()
    }

    fn end(&mut self) -> BoxFuture<'_, Result<Position, ReadError>> {
        async move {
            lock(&self.fate).unavailable()?;
            self.inner.end().await
        }
        .boxed()
    }
}
