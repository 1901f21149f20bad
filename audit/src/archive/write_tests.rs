//! A crash at any step of an archive's run.

use std::collections::BTreeMap;
use std::path::Path;

use headwater_log::{Log, MemoryLog};
use headwater_schemas::{
    Commit, FORMAT, Genesis, Hash, State, StreamId, commit_schema, encode_commit, encode_genesis,
};

use super::manifest::MANIFEST;
use super::write::archive_by_steps;
use super::{Archive, archive, lock};
use crate::{AuditError, Published};

/// A log of a genesis and so many barriers.
async fn log(commits: u64) -> MemoryLog {
    let genesis = Genesis {
        stream_id: StreamId([3; 16]),
        format: FORMAT,
        created_at_ms: 1_700_000_000_000,
        schema: commit_schema().into(),
        cluster_id: None,
        supersedes: None,
    };
    let mut records = vec![encode_genesis(&genesis)];
    let state = State::found(&genesis.commit().unwrap(), Hash::of(&records[0]));
    for revision in 1..=commits {
        let parent = Hash::of(&records[records.len() - 1]);
        let commit = Commit {
            stream_id: genesis.stream_id,
            format: FORMAT,
            revision,
            parent,
            commit_id: headwater_schemas::CommitId::nil(),
            at_ms: genesis.created_at_ms,
            actor: "ada".into(),
            reason: None,
            idempotency: None,
            expects: Vec::new(),
            changes: Vec::new(),
            digest: state.totals().digest(),
            attributes: BTreeMap::new(),
        };
        records.push(encode_commit(&commit));
    }
    let log = MemoryLog::new();
    log.writer().unwrap().append(records).await;
    log
}

/// Archives, and ends at one step as a crash would.
async fn crashed(log: &MemoryLog, dir: &Path, at: usize) -> bool {
    let mut taken = 0;
    let mut steps = |_| {
        taken += 1;
        if taken > at { Err(AuditError::Stopped("a crash")) } else { Ok(()) }
    };
    let mut reader = log.reader().await.unwrap();
    archive_by_steps(reader.as_mut(), dir, |_| (), &mut steps).await.is_err()
}

#[tokio::test]
async fn a_crash_at_any_step_leaves_an_archive_that_is_whole_and_is_gone_on_with() {
    let (short, long) = (log(5).await, log(9).await);
    for at in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let mut reader = short.reader().await.unwrap();
        archive(reader.as_mut(), dir.path(), |_| ()).await.unwrap();
        let interrupted = crashed(&long, dir.path(), at).await;
        // A crash leaves its temporary files behind, where an error would not.
        std::fs::write(dir.path().join(".left.1.1.hw-tmp"), b"half").unwrap();
        let held = Archive::open(dir.path()).unwrap();
        let report = held.verify(&Published::default(), |_| ()).await.unwrap();
        assert!(report.sound, "step {at}: {report:?}");
        assert!([5, 9].contains(&held.manifest().revision), "step {at}");
        let mut reader = long.reader().await.unwrap();
        archive(reader.as_mut(), dir.path(), |_| ()).await.unwrap();
        let held = Archive::open(dir.path()).unwrap();
        assert_eq!(held.manifest().revision, 9, "step {at}");
        assert!(held.verify(&Published::default(), |_| ()).await.unwrap().sound);
        let left = std::fs::read_dir(dir.path()).unwrap();
        let left =
            left.filter(|it| it.as_ref().unwrap().path().to_string_lossy().ends_with(".hw-tmp"));
        assert_eq!(left.count(), 0, "step {at}");
        if !interrupted {
            assert_eq!(at, 12, "six steps for the segment, six for the manifest");
            return;
        }
    }
}

#[tokio::test]
async fn a_crash_at_any_step_of_the_first_run_leaves_nothing_or_all() {
    let log = log(5).await;
    for at in 0..12 {
        let dir = tempfile::tempdir().unwrap();
        assert!(crashed(&log, dir.path(), at).await);
        let named = dir.path().join(MANIFEST).exists();
        assert_eq!(named, at >= 10, "step {at}");
        let mut reader = log.reader().await.unwrap();
        archive(reader.as_mut(), dir.path(), |_| ()).await.unwrap();
        assert_eq!(Archive::open(dir.path()).unwrap().manifest().revision, 5);
    }
}

#[tokio::test]
async fn two_at_once_do_not_write_one_archive() {
    let (log, dir) = (log(5).await, tempfile::tempdir().unwrap());
    let _held = lock(dir.path()).unwrap();
    let mut reader = log.reader().await.unwrap();
    let refused = archive(reader.as_mut(), dir.path(), |_| ()).await.unwrap_err();
    assert!(refused.to_string().contains("another process"), "{refused}");
}
