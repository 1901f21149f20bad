//! Operators' words: a stream that was adopted, resumed or rebuilt is valid, and says so.

use bytes::Bytes;
use headwater_audit::Published;
use headwater_schemas::{Hash, Point, StreamId, Word};

use crate::support::{STREAM, Story, first, put, verified};

fn said(story: &mut Story, word: Word) {
    let change = word.change(None);
    story.commit(vec![change]);
}

#[tokio::test]
async fn a_stream_that_was_adopted_is_sound_and_says_so() {
    let mut story = Story::of(4);
    let point = story.point(4);
    said(&mut story, Word::Adopts(point));
    story.commit(vec![put("db/1", b"1")]);
    let report = verified(&story.records, &story.published()).await;
    assert!(report.sound, "{report:?}");
    assert_eq!((report.words[0].word, report.words[0].revision), ("adopts", 5));
}

#[tokio::test]
async fn a_word_that_names_another_point_is_a_break() {
    let mut story = Story::of(4);
    let point = story.point(3);
    said(&mut story, Word::Adopts(point));
    assert_eq!(first(&verified(&story.records, &Published::default()).await), (5, "word"));
}

#[tokio::test]
async fn a_wrong_commit_that_an_operator_accepted_is_no_break() {
    let mut story = Story::of(4);
    story.altered(vec![put("db/1", b"1")], |commit| commit.digest.0[0] ^= 1);
    let point = story.point(5);
    said(&mut story, Word::Accepts(point));
    let report = verified(&story.records, &Published::default()).await;
    assert!(report.sound, "{report:?}");
    assert_eq!(report.words[0].word, "accepts");
}

/// More commits than a report lists, none of which leads to the digest it says.
fn wrong() -> Story {
    let mut story = Story::found(None);
    for _ in 0..150 {
        story.altered(vec![put("db/1", b"1")], |commit| commit.digest.0[0] ^= 1);
    }
    story
}

#[tokio::test]
async fn a_word_hides_no_break_behind_more_than_a_report_lists() {
    let mut story = wrong();
    let point = story.point(150);
    said(&mut story, Word::Accepts(point));
    assert!(verified(&story.records, &Published::default()).await.sound);
    let published = [(120, Hash([1; 32]))].into_iter().collect();
    let report = verified(&story.records, &published).await;
    assert_eq!((first(&report), report.sound), ((120, "published"), false));
    assert_eq!(report.proven.unwrap().revision, 119);
}

#[tokio::test]
async fn a_word_accepts_nothing_behind_the_point_it_names() {
    let mut story = wrong();
    let point = story.point(120);
    said(&mut story, Word::Accepts(point));
    let report = verified(&story.records, &Published::default()).await;
    assert_eq!((first(&report), report.sound), ((150, "digest"), false));
    assert_eq!(report.proven.unwrap().revision, 120, "what is not listed is not called proven");
}

#[tokio::test]
async fn a_word_that_accepts_what_is_not_there_is_a_break_and_accepts_nothing() {
    for (revision, at) in [(5, 4), (5, 6), (6, 5)] {
        let mut story = Story::of(4);
        story.altered(vec![put("db/1", b"1")], |commit| commit.digest.0[0] ^= 1);
        let point = Point { revision, ..story.point(at.min(5)) };
        let point = if at == 6 { Point { hash: Hash([1; 32]), ..point } } else { point };
        said(&mut story, Word::Accepts(point));
        let report = verified(&story.records, &Published::default()).await;
        let kinds: Vec<_> = report.breaks.iter().map(|it| (it.revision, it.kind.name())).collect();
        assert_eq!(kinds, [(5, "digest"), (6, "word")], "{revision} with the hash of {at}");
    }
}

/// A history whose fifth commit nobody can read.
fn unreadable() -> Story {
    let mut story = Story::of(4);
    story.commit(vec![]);
    let mut record = story.records[5].to_vec();
    // Its schema's fingerprint.
    record[4] ^= 0xFF;
    let hash = Hash::of(&record);
    story.records[5] = Bytes::from(record);
    // What it counts as: nothing, at the place before it.
    let before = story.states[4].clone();
    let mut skipped = crate::support::drafted(&before, vec![]);
    skipped.at_ms = before.head().at_ms;
    let mut state = before;
    state.apply(&skipped, hash);
    story.states[5] = state;
    story
}

#[tokio::test]
async fn an_unreadable_commit_is_a_break_until_an_operator_has_it_skipped() {
    let mut story = unreadable();
    let report = verified(&story.records, &Published::default()).await;
    assert_eq!(first(&report), (5, "undecodable"));
    assert_eq!(report.proven.unwrap().revision, 4);
    let point = story.point(5);
    said(&mut story, Word::Skips(point));
    story.commit(vec![put("db/1", b"1")]);
    let report = verified(&story.records, &story.published()).await;
    assert!(report.sound, "{report:?}");
    assert_eq!(report.head.unwrap().revision, 7);
}

#[tokio::test]
async fn an_unreadable_commit_behind_which_others_wrote_stays_a_break() {
    let mut story = unreadable();
    story.commit(vec![put("db/1", b"1")]);
    let report = verified(&story.records, &Published::default()).await;
    assert_eq!(first(&report), (5, "undecodable"));
    assert!(report.breaks[0].detail.contains("somebody could read it"), "{:?}", report.breaks);
}

#[tokio::test]
async fn a_skip_of_what_can_be_read_is_a_break() {
    let mut story = Story::of(4);
    let point = story.point(4);
    said(&mut story, Word::Skips(point));
    assert_eq!(first(&verified(&story.records, &Published::default()).await), (5, "word"));
}

#[tokio::test]
async fn a_rebuilt_stream_says_from_where() {
    let from = Point { stream_id: StreamId([1; 16]), revision: 40, hash: Hash([2; 32]) };
    let mut story = Story::found(Some((from, 1)));
    story.commit(vec![put("db/1", b"1")]);
    let report = verified(&story.records, &story.published()).await;
    assert!(report.sound && report.stream_id == Some(STREAM), "{report:?}");
    assert_eq!((report.words[0].point, report.words[0].commits), (from, Some(1)));
}
