//! What is sent to the log to learn something: barriers, markers, a comparison of clocks.

use bytes::Bytes;
use futures::FutureExt;
use headwater_log::{Appended, Log, Seek};
use headwater_schemas::{CommitId, Hash, Position, encode_marker};
use tokio::time::{Duration, Instant};

use crate::draft::barrier;
use crate::metrics;
use crate::speculative::Speculative;
use crate::task::{Done, WriterTask};

impl WriterTask {
    /// Goes on with whatever is not settled.
    pub(crate) fn settle(&mut self, now: Instant) {
        if self.line.as_ref().is_none_or(Speculative::is_empty) {
            self.resolver.settled();
        }
        if self.is_stopped() {
            // A fresh way to the log would cost its end of it every time, and no barrier may follow.
            return self.resolver.postpone(now);
        }
        if self.resolver.begin(now) {
            let sink = self.sink.clone();
            self.work.push(
                async move {
                    sink.renew().await;
                    Done::Renewed
                }
                .boxed(),
            );
        }
    }

    /// Whether nothing may be appended, barriers included.
    fn is_stopped(&self) -> bool {
        self.alarm.is_some() || self.replica.alarm().is_some() || !self.schema_known
    }

    /// The way is fresh: one barrier a slot, all in one append.
    pub(crate) fn append_barriers(&mut self, now: Instant) {
        let stopped = self.is_stopped();
        let Some(line) = self.line.as_ref().filter(|_| !stopped) else {
            return self.resolver.retry(now);
        };
        if line.is_empty() && !self.resolver.is_open() {
            return self.resolver.rest();
        }
        let now_ms = (self.clock)();
        let barriers = line.slots().into_iter().map(|slot| {
            let id = CommitId::from_u128(rand::random());
            barrier(&slot.parent, slot.digest, id, now_ms)
        });
        let records: Vec<Bytes> = barriers.collect();
        let hashes: Vec<Hash> = records.iter().map(|record| Hash::of(record)).collect();
        metrics::barriers(records.len());
        hashes.iter().for_each(|hash| self.ours.insert(*hash));
        let generation = self.resolver.appending(hashes);
        self.handovers += 1;
        let append = self.sink.append(records);
        self.work.push(append.map(move |outcomes| Done::Probed { generation, outcomes }).boxed());
    }

    /// Compares the clocks where nothing else does: before the first commit, and when this one seems ahead (which it
    /// also does after the machine slept). A marker is stamped by the log and changes nothing.
    pub(crate) fn compare_clocks(&mut self, now: Instant) {
        if self.clocks_due(now).is_none_or(|at| at > now) {
            return;
        }
        self.comparing = true;
        self.handovers += 1;
        // A writer that failed for good takes nothing ever again. What others wait for is not given up for this.
        let idle = self.line.as_ref().is_none_or(Speculative::is_empty);
        let renew = self.not_compared.is_some() && idle;
        let (sink, log) = (self.sink.clone(), self.log.clone());
        let question = async move {
            if renew {
                sink.renew().await;
            }
            let append = sink.append(vec![encode_marker(rand::random())]);
            let appended_at_ms = match append.await.into_iter().next() {
                Some(Appended::InLog(position)) => stamp(log.as_ref(), position).await,
                Some(Appended::Ambiguous(why) | Appended::Refused(why)) => Err(why),
                None => Err("it gave no answer".to_owned()),
            };
            Done::Compared { handed_at: now, appended_at_ms }
        };
        self.work.push(question.boxed());
    }

    pub(crate) fn send_marker(&mut self, now: Instant) {
        let due = self.markers.due(now).is_some_and(|at| at <= now);
        if !due || self.alarm.is_some() || !self.caught_up {
            return;
        }
        let nonce: u128 = rand::random();
        self.handovers += 1;
        self.markers.sent(nonce, self.handovers, now, self.settings().marker_interval());
        let append = self.sink.append(vec![encode_marker(nonce)]);
        self.work.push(append.map(move |outcomes| Done::Marked { nonce, outcomes }).boxed());
    }
}

/// When the log took the record at `position`.
async fn stamp(log: &dyn Log, position: Position) -> Result<i64, String> {
    let read = async {
        let mut reader = log.reader().await?;
        reader.seek(Seek::At(position)).await?;
        reader.read(Duration::from_secs(1), 1_024).await
    };
    let batch = read.await.map_err(|error| error.to_string())?;
    let record = batch.records.first().filter(|record| record.position == position);
    record
        .map(|record| record.appended_at_ms)
        .ok_or_else(|| "a marker could not be read back".to_owned())
}
