//! The chain by its frozen headers alone: which records continue it, and what is left over.

use std::collections::VecDeque;

use headwater_schemas::{
    Frozen, Genesis, Hash, Head, Point, Position, Record, StreamId, accept, marker_nonce,
};

use crate::diagnose::Left;
use crate::stray::{Stray, StrayKind};
use crate::{Break, Ignored, Kind, Published};

/// How many of the last points of the chain and of the last strays are kept to diagnose with: far more than writers
/// have under way at once.
const KEPT: usize = 4_096;

/// What one record is to the chain.
#[derive(Debug)]
pub(crate) enum Linked {
    /// It founds the stream.
    Genesis(Box<Genesis>, Hash),
    /// It continues the chain.
    Commit(Frozen, Hash),
    /// It does not count.
    Ignored,
}

/// A record of the chain, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stood {
    pub(crate) revision: u64,
    pub(crate) hash: Hash,
    pub(crate) position: Position,
}

/// The chain so far.
#[derive(Debug, Default)]
pub(crate) struct Links {
    tip: Option<Head>,
    chain: VecDeque<Stood>,
    /// Strays before the tip's record, the last ones.
    before: VecDeque<Stray>,
    /// Strays behind the tip's record, the first ones.
    since: Vec<Stray>,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) ignored: Ignored,
}

impl Links {
    /// A chain that is known to have come to this point.
    pub(crate) fn from(head: Head, position: Position) -> Self {
        let mut links = Self::default();
        links.advance(head, position);
        links
    }

    /// The last record of the chain.
    pub(crate) fn tip(&self) -> Option<&Head> {
        self.tip.as_ref()
    }

    pub(crate) fn stream_id(&self) -> Option<StreamId> {
        self.tip.map(|tip| tip.stream_id)
    }

    /// Judges one record.
    pub(crate) fn take(&mut self, record: &Record) -> Linked {
        self.records += 1;
        self.bytes += record.bytes.len() as u64;
        if marker_nonce(&record.bytes).is_some() {
            self.ignored.markers += 1;
            return Linked::Ignored;
        }
        let frozen = Frozen::read(&record.bytes).ok();
        match (&self.tip, frozen) {
            (None, Some(frozen)) => {
                if let Some((genesis, hash)) = founding(record) {
                    let stream_id = frozen.stream_id;
                    let at_ms = genesis.created_at_ms;
                    self.advance(Head { stream_id, revision: 0, hash, at_ms }, record.position);
                    return Linked::Genesis(Box::new(genesis), hash);
                }
            }
            (Some(tip), Some(frozen)) if accept(tip, &frozen) => {
                let hash = Hash::of(&record.bytes);
                let head = Head { revision: frozen.revision, hash, ..*tip };
                self.advance(head, record.position);
                return Linked::Commit(frozen, hash);
            }
            _ => {}
        }
        self.stray(record, frozen);
        Linked::Ignored
    }

    fn advance(&mut self, head: Head, position: Position) {
        self.chain.push_back(Stood { revision: head.revision, hash: head.hash, position });
        if self.chain.len() > KEPT {
            self.chain.pop_front();
        }
        if !self.since.is_empty() {
            self.before.extend(self.since.drain(..));
            let extra = self.before.len().saturating_sub(KEPT);
            self.before.drain(..extra);
        }
        self.tip = Some(head);
    }

    fn stray(&mut self, record: &Record, frozen: Option<Frozen>) {
        let kind = match (&self.tip, &frozen) {
            (_, None) => StrayKind::Other,
            (None, Some(_)) => StrayKind::Ahead,
            (Some(tip), Some(frozen)) if frozen.stream_id != tip.stream_id => StrayKind::Foreign,
            (Some(tip), Some(frozen)) if frozen.revision <= tip.revision => StrayKind::Late,
            _ => StrayKind::Ahead,
        };
        self.ignored.count(kind);
        if self.since.len() < KEPT {
            let (position, hash) = (record.position, Hash::of(&record.bytes));
            let stray = Stray { position, kind, hash, frozen };
            self.ignored.note(&stray);
            self.since.push(stray);
        }
    }

    /// Whether records are left over that the chain never reached: more may come that settle it, where the log is
    /// still written to.
    pub(crate) fn is_contested(&self) -> bool {
        self.diagnose(&Published::default()).is_some()
    }

    /// What the records that are left over say of the chain, at the log's end.
    pub(crate) fn diagnose(&self, published: &Published) -> Option<Break> {
        let Some(tip) = &self.tip else { return Some(self.no_genesis()) };
        let left = Left { tip, chain: &self.chain, before: &self.before, since: &self.since };
        left.diagnose(published)
    }

    fn no_genesis(&self) -> Break {
        let first = self.since.iter().find_map(|stray| Some((stray.position, stray.frozen?)));
        match first {
            Some((position, frozen)) if frozen.revision == 0 => {
                let detail = "the genesis cannot be read, and nothing can be proven without it";
                Break::new(0, Kind::Beginning, detail).at(position)
            }
            Some((position, frozen)) => {
                let (revision, stream) = (frozen.revision, frozen.stream_id);
                let detail = format!(
                    "the log begins with revision {revision} of stream {stream}: its genesis, and all before it, is gone"
                );
                Break::new(0, Kind::Beginning, detail).at(position)
            }
            None => Break::new(0, Kind::Beginning, "the log holds no genesis and no commit"),
        }
    }

    /// The tip as a point.
    pub(crate) fn point(&self) -> Option<Point> {
        self.tip.as_ref().map(Point::from)
    }
}

/// A record as the genesis of a stream, by the same rule as everybody's.
fn founding(record: &Record) -> Option<(Genesis, Hash)> {
    let genesis = Genesis::decode(&record.bytes).ok()?;
    genesis.commit().ok()?;
    Some((genesis, Hash::of(&record.bytes)))
}
