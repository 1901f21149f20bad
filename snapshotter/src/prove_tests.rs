//! A proof that cannot fail proves nothing.

use headwater_schemas::{Hash, Position};

use super::*;
use crate::materialise::CatchUp;
use crate::materialise::chain::{Chain, json};
use crate::shelf::Shelf;
use crate::steps::Steps;
use crate::store::Store;

struct Sample {
    _dir: tempfile::TempDir,
    store: Store,
    shelf: Shelf,
    chain: Chain,
    records: Vec<Record>,
}

/// Twenty commits over four keys, and an image in the middle of them.
fn sample() -> Sample {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let shelf = Shelf::open(&dir.path().join("images")).unwrap();
    let (mut chain, genesis) = Chain::begin(1);
    let mut records = vec![Record { position: Position(0), appended_at_ms: 1, bytes: genesis }];
    for n in 0..20u64 {
        let bytes = chain.next("ann", vec![json("n", &format!("k{}", n % 4), &n.to_string())]);
        records.push(Record { position: Position(n + 1), appended_at_ms: 1, bytes });
        if n == 9 {
            let state = &chain.state;
            WireImage::write(shelf.dir(), state.head(), state.totals(), Position(10), 1, |visit| {
                state
                    .iter()
                    .try_for_each(|(n, k, entry)| visit(n.as_str(), k.as_str(), entry.as_ref()))
            })
            .unwrap();
        }
    }
    CatchUp::new(&store).unwrap().take(&store, &records, &Steps::default()).unwrap();
    Sample { _dir: dir, store, shelf, chain, records }
}

#[test]
fn a_true_image_is_proved_from_the_one_before_and_from_the_genesis() {
    let sample = sample();
    let (rows, state) = (sample.store.rows(), &sample.chain.state);
    let before = sample.shelf.images().unwrap();
    assert_eq!(before.len(), 1);
    prove(&rows, &before, state.head(), state.totals(), &|| false).unwrap();
    prove(&rows, &[], state.head(), state.totals(), &|| false).unwrap();
}

#[test]
fn an_image_that_no_replay_leads_to_is_not_proved() {
    let sample = sample();
    let (rows, state) = (sample.store.rows(), &sample.chain.state);
    let before = sample.shelf.images().unwrap();
    let (mut other, _) = Chain::begin(1);
    for n in 0..20u64 {
        other.next("ann", vec![json("n", "other", &n.to_string())]);
    }
    let totals = prove(&rows, &before, state.head(), other.state.totals(), &|| false);
    assert!(matches!(totals, Err(ProofError::Unproved { revision: 20, .. })), "{totals:?}");
    let head = prove(
        &rows,
        &before,
        &Head { hash: Hash([1; 32]), ..*state.head() },
        state.totals(),
        &|| false,
    );
    assert!(matches!(head, Err(ProofError::Unproved { .. })), "{head:?}");
}

#[test]
fn an_image_before_that_lies_is_found_out() {
    let sample = sample();
    let state = &sample.chain.state;
    // An image under the right name and hash, whole in itself, with another state in it.
    let Shelved { revision, hash, path } = sample.shelf.images().unwrap().remove(0);
    std::fs::remove_file(path).unwrap();
    let (mut other, _) = Chain::begin(1);
    for n in 0..10u64 {
        other.next("ann", vec![json("n", "other", &n.to_string())]);
    }
    let head = Head { revision, hash, ..*other.state.head() };
    WireImage::write(sample.shelf.dir(), &head, other.state.totals(), Position(10), 1, |visit| {
        other
            .state
            .iter()
            .try_for_each(|(n, k, entry)| visit(n.as_str(), k.as_str(), entry.as_ref()))
    })
    .unwrap();
    let before = sample.shelf.images().unwrap();
    let proved = prove(&sample.store.rows(), &before, state.head(), state.totals(), &|| false);
    assert!(matches!(proved, Err(ProofError::Unproved { .. })), "{proved:?}");
}

#[test]
fn rows_with_a_hole_prove_nothing() {
    let sample = sample();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    CatchUp::new(&store).unwrap().take(&store, &sample.records[..15], &Steps::default()).unwrap();
    let state = &sample.chain.state;
    let proved = prove(&store.rows(), &[], state.head(), state.totals(), &|| false);
    assert!(matches!(proved, Err(ProofError::Unproved { .. })), "{proved:?}");
}
