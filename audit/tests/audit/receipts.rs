//! Receipts: what they prove, and that nothing else passes.

use std::io::Cursor;

use headwater_audit::{AuditError, Proof, ReceiptError, check_receipt, write_receipt};
use headwater_schemas::Hash;
use proptest::prelude::*;

use crate::support::{Story, reader};

async fn receipt(
    story: &Story,
    revision: u64,
    head: Option<(u64, Hash)>,
) -> Result<(Vec<u8>, Proof), AuditError> {
    let mut log = reader(&story.records).await;
    let mut bytes = Vec::new();
    let proof = write_receipt(log.as_mut(), revision, head, &mut bytes).await?;
    Ok((bytes, proof))
}

fn check(bytes: &[u8], head: Option<(u64, Hash)>) -> Result<Proof, ReceiptError> {
    check_receipt(Cursor::new(bytes), head)
}

#[tokio::test]
async fn a_receipt_proves_its_commit_up_to_the_head_whatever_the_size_of_records() {
    for size in [20, 990, 1_200, 5_000, 100_000] {
        let story = Story::with_values(12, size);
        for revision in [0, 1, 7, 11, 12] {
            let (bytes, proof) = receipt(&story, revision, None).await.unwrap();
            let checked = check(&bytes, Some(story.tip())).unwrap();
            assert_eq!(checked, proof, "{size} {revision}");
            assert_eq!(checked.record, story.records[revision as usize]);
            assert_eq!(checked.point, story.point(revision as usize));
            assert_eq!(checked.commit.unwrap().revision, revision);
        }
        let whole: usize = story.records.iter().map(|record| record.len()).sum();
        let (bytes, _) = receipt(&story, 1, None).await.unwrap();
        assert!(bytes.len() < 4_096 + size + 12 * 1_500 && bytes.len() < whole + 4_096, "{size}");
    }
}

#[tokio::test]
async fn a_receipt_leads_to_the_head_that_was_asked_for_and_to_no_other() {
    let story = Story::of(12);
    let point = story.point(9);
    let head = (9, point.hash);
    let (bytes, proof) = receipt(&story, 4, Some(head)).await.unwrap();
    assert_eq!(proof.head, point);
    assert!(check(&bytes, Some(head)).is_ok() && check(&bytes, None).is_ok());
    let other = check(&bytes, Some(story.tip()));
    assert!(matches!(other, Err(ReceiptError::OtherHead(at)) if at == point), "{other:?}");
    let wrong = receipt(&story, 4, Some((9, Hash([9; 32])))).await;
    assert!(matches!(wrong, Err(AuditError::OtherChain { revision: 9, .. })), "{wrong:?}");
    for (revision, head) in [(13, None), (4, Some((20, Hash([9; 32]))))] {
        let beyond = receipt(&story, revision, head).await;
        assert!(matches!(beyond, Err(AuditError::Beyond { last: 12, .. })), "{beyond:?}");
    }
}

#[tokio::test]
async fn no_changed_bit_and_no_cut_of_a_receipt_passes() {
    let story = Story::with_values(6, 1_100);
    let (bytes, _) = receipt(&story, 3, None).await.unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(check(&changed, None).is_err(), "byte {at}");
        assert!(check(&bytes[..at], None).is_err(), "cut at {at}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(check(&longer, None).is_err());
}

/// A receipt with another body and a right hash over it.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut bytes = [b"HWRECPT\0".as_slice(), &1_u32.to_le_bytes()].concat();
    bytes.extend(zstd::encode_all(body, 1).unwrap());
    let hash = blake3::hash(&bytes);
    bytes.extend(hash.as_bytes());
    bytes
}

fn body(bytes: &[u8]) -> Vec<u8> {
    zstd::decode_all(&bytes[12..bytes.len() - 32]).unwrap()
}

#[tokio::test]
async fn a_forged_link_is_refused_although_the_file_is_whole() {
    let story = Story::with_values(6, 1_100);
    let (bytes, proof) = receipt(&story, 3, None).await.unwrap();
    let sound = body(&bytes);
    assert_eq!(check(&sealed(&sound), None).unwrap(), proof);
    for at in 0..sound.len() {
        let mut forged = sound.clone();
        forged[at] ^= 1 << (at % 8);
        let checked = check(&sealed(&forged), Some(story.tip()));
        assert!(checked.is_err(), "byte {at}: {checked:?}");
    }
    for cut in 0..sound.len() {
        assert!(check(&sealed(&sound[..cut]), None).is_err(), "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..4_000)) {
        prop_assert!(check(&bytes, None).is_err());
        prop_assert!(check(&sealed(&bytes), None).is_err());
    }
}

#[tokio::test]
async fn a_receipt_keeps_its_bytes() {
    let story = Story::of(3);
    let (bytes, proof) = receipt(&story, 2, None).await.unwrap();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/receipt.bin");
    if std::env::var_os("HEADWATER_BLESS").is_some() {
        std::fs::write(golden, &bytes).unwrap();
    }
    let golden = std::fs::read(golden).unwrap();
    // zstd's output may differ from version to version; what is in it does not.
    assert_eq!(body(&golden), body(&bytes));
    assert_eq!(check(&golden, Some(story.tip())).unwrap(), proof);
}
