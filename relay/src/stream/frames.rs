//! Encoded frames that many clients share: each commit is encoded once, however many follow live.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use headwater_api::Frame;
use headwater_replica::Applied;
use headwater_schemas::Hash;

/// How many frames are kept: those who follow live ask for the newest few.
const KEPT: usize = 64;
/// A larger frame is not kept; it is made for each client.
const MAX_KEPT_BYTES: usize = 16 * 1024;

/// The frames of the newest commits.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    kept: Mutex<VecDeque<(Hash, Bytes)>>,
}

impl Frames {
    /// The frame of a whole commit.
    pub(crate) fn commit(&self, applied: &Applied) -> Bytes {
        let hash = applied.head.hash;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, frame)) = kept.iter().rev().find(|(known, _)| *known == hash) {
            return frame.clone();
        }
        let frame = encode(applied);
        if frame.len() <= MAX_KEPT_BYTES {
            kept.push_back((hash, frame.clone()));
            if kept.len() > KEPT {
                kept.pop_front();
            }
        }
        frame
    }
}

fn encode(applied: &Applied) -> Bytes {
    whole(applied).to_bytes()
}

/// The frame of a whole commit, not yet encoded.
pub(super) fn whole(applied: &Applied) -> Frame {
    Frame::Commit {
        position: applied.position,
        appended_at_ms: applied.appended_at_ms,
        record: applied.record.clone(),
    }
}
