//! Frames: what is written is read back in any chunks, by us and by the Avro library.

use apache_avro::Schema;
use apache_avro::types::Value;
use bytes::{Bytes, BytesMut};
use headwater_api::{Code, Frame, FrameDecoder, FrameError, MAX_FRAME_BYTES, Problem};
use headwater_schemas::{Digest, Hash, Position, StreamId};
use proptest::prelude::*;

fn frames() -> impl Strategy<Value = Frame> {
    let number = 0..=i64::MAX.cast_unsigned();
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    let head = (number.clone(), any::<[u8; 32]>(), any::<[u8; 32]>(), number.clone());
    prop_oneof![
        (number.clone(), any::<i64>(), bytes()).prop_map(|(position, appended_at_ms, record)| {
            Frame::Commit { position: Position(position), appended_at_ms, record }
        }),
        (number.clone(), any::<[u8; 32]>(), number.clone(), bytes()).prop_map(
            |(previous, hash, position, commit)| Frame::Filtered {
                previous,
                hash: Hash(hash),
                position: Position(position),
                commit,
            }
        ),
        (number, head.clone()).prop_map(|(previous, (revision, hash, digest, position))| {
            Frame::Progress {
                previous,
                revision,
                hash: Hash(hash),
                digest: Digest(digest),
                position: Position(position),
            }
        }),
        (any::<[u8; 16]>(), head).prop_map(|(id, (revision, hash, digest, position))| {
            Frame::Heartbeat {
                stream_id: StreamId(id),
                revision,
                hash: Hash(hash),
                digest: Digest(digest),
                position: Position(position),
            }
        }),
        ".{0,40}".prop_map(|detail| {
            let mut problem =
                Problem::new(Code::RevisionCompacted, detail).with("oldest_revision", 9);
            problem.retry_after = None;
            Frame::End { problem }
        }),
    ]
}

/// All frames there are, and the error that ends them.
fn drain(decoder: &mut FrameDecoder) -> (Vec<Frame>, Option<FrameError>) {
    let mut frames = Vec::new();
    loop {
        match decoder.next_frame() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}

proptest! {
    #[test]
    fn frames_come_back_however_the_bytes_are_cut(sent in proptest::collection::vec(frames(), 0..8), chunk in 1usize..64) {
        let mut bytes = BytesMut::new();
        for frame in &sent {
            frame.encode(&mut bytes);
        }
        let (mut decoder, mut received) = (FrameDecoder::default(), Vec::new());
        for part in bytes.chunks(chunk) {
            decoder.push(part);
            let (frames, error) = drain(&mut decoder);
            prop_assert_eq!(error, None);
            received.extend(frames);
        }
        prop_assert!(!decoder.is_mid_frame());
        prop_assert_eq!(received, sent);
    }

    #[test]
    fn the_avro_library_reads_the_same(frame in frames()) {
        let union = Schema::parse_str(include_str!("../avro/frame.avsc")).unwrap();
        let bytes = frame.to_bytes();
        let mut body = &bytes[4..];
        #[allow(deprecated)]
        let value = apache_avro::from_avro_datum(&union, &mut body, None).unwrap();
        prop_assert!(body.is_empty());
        let Value::Union(index, record) = value else { panic!("a union") };
        let Value::Record(fields) = *record else { panic!("a record") };
        let field = |name: &str| fields.iter().find(|(n, _)| n == name).unwrap().1.clone();
        let long = |value: u64| Value::Long(i64::try_from(value).unwrap());
        match frame {
            Frame::Commit { position, appended_at_ms, record } => {
                prop_assert_eq!(index, 0);
                prop_assert_eq!(field("position"), long(position.0));
                prop_assert_eq!(field("appended_at"), Value::Long(appended_at_ms));
                prop_assert_eq!(field("record"), Value::Bytes(record.to_vec()));
            }
            Frame::Filtered { previous, hash, commit, .. } => {
                prop_assert_eq!(index, 1);
                prop_assert_eq!(field("previous"), long(previous));
                prop_assert_eq!(field("hash"), Value::Fixed(32, hash.0.to_vec()));
                prop_assert_eq!(field("commit"), Value::Bytes(commit.to_vec()));
            }
            Frame::Progress { revision, digest, .. } => {
                prop_assert_eq!(index, 2);
                prop_assert_eq!(field("revision"), long(revision));
                prop_assert_eq!(field("digest"), Value::Fixed(32, digest.0.to_vec()));
            }
            Frame::Heartbeat { stream_id, position, .. } => {
                prop_assert_eq!(index, 3);
                prop_assert_eq!(field("stream_id"), Value::Fixed(16, stream_id.0.to_vec()));
                prop_assert_eq!(field("position"), long(position.0));
            }
            Frame::End { problem } => {
                prop_assert_eq!(index, 4);
                prop_assert_eq!(field("problem"), Value::String(problem.to_json()));
            }
        }
    }

    #[test]
    fn garbage_never_panics_and_an_error_stays(garbage in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = FrameDecoder::default();
        decoder.push(&garbage);
        if let (_, Some(error)) = drain(&mut decoder) {
            decoder.push(&Frame::Commit { position: Position(0), appended_at_ms: 0, record: Bytes::new() }.to_bytes());
            prop_assert_eq!(decoder.next_frame(), Err(error));
        }
    }

    #[test]
    fn a_changed_frame_never_panics(frame in frames(), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut bytes = frame.to_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = with;
        let mut decoder = FrameDecoder::default();
        decoder.push(&bytes);
        drain(&mut decoder);
    }

    #[test]
    fn a_body_that_is_cut_is_damaged(frame in frames(), at in any::<prop::sample::Index>()) {
        let whole = frame.to_bytes();
        let kept = at.index(whole.len() - 4);
        let mut cut = u32::try_from(kept).unwrap().to_le_bytes().to_vec();
        cut.extend_from_slice(&whole[4..4 + kept]);
        let mut decoder = FrameDecoder::default();
        decoder.push(&cut);
        let is_damaged = matches!(decoder.next_frame(), Err(FrameError::Damaged { .. }));
        prop_assert!(is_damaged);
    }
}

#[test]
fn the_bytes_of_a_frame_never_change() {
    let frame = Frame::Commit { position: Position(300), appended_at_ms: -1, record: "abc".into() };
    assert_eq!(frame.to_bytes().as_ref(), b"\x08\0\0\0\0\xd8\x04\x01\x06abc");
}

#[test]
fn a_length_over_the_limit_is_refused_before_anything_is_held() {
    let mut decoder = FrameDecoder::default();
    decoder.push(&u32::MAX.to_le_bytes());
    assert_eq!(decoder.next_frame(), Err(FrameError::TooLarge(u32::MAX as usize)));
    assert!(!decoder.is_mid_frame());
    let record = Bytes::from(vec![0; MAX_FRAME_BYTES]);
    let mut decoder = FrameDecoder::default();
    decoder.push(&Frame::Commit { position: Position(0), appended_at_ms: 0, record }.to_bytes());
    assert!(matches!(decoder.next_frame(), Err(FrameError::TooLarge(_))));
}

#[test]
fn an_unknown_kind_is_named() {
    let mut decoder = FrameDecoder::default();
    decoder.push(b"\x01\0\0\0\x0a");
    assert_eq!(decoder.next_frame(), Err(FrameError::UnknownKind(5)));
}
