//! Archives: whole, incremental, safe at every step, and nothing damaged passes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use headwater_audit::archive::{Archive, archive};
use headwater_audit::{At, AuditError, Published, Report, replay};
use headwater_log::{LogReader, ReadError, Seek};
use headwater_schemas::Position;
use proptest::prelude::*;

use crate::support::{Story, first, put, reader};

async fn archived(records: &[Bytes], dir: &Path) -> Result<u64, AuditError> {
    let mut log = reader(records).await;
    archive(log.as_mut(), dir, |_| ()).await.map(|archived| archived.added)
}

async fn verified(dir: &Path) -> Result<Report, AuditError> {
    Archive::open(dir)?.verify(&Published::default(), |_| ()).await
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let mut segments: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|it| it == "hwa")).collect();
    segments.sort();
    segments
}

async fn all(mut reader: Box<dyn LogReader>) -> Result<Vec<Bytes>, ReadError> {
    let mut records = Vec::new();
    loop {
        let batch = reader.read(Duration::ZERO, 1_000).await?;
        records.extend(batch.records.into_iter().map(|record| record.bytes));
        if batch.at_end {
            return Ok(records);
        }
    }
}

#[tokio::test]
async fn an_archive_holds_the_chain_as_stored_and_verifies_by_itself() {
    let (story, dir) = (Story::of(40), tempfile::tempdir().unwrap());
    assert_eq!(archived(&story.records, dir.path()).await.unwrap(), 41);
    let held = Archive::open(dir.path()).unwrap();
    assert_eq!((held.manifest().revision, held.manifest().hash), story.tip());
    assert_eq!(all(held.reader()).await.unwrap(), story.records);
    let report = verified(dir.path()).await.unwrap();
    assert!(report.sound && report.commits == 40, "{report:?}");
    let replayed = replay(held.reader().as_mut(), At::Revision(17)).await.unwrap();
    assert_eq!(replayed.state, story.states[17]);
}

#[tokio::test]
async fn an_archive_goes_on_where_it_ends_and_changes_nothing_of_what_it_has() {
    let (mut story, dir) = (Story::of(5), tempfile::tempdir().unwrap());
    archived(&story.records, dir.path()).await.unwrap();
    let before: Vec<_> = segments(dir.path()).iter().map(|it| fs::read(it).unwrap()).collect();
    assert_eq!(archived(&story.records, dir.path()).await.unwrap(), 0, "there is nothing new");
    for number in 0..4 {
        story.commit(vec![put("db/1", format!("{number}").as_bytes())]);
    }
    // In another log of the same stream records stand elsewhere.
    let moved = [&[Bytes::from_static(b"noise")][..], &story.records[..]].concat();
    assert_eq!(archived(&moved, dir.path()).await.unwrap(), 4);
    let after = segments(dir.path());
    assert_eq!(after.len(), before.len() + 1);
    for (file, bytes) in after.iter().zip(&before) {
        assert_eq!(fs::read(file).unwrap(), *bytes);
    }
    assert!(verified(dir.path()).await.unwrap().sound);
    assert_eq!(all(Archive::open(dir.path()).unwrap().reader()).await.unwrap(), story.records);
}

#[tokio::test]
async fn an_archive_of_another_history_is_refused_and_left_as_it_is() {
    let (story, dir) = (Story::of(5), tempfile::tempdir().unwrap());
    archived(&story.records, dir.path()).await.unwrap();
    let mut other =
        Story { records: story.records[..4].to_vec(), states: story.states[..4].to_vec() };
    (0..4).for_each(|number| {
        other.commit(vec![put("db/8", format!("{number}").as_bytes())]);
    });
    let refused = archived(&other.records, dir.path()).await;
    assert!(matches!(refused, Err(AuditError::OtherChain { revision: 5, .. })), "{refused:?}");
    let shorter = archived(&story.records[..4], dir.path()).await;
    assert!(matches!(shorter, Err(AuditError::Beyond { wanted: 5, last: 3 })), "{shorter:?}");
    assert_eq!(all(Archive::open(dir.path()).unwrap().reader()).await.unwrap(), story.records);
}

#[tokio::test]
async fn a_broken_log_is_archived_up_to_the_break_and_no_further() {
    let (story, dir) = (Story::of(9), tempfile::tempdir().unwrap());
    let mut records = story.records.clone();
    records.remove(6);
    let broken = archived(&records, dir.path()).await;
    assert!(matches!(&broken, Err(AuditError::Broken(found)) if found.revision == 6), "{broken:?}");
    assert_eq!(Archive::open(dir.path()).unwrap().manifest().revision, 5);
    assert_eq!(archived(&story.records, dir.path()).await.unwrap(), 4, "a sound log goes on");
}

#[tokio::test]
async fn every_changed_bit_of_a_segment_or_manifest_is_refused() {
    let (mut story, dir) = (Story::of(4), tempfile::tempdir().unwrap());
    archived(&story.records, dir.path()).await.unwrap();
    story.commit(vec![put("db/1", b"1")]);
    archived(&story.records, dir.path()).await.unwrap();
    let mut files = segments(dir.path());
    files.push(dir.path().join("archive.json"));
    for file in files {
        let sound = fs::read(&file).unwrap();
        for at in 0..sound.len() {
            let mut changed = sound.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&file, changed).unwrap();
            refused(dir.path(), &format!("{}: byte {at}", file.display())).await;
            fs::write(&file, &sound[..at]).unwrap();
            refused(dir.path(), &format!("{}: cut at {at}", file.display())).await;
        }
        fs::remove_file(&file).unwrap();
        refused(dir.path(), "gone").await;
        fs::write(&file, &sound).unwrap();
    }
    assert!(verified(dir.path()).await.unwrap().sound);
}

async fn refused(dir: &Path, what: &str) {
    match verified(dir).await {
        Err(_) => {}
        Ok(report) => assert!(!report.sound, "{what}: {report:?}"),
    }
    if let Ok(archive) = Archive::open(dir) {
        assert!(all(archive.reader()).await.is_err(), "{what}: it can be read");
    }
}

/// The segment's file with other records in it, the manifest left as it was.
fn rewrite(file: &Path, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    const HEADER_BYTES: usize = 76;
    let bytes = fs::read(file).unwrap();
    let body = zstd::decode_all(&bytes[HEADER_BYTES..]).unwrap();
    let (mut records, mut rest) = (Vec::new(), body.as_slice());
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        records.push(rest[..12 + length].to_vec());
        rest = &rest[12 + length..];
    }
    change(&mut records);
    let body = zstd::encode_all(&records.concat()[..], 3).unwrap();
    fs::write(file, [&bytes[..HEADER_BYTES], &body].concat()).unwrap();
}

#[tokio::test]
async fn a_changed_removed_swapped_or_added_record_of_a_segment_is_found_at_its_revision() {
    let (story, dir) = (Story::of(12), tempfile::tempdir().unwrap());
    archived(&story.records, dir.path()).await.unwrap();
    let file = segments(dir.path()).remove(0);
    let sound = fs::read(&file).unwrap();
    let forged = {
        let mut other =
            Story { records: story.records[..5].to_vec(), states: story.states[..5].to_vec() };
        other.commit(vec![put("db/3", b"\"mine\"")]);
        other.records[5].clone()
    };
    type Change = Box<dyn Fn(&mut Vec<Vec<u8>>)>;
    let length = u32::try_from(forged.len()).unwrap();
    let framed = [&0_i64.to_le_bytes()[..], &length.to_le_bytes(), &forged].concat();
    let changes: [(u64, Change); 5] = [
        (5, Box::new(|records| records[5][150] ^= 1)),
        (12, Box::new(|records| records[12][150] ^= 1)),
        (5, Box::new(|records| drop(records.remove(5)))),
        (5, Box::new(|records| records.swap(5, 6))),
        (5, Box::new(move |records| records.insert(5, framed.clone()))),
    ];
    for (index, (revision, change)) in changes.into_iter().enumerate() {
        rewrite(&file, change);
        let report = verified(dir.path()).await.unwrap();
        assert_eq!(first(&report).0, revision, "{index}: {:?}", report.breaks);
        fs::write(&file, &sound).unwrap();
    }
}

#[tokio::test]
async fn a_reader_of_an_archive_is_a_reader_of_a_log() {
    let (story, dir) = (Story::of(20), tempfile::tempdir().unwrap());
    archived(&story.records[..8], dir.path()).await.unwrap();
    archived(&story.records, dir.path()).await.unwrap();
    let mut log = Archive::open(dir.path()).unwrap().reader();
    assert_eq!(log.end().await.unwrap(), Position(21));
    for from in [0, 7, 8, 20] {
        assert_eq!(log.seek(Seek::At(Position(from))).await.unwrap(), Position(from));
        let batch = log.read(Duration::ZERO, 1).await.unwrap();
        assert_eq!(batch.records[0].bytes, story.records[from as usize], "at least one record");
        assert_eq!((batch.records.len(), batch.next), (1, Position(from + 1)));
    }
    assert_eq!(log.seek(Seek::Newest).await.unwrap(), Position(21));
    let batch = log.read(Duration::ZERO, 1).await.unwrap();
    assert!(batch.records.is_empty() && batch.at_end);
    log.seek(Seek::At(Position(22))).await.unwrap();
    let beyond = log.read(Duration::ZERO, 1).await;
    assert!(matches!(beyond, Err(ReadError::OutOfRange { .. })), "{beyond:?}");
    assert_eq!(log.seek(Seek::BeforeTime(i64::MAX)).await.unwrap(), Position(21));
    assert_eq!(log.seek(Seek::BeforeTime(0)).await.unwrap(), Position(0));
}

#[tokio::test]
async fn an_archive_keeps_its_bytes() {
    let story = Story::of(3);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/archive");
    if std::env::var_os("HEADWATER_BLESS").is_some() {
        let _ = fs::remove_dir_all(&golden);
        archived(&story.records, &golden).await.unwrap();
        fs::remove_file(golden.join(".archive.lock")).unwrap();
    }
    let report = verified(&golden).await.unwrap();
    assert!(report.sound && report.head.unwrap().hash == story.tip().1, "{report:?}");
    let held = Archive::open(&golden).unwrap();
    assert_eq!(all(held.reader()).await.unwrap(), story.records);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_is_no_archive(
        manifest in proptest::collection::vec(any::<u8>(), 0..600),
        segment in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (story, dir) = (Story::of(2), tempfile::tempdir().unwrap());
            archived(&story.records, dir.path()).await.unwrap();
            fs::write(segments(dir.path()).remove(0), &segment).unwrap();
            refused(dir.path(), "a segment").await;
            fs::write(dir.path().join("archive.json"), &manifest).unwrap();
            assert!(Archive::open(dir.path()).is_err());
        });
    }
}
