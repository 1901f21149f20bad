//! How what was asked of the log ended.

use std::collections::HashSet;

use headwater_log::Appended;
use headwater_schemas::Hash;
use tokio::time::{Duration, Instant};

use crate::metrics;
use crate::refusal::Refusal;
use crate::task::{Done, WriterTask};

/// How long to wait before a log that could not be asked is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The least time between two comparisons of clocks.
const COMPARE_AGAIN: Duration = Duration::from_secs(1);

fn landed(outcomes: &[Appended]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Appended::InLog(_)))
}

impl WriterTask {
    pub(crate) fn done(&mut self, done: Done, now: Instant) {
        match done {
            Done::Appended { hashes, began, outcomes } => {
                metrics::append(now.saturating_duration_since(began));
                self.group(&hashes, &outcomes, now);
            }
            Done::Renewed => self.append_barriers(now),
            Done::Probed { generation, outcomes } => {
                self.resolver.appended(generation, landed(&outcomes), now)
            }
            Done::Marked { nonce, outcomes } => {
                if !landed(&outcomes) {
                    self.markers.lost(nonce);
                }
            }
            Done::End { asked, reader, end } => {
                self.ender.busy = false;
                match end {
                    Ok(end) => {
                        self.ender.reader = reader;
                        let jobs = self.parked.iter_mut().map(|parked| &mut parked.job);
                        let asked = jobs.filter(|job| job.end.is_none() && job.ends_asked < asked);
                        asked.for_each(|job| job.end = Some(end));
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the log's end cannot be had");
                        self.ender.retry_at = Some(now + ASK_AGAIN);
                    }
                }
            }
            Done::Compared { handed_at, appended_at_ms } => {
                self.comparing = false;
                self.compare_at = Some(now + COMPARE_AGAIN);
                match appended_at_ms {
                    Ok(appended_at_ms) => {
                        self.skew.measure(handed_at, appended_at_ms);
                        self.not_compared = None;
                    }
                    Err(why) => {
                        tracing::debug!(why, "the clocks could not be compared");
                        self.not_compared = Some(why);
                    }
                }
            }
            Done::Recalled { epoch, keyed } => self.recalled(epoch, keyed),
        }
    }

    fn recalled(&mut self, epoch: u64, keyed: Option<Vec<crate::idempotency::Remembered>>) {
        if epoch != self.epoch {
            return;
        }
        self.recalling = false;
        let Some(keyed) = keyed else {
            tracing::error!("the idempotency window could not be read back; it is tried again");
            return;
        };
        keyed.into_iter().for_each(|keyed| self.index.insert(keyed));
        self.index_ready = true;
        metrics::remembered_keys(self.index.len());
        tracing::info!(keys = self.index.len(), "the idempotency window was read back");
    }

    fn group(&mut self, hashes: &[Hash], outcomes: &[Appended], now: Instant) {
        let mut refused = HashSet::new();
        for (hash, outcome) in hashes.iter().zip(outcomes) {
            match outcome {
                Appended::InLog(_) => {}
                Appended::Ambiguous(why) => {
                    if self.line.as_ref().is_some_and(|line| line.holds(*hash)) {
                        tracing::warn!(why, "an append ended ambiguously; a barrier settles it");
                        self.resolver.doubt(now);
                    }
                }
                Appended::Refused(why) => {
                    tracing::warn!(why, "the log refused a commit");
                    refused.insert(*hash);
                }
            }
        }
        if let Some(first) = hashes.iter().find(|hash| refused.contains(*hash)) {
            self.refused(*first, &refused, now);
        }
    }

    /// None of `refused` is in the log and none ever will be. What was appended behind the first of them may be,
    /// but will never be accepted, as its parent is missing: it is tried again.
    fn refused(&mut self, first: Hash, refused: &HashSet<Hash>, now: Instant) {
        let Some((cut, behind)) = self.line.as_mut().and_then(|line| line.cut(first)) else {
            return;
        };
        self.unpark_from(cut.folded.head.revision);
        let (refused, behind): (Vec<_>, Vec<_>) = std::iter::once(cut)
            .chain(behind)
            .partition(|pending| refused.contains(&pending.hash()));
        self.died(behind, false, now);
        for pending in refused {
            let why = "it refused the record";
            self.finish(pending.job, Err(Refusal::LogUnavailable(why.into())));
        }
    }
}
