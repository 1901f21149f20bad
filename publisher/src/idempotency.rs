//! Which requests have made a commit already, and what they were told.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use headwater_schemas::{Commit, Hash};

use crate::receipt::Receipt;
use crate::request::Kind;

/// A commit that carried an idempotency key.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    pub(crate) key: Arc<str>,
    pub(crate) request: Hash,
    pub(crate) receipt: Arc<Receipt>,
    pub(crate) appended_at_ms: i64,
}

impl Remembered {
    /// What `commit`, whose record hashes to `hash`, asks to be remembered by.
    pub(crate) fn of(commit: &Commit, hash: Hash, appended_at_ms: i64) -> Option<Self> {
        let idempotency = commit.idempotency.as_ref()?;
        let receipt = Receipt::of(commit, hash, Kind::of_name(&idempotency.kind));
        Some(Self {
            key: idempotency.key.as_str().into(),
            request: idempotency.request,
            receipt: Arc::new(receipt),
            appended_at_ms,
        })
    }

    fn cost_bytes(&self) -> usize {
        192 + self.key.len() * 2 + self.receipt.cost_bytes()
    }
}

/// What the index says of a key.
#[derive(Debug, Clone)]
pub(crate) enum Lookup {
    Unknown,
    /// The same request: its receipt.
    Same(Arc<Receipt>),
    /// Another request under the same key.
    Other,
}

/// The keys of the last 24 hours, by the log's clock. Holds only what stands on the chain.
#[derive(Debug)]
pub(crate) struct Index {
    by_key: HashMap<Arc<str>, Remembered>,
    /// In order of revision, which is the order of time.
    order: VecDeque<(u64, Arc<str>)>,
    bytes: usize,
    now_ms: i64,
    window_ms: i64,
    max_keys: usize,
    max_bytes: usize,
}

impl Index {
    pub(crate) fn new(window_ms: u64, max_keys: usize, max_bytes: usize) -> Self {
        Self {
            by_key: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            now_ms: i64::MIN,
            window_ms: i64::try_from(window_ms).unwrap_or(i64::MAX),
            max_keys,
            max_bytes,
        }
    }

    /// Whether another key has no room: keyed writes are refused, so that a key given is a key kept.
    pub(crate) fn is_full(&self) -> bool {
        self.by_key.len() >= self.max_keys || self.bytes >= self.max_bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The log's clock as of a record just read: what is older than the window is forgotten.
    pub(crate) fn advance(&mut self, appended_at_ms: i64) {
        self.now_ms = self.now_ms.max(appended_at_ms);
        let oldest = self.now_ms.saturating_sub(self.window_ms);
        while let Some((revision, key)) = self.order.front() {
            let current = self.by_key.get(key);
            let held = current.is_some_and(|it| it.receipt.body.revision == *revision);
            if held && current.is_some_and(|it| it.appended_at_ms >= oldest) {
                break;
            }
            if held && let Some(gone) = self.by_key.remove(key) {
                self.bytes -= gone.cost_bytes();
            }
            self.order.pop_front();
        }
    }

    /// Remembers a commit of the chain. A key stands there once within a window; should it not, the newest counts,
    /// so that a key used within the window is never unknown.
    pub(crate) fn insert(&mut self, remembered: Remembered) {
        let oldest = self.now_ms.saturating_sub(self.window_ms);
        if remembered.appended_at_ms < oldest {
            return;
        }
        if let Some(known) = self.by_key.get(&remembered.key)
            && known.receipt.body.revision >= remembered.receipt.body.revision
        {
            return;
        }
        let at = (remembered.receipt.body.revision, remembered.key.clone());
        let place = self.order.partition_point(|(revision, _)| *revision < at.0);
        self.order.insert(place, at);
        self.bytes += remembered.cost_bytes();
        if let Some(old) = self.by_key.insert(remembered.key.clone(), remembered) {
            self.bytes -= old.cost_bytes();
        }
    }

    pub(crate) fn lookup(&self, key: &str, request: Hash) -> Lookup {
        match self.by_key.get(key) {
            None => Lookup::Unknown,
            Some(known) if known.request == request => Lookup::Same(known.receipt.clone()),
            Some(_) => Lookup::Other,
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.by_key.clear();
        self.order.clear();
        self.bytes = 0;
    }
}

/// BLAKE3 of what makes two requests the same, each part behind its length. Provenance and tracing are no part.
pub fn request_digest(parts: &[&[u8]]) -> Hash {
    let mut joined = Vec::new();
    for part in parts {
        joined.extend_from_slice(&(part.len() as u64).to_le_bytes());
        joined.extend_from_slice(part);
    }
    Hash::of(&joined)
}

#[cfg(test)]
mod tests {
    use headwater_api::{ReceiptBody, Time};
    use proptest::prelude::*;

    use super::*;

    fn remembered(key: &str, revision: u64, appended_at_ms: i64) -> Remembered {
        let body = ReceiptBody {
            revision,
            hash: Hash::default(),
            commit_id: None,
            at: Time(0),
            changes: Vec::new(),
            version: None,
        };
        let receipt = Arc::new(Receipt { kind: Kind::Put, body });
        Remembered { key: key.into(), request: Hash::of(key.as_bytes()), receipt, appended_at_ms }
    }

    fn revision(index: &Index, key: &str) -> Option<u64> {
        match index.lookup(key, Hash::of(key.as_bytes())) {
            Lookup::Same(receipt) => Some(receipt.body.revision),
            _ => None,
        }
    }

    proptest! {
        #[test]
        fn it_remembers_every_key_of_the_window_and_counts_its_bytes(
            steps in prop::collection::vec((0..6u8, 0..50i64), 1..60),
            first in 0..60usize,
        ) {
            // Commits in the order of the chain; the first ones come last, as when the window is read back.
            let mut index = Index::new(100, 1_000, usize::MAX);
            let mut now = 0;
            let chain: Vec<_> = steps.iter().enumerate().map(|(i, (key, pause))| {
                now += pause;
                remembered(&format!("k{key}"), i as u64 + 1, now)
            }).collect();
            let (early, late) = chain.split_at(first.min(chain.len()));
            for commit in late {
                index.advance(commit.appended_at_ms);
                index.insert(commit.clone());
            }
            early.iter().for_each(|commit| index.insert(commit.clone()));
            index.advance(now);
            for key in 0..6 {
                let key = format!("k{key}");
                let kept = revision(&index, &key);
                let recent: Vec<_> = chain.iter().filter(|it| *it.key == *key && it.appended_at_ms >= now - 100).collect();
                match kept {
                    Some(kept) => prop_assert_eq!(recent.last().map(|it| it.receipt.body.revision), Some(kept)),
                    None => prop_assert!(recent.is_empty(), "{} forgotten", key),
                }
            }
            let bytes: usize = index.by_key.values().map(Remembered::cost_bytes).sum();
            prop_assert_eq!(index.bytes, bytes);
        }

        #[test]
        fn where_a_part_ends_is_a_part_of_the_digest(parts in prop::collection::vec("[ab]{0,3}", 2..5)) {
            let bytes: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
            let joined = parts.concat();
            prop_assert_ne!(request_digest(&bytes), request_digest(&[joined.as_bytes()]));
        }
    }

    #[test]
    fn another_request_under_a_key_is_told_apart() {
        let mut index = Index::new(100, 2, usize::MAX);
        index.insert(remembered("k", 1, 0));
        assert!(matches!(index.lookup("k", Hash::of(b"k")), Lookup::Same(_)));
        assert!(matches!(index.lookup("k", Hash::of(b"x")), Lookup::Other));
        assert!(matches!(index.lookup("z", Hash::of(b"z")), Lookup::Unknown));
        assert!(!index.is_full());
        index.insert(remembered("l", 2, 0));
        assert!(index.is_full());
        index.advance(101);
        assert!(!index.is_full() && index.len() == 0);
    }
}
