//! One changed, removed, swapped or added record: found at its revision.

use bytes::Bytes;
use headwater_audit::{Published, verify};
use headwater_schemas::{Hash, encode_commit, encode_marker};
use proptest::prelude::*;

use crate::support::{Story, drafted, first, flipped, put, reader, verified};

#[tokio::test]
async fn a_sound_history_is_proven_to_its_head() {
    let story = Story::of(50);
    let report = verified(&story.records, &story.published()).await;
    assert!(report.sound && report.breaks.is_empty(), "{report:?}");
    let (head, state) = (report.head.unwrap(), story.state());
    assert_eq!((head.revision, head.hash), story.tip());
    assert_eq!((head.digest, head.entries), (state.totals().digest(), state.totals().entries()));
    assert_eq!(report.proven, report.head);
    assert_eq!((report.commits, report.records, report.confirmed.len()), (50, 51, 1));
}

#[tokio::test]
async fn every_changed_byte_of_every_record_but_the_last_is_found_at_its_revision() {
    let story = Story::of(6);
    for revision in 0..6 {
        for at in 0..story.records[revision].len() {
            let mut records = story.records.clone();
            records[revision] = flipped(&records[revision], at, (at % 8) as u8);
            let report = verified(&records, &Published::default()).await;
            // A genesis that is none leaves a log that begins behind it.
            let (found, kind) = first(&report);
            assert_eq!(found, revision as u64, "byte {at}: {kind}: {:?}", report.breaks);
            let proven = report.proven.map(|place| place.revision);
            assert_eq!(proven, found.checked_sub(1), "byte {at}: {kind}");
        }
    }
}

#[tokio::test]
async fn a_changed_byte_of_the_last_record_is_found_by_a_published_head() {
    let story = Story::of(6);
    for at in 0..story.records[6].len() {
        let mut records = story.records.clone();
        records[6] = flipped(&records[6], at, (at % 8) as u8);
        let report = verified(&records, &story.published()).await;
        let (found, kind) = first(&report);
        assert_eq!(found, 6, "byte {at}: {kind}: {:?}", report.breaks);
    }
}

#[tokio::test]
async fn a_removed_record_is_found_at_its_revision() {
    let story = Story::of(8);
    for revision in 0..8 {
        let mut records = story.records.clone();
        records.remove(revision);
        let kind = if revision == 0 { "beginning" } else { "missing" };
        let report = verified(&records, &Published::default()).await;
        assert_eq!(first(&report), (revision as u64, kind));
    }
    let report = verified(&story.records[..8], &story.published()).await;
    assert_eq!(first(&report), (8, "cut"), "the last one shows by a published head");
    assert_eq!(report.proven.unwrap().revision, 7);
}

#[tokio::test]
async fn two_swapped_records_are_found_at_the_first_of_them() {
    let story = Story::of(8);
    for revision in 0..8 {
        let mut records = story.records.clone();
        records.swap(revision, revision + 1);
        let report = verified(&records, &Published::default()).await;
        assert_eq!(first(&report), (revision as u64, "swapped"), "{:?}", report.breaks);
    }
}

/// A commit that fits behind a revision and is none of the history's.
fn forged(story: &Story, behind: usize) -> Bytes {
    let mut commit = drafted(&story.states[behind], vec![put("db/0", b"\"mine\"")]);
    commit.actor = "eve".into();
    let mut state = story.states[behind].clone();
    commit.digest = {
        let folded = state.apply(&commit, Hash::default());
        folded.totals.digest()
    };
    encode_commit(&commit)
}

#[tokio::test]
async fn an_added_record_is_found_at_the_revision_it_takes() {
    let story = Story::of(8);
    for behind in 0..7 {
        let mut records = story.records.clone();
        records.insert(behind + 1, forged(&story, behind));
        let report = verified(&records, &Published::default()).await;
        assert_eq!(first(&report), (behind as u64 + 1, "fork"), "{:?}", report.breaks);
        assert_eq!(report.proven.unwrap().revision, behind as u64);
        let report = verified(&records, &story.published()).await;
        assert_eq!(first(&report).0, behind as u64 + 1, "with the published head, too");
    }
}

#[tokio::test]
async fn two_published_heads_that_contradict_each_other_are_a_break_and_the_rest_is_proven() {
    let story = Story::of(10);
    let wrong = Hash([9; 32]);
    for revision in [4, 10] {
        let real = story.point(revision).hash;
        let published: Published =
            [(revision as u64, real), (revision as u64, wrong)].into_iter().collect();
        let report = verified(&story.records, &published).await;
        assert_eq!((report.breaks.len(), first(&report)), (1, (revision as u64, "published")));
        assert!(report.breaks[0].detail.contains(&wrong.to_string()), "{report:?}");
        assert_eq!(report.proven.unwrap().revision, revision as u64 - 1);
        assert_eq!((report.confirmed.len(), report.confirmed[0].hash), (1, real));
    }
    // Above the log's end no two can be right, and the log is cut in any case.
    let published: Published = [(12, wrong), (12, Hash([8; 32]))].into_iter().collect();
    let report = verified(&story.records, &published).await;
    assert_eq!((first(&report), report.proven.unwrap().revision), ((11, "cut"), 10));
}

#[tokio::test]
async fn a_forged_history_that_is_longer_than_the_real_one_is_found_by_a_published_head() {
    let story = Story::of(8);
    let mut other =
        Story { records: story.records[..5].to_vec(), states: story.states[..5].to_vec() };
    for number in 0..9 {
        other.commit(vec![put("db/1", format!("{number}").as_bytes())]);
    }
    let records = [&other.records[..], &story.records[5..]].concat();
    assert!(verified(&records, &Published::default()).await.sound, "only a head tells");
    let report = verified(&records, &story.published()).await;
    assert_eq!(first(&report), (5, "fork"));
    let kinds: Vec<_> = report.breaks.iter().map(|found| found.kind.name()).collect();
    assert_eq!(kinds, ["fork", "published"]);
}

#[tokio::test]
async fn what_loses_races_is_counted_and_is_no_break() {
    let story = Story::of(8);
    let mut records = story.records.clone();
    // A loser and what was pipelined behind it, copies, a marker, somebody else's bytes.
    let mut loser =
        Story { records: story.records[..4].to_vec(), states: story.states[..4].to_vec() };
    (0..6).for_each(|number| {
        loser.commit(vec![put("db/9", format!("{number}").as_bytes())]);
    });
    let strays: Vec<Bytes> = loser.records[4..].to_vec();
    records.splice(5..5, strays);
    records.insert(4, records[2].clone());
    records.insert(6, encode_marker(7));
    records.push(Bytes::from_static(b"hello"));
    let report = verified(&records, &Published::default()).await;
    assert!(report.sound, "{report:?}");
    let ignored = &report.ignored;
    assert_eq!((ignored.late, ignored.ahead, ignored.markers, ignored.other), (2, 5, 1, 1));
    assert_eq!(report.head.unwrap().revision, 8);
}

#[tokio::test]
async fn a_race_lost_at_the_very_end_is_settled_by_a_published_head() {
    let mut story = Story::of(8);
    let mut loser = story.clone();
    for number in 0..3 {
        loser.commit(vec![put("db/9", format!("{number}").as_bytes())]);
    }
    story.commit(vec![put("db/1", b"1")]);
    let records = [&story.records[..], &loser.records[9..]].concat();
    let report = verified(&records, &Published::default()).await;
    assert_eq!(first(&report), (9, "fork"));
    assert!(verified(&records, &story.published()).await.sound);
    assert_eq!(first(&verified(&records, &loser.published()).await).0, 9, "the other one was real");
}

#[tokio::test]
async fn a_commit_whose_digest_is_wrong_is_found_although_the_chain_holds() {
    let mut story = Story::of(5);
    story.altered(vec![put("db/1", b"1")], |commit| commit.digest.0[3] ^= 1);
    story.commit(vec![put("db/2", b"2")]);
    let report = verified(&story.records, &Published::default()).await;
    assert_eq!(first(&report), (6, "digest"));
    assert_eq!((report.proven.unwrap().revision, report.head.unwrap().revision), (5, 7));
}

#[tokio::test]
async fn a_commit_older_than_the_one_before_it_is_found() {
    let mut story = Story::of(5);
    story.commit(vec![]).altered(vec![], |commit| commit.at_ms -= 5_000);
    assert_eq!(first(&verified(&story.records, &Published::default()).await), (7, "time"));
}

#[tokio::test]
async fn garbage_is_no_history_and_no_crash() {
    let garbage: Vec<Bytes> =
        (0..200_u8).map(|n| Bytes::from(vec![n.wrapping_mul(37); usize::from(n)])).collect();
    assert_eq!(first(&verified(&garbage, &Published::default()).await), (0, "beginning"));
    assert_eq!(first(&verified(&[], &Published::default()).await), (0, "beginning"));
}

#[tokio::test]
async fn progress_is_told_up_to_the_end() {
    let story = Story::of(20);
    let mut last = None;
    verify(reader(&story.records).await, &Published::default(), |at| last = Some(at))
        .await
        .unwrap();
    let last = last.unwrap();
    assert_eq!((last.records, last.position, last.end.0), (21, last.end, 21));
}

/// What writers leave behind that lost a race: a record in the place behind `behind`, and what was pipelined behind it.
fn losers(story: &Story, behind: usize, pipelined: usize) -> Vec<Bytes> {
    let mut loser = Story {
        records: story.records[..=behind].to_vec(),
        states: story.states[..=behind].to_vec(),
    };
    for number in 0..=pipelined {
        loser.commit(vec![put("db/9", format!("{behind} {number}").as_bytes())]);
    }
    loser.records.split_off(behind + 1)
}

/// A history with noise: behind some records stand losers, copies and markers.
fn noisy(story: &Story, noise: &[(usize, u8)]) -> Vec<Vec<Bytes>> {
    let mut log: Vec<Vec<Bytes>> =
        story.records.iter().map(|record| vec![record.clone()]).collect();
    // Behind the last two everything is quiet: the chain went on.
    let places = log.len() - 2;
    for (place, kind) in noise {
        let behind = place % places;
        match kind % 4 {
            0 => log[behind].push(encode_marker(7)),
            1 => log[behind].push(story.records[behind / 2].clone()),
            // A loser stands behind the record that was first.
            kind => log[behind + 1].extend(losers(story, behind, usize::from(kind % 2) * 3)),
        }
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn noise_hides_nothing_and_is_no_break(
        commits in 6_u64..24,
        noise in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..12),
        place in any::<usize>(),
        tamper in 0..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let story = Story::of(commits);
        let sound = noisy(&story, &noise);
        let report = runtime.block_on(verified(&sound.concat(), &Published::default()));
        prop_assert!(report.sound, "{:?}", report.breaks);
        // The last two are left alone: what tells of them stands behind them.
        let revision = 1 + place % (story.records.len() - 3);
        let mut log = sound;
        match tamper {
            0 => {
                let at = log[revision][0].len() * 2 / 3;
                log[revision][0] = flipped(&log[revision][0], at, 1);
            }
            1 => drop(log[revision].remove(0)),
            2 => {
                let (mine, next) = (log[revision][0].clone(), log[revision + 1][0].clone());
                (log[revision][0], log[revision + 1][0]) = (next, mine);
            }
            _ => log[revision].insert(0, forged(&story, revision - 1)),
        }
        let report = runtime.block_on(verified(&log.concat(), &story.published()));
        prop_assert!(!report.sound);
        let (found, kind) = first(&report);
        prop_assert_eq!(found, revision as u64, "{} {:?}", kind, report.breaks);
    }
}
