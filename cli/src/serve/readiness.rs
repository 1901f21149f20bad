//! Whether a server is ready: after its first catch-up, and then for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headwater_publisher::Writer;
use headwater_replica::{AlarmKind, Phase, Replica};

/// Cheap to clone and to ask.
#[derive(Debug, Clone)]
pub(super) struct Readiness {
    reached: Arc<AtomicBool>,
    replica: Replica,
    writer: Option<Writer>,
}

impl Readiness {
    pub(super) fn new(replica: Replica, writer: Option<Writer>) -> Self {
        Self { reached: Arc::default(), replica, writer }
    }

    /// Why the server is not ready, if it is not. Later troubles are the status page's to tell: a server that lost
    /// its log still serves its last good state.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.reached.load(Ordering::Relaxed) {
            return Ok(());
        }
        // With a divergence the fold counts: the server reads on, and only writes are refused.
        let alarm = self.replica.alarm();
        let diverged = alarm.as_ref().is_some_and(|alarm| alarm.kind == AlarmKind::Divergence);
        if let Some(alarm) = alarm.filter(|_| !diverged) {
            return Err(alarm.detail.clone());
        }
        if self.replica.view().is_none() {
            let error = self.replica.status().last_error;
            return Err(error.unwrap_or_else(|| "there is no stream in the log yet".to_owned()));
        }
        if self.replica.view().is_some_and(|view| view.revision() < view.whole_at()) {
            return Err("this stream is being founded from another one's state, and that is not finished: run the \
                        same `headwater stream rebuild` again"
                .to_owned());
        }
        if self.replica.progress().borrow().phase != Phase::Live {
            let why = self.replica.status().last_error.map(|error| format!(": {error}"));
            let why = why.unwrap_or_default();
            return Err(format!("the replica has not caught up with the log yet{why}"));
        }
        if !diverged && let Some(why) = self.writer.as_ref().and_then(Writer::not_ready) {
            return Err(why);
        }
        self.reached.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use headwater_log::{Log, MemoryLog};
    use headwater_replica::{Follow, Settings};
    use headwater_schemas::{
        Commit, Digest, FORMAT, Genesis, Hash, StreamId, commit_schema, encode_commit,
        encode_genesis,
    };
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn a_server_that_starts_behind_a_divergence_is_ready_to_read() {
        let genesis = Genesis {
            stream_id: StreamId([1; 16]),
            format: FORMAT,
            created_at_ms: 0,
            schema: commit_schema().into(),
            cluster_id: None,
            supersedes: None,
        };
        let founding = encode_genesis(&genesis);
        let wrong = Commit {
            revision: 1,
            parent: Hash::of(&founding),
            changes: Vec::new(),
            digest: Digest::default(),
            ..genesis.commit().unwrap()
        };
        let log = MemoryLog::new();
        log.writer().unwrap().append(vec![founding, encode_commit(&wrong)]).await;
        let (replica, keeper) = Replica::new(Settings::default(), Follow::Log(Arc::new(log)), None);
        let readiness = Readiness::new(replica.clone(), None);
        assert!(readiness.check().is_err());
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keeper.run(stop.clone()));
        replica.caught_up().await.unwrap();
        assert_eq!(replica.alarm().unwrap().kind, AlarmKind::Divergence);
        assert_eq!(readiness.check(), Ok(()));
        stop.cancel();
        keeper.await.unwrap();
    }
}
