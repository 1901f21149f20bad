//! The chain with its commits decoded, each by the schema that the log itself carries.

use headwater_schemas::{
    Change, Codec, Commit, Digest, Frozen, Hash, Point, Record, SCHEMAS_NAMESPACE, Word, unread,
};

use crate::links::{Linked, Links};
use crate::visit::Accepted;
use crate::{Break, Kind, Published};

/// A record of the chain that cannot be decoded, and everything behind it.
#[derive(Debug)]
struct Dark {
    record: Record,
    frozen: Frozen,
    hash: Hash,
    why: String,
    /// Whether a record continues the chain behind it.
    followed: bool,
}

/// The chain so far, and what is needed to decode what follows.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pub(crate) links: Links,
    codec: Codec,
    dark: Option<Dark>,
    /// The time of the last commit that was decoded.
    at_ms: i64,
}

impl Walk {
    /// Judges one record, and gives what it adds to the history: nothing, a commit, or the commit before it and itself
    /// where an operator had that one skipped.
    pub(crate) fn take(&mut self, record: Record, out: &mut Vec<Accepted>) {
        match self.links.take(&record) {
            Linked::Ignored => {}
            Linked::Genesis(genesis, hash) => {
                // `Links` takes no genesis whose schema cannot be used.
                if let Ok(commit) = genesis.commit() {
                    let _ = self.codec.learn_from(&commit);
                    out.push(Accepted { record, hash, commit, skipped: false });
                }
            }
            Linked::Commit(frozen, hash) => self.commit(record, frozen, hash, out),
        }
    }

    fn commit(&mut self, record: Record, frozen: Frozen, hash: Hash, out: &mut Vec<Accepted>) {
        if let Some(dark) = &mut self.dark {
            let first = !std::mem::replace(&mut dark.followed, true);
            let skips = Word::Skips(Point {
                stream_id: frozen.stream_id,
                revision: dark.frozen.revision,
                hash: dark.hash,
            });
            let commit = self.codec.decode(&record.bytes).ok().filter(|_| first);
            let Some(commit) = commit.filter(|commit| Word::of(commit) == Some(skips)) else {
                return;
            };
            if let Some(dark) = self.dark.take() {
                out.push(dark.skipped(self.at_ms));
            }
            out.push(Accepted { record, hash, commit, skipped: false });
            return;
        }
        match self.decode(&record) {
            Ok(commit) => out.push(Accepted { record, hash, commit, skipped: false }),
            Err(why) => self.dark = Some(Dark { record, frozen, hash, why, followed: false }),
        }
    }

    fn decode(&mut self, record: &Record) -> Result<Commit, String> {
        let commit = self.codec.decode(&record.bytes).map_err(|error| error.to_string())?;
        self.at_ms = commit.at_ms;
        let schema = |change: &Change| change.namespace().as_str() == SCHEMAS_NAMESPACE;
        if commit.changes.iter().any(schema) {
            self.codec.learn_from(&commit).map_err(|error| error.to_string())?;
        }
        Ok(commit)
    }

    /// What is wrong with the chain, at the log's end.
    pub(crate) fn broken(&self, published: &Published) -> Vec<Break> {
        let torn = self.links.diagnose(published);
        let dark = self.dark.as_ref().map(Dark::told);
        match (torn, dark) {
            (Some(mut torn), Some(dark)) if torn.revision == dark.revision => {
                torn.detail = format!("{}; {}", torn.detail, dark.detail);
                vec![torn]
            }
            (torn, dark) => dark.into_iter().chain(torn).collect(),
        }
    }
}

impl Dark {
    fn told(&self) -> Break {
        let behind = if self.followed {
            "; the chain goes on behind it, so somebody could read it: use that build"
        } else {
            ""
        };
        let detail = format!("the commit cannot be decoded: {}{behind}", self.why);
        Break::new(self.frozen.revision, Kind::Undecodable, detail).at(self.record.position)
    }

    /// What it counts as: a commit that changes nothing, made when it was appended; where the log does not tell that,
    /// at the time of the commit before it. The state's time and digest stay, which whoever folds fills in.
    fn skipped(self, before_ms: i64) -> Accepted {
        let at_ms = self.record.appended_at_ms;
        let at_ms = if at_ms == 0 { before_ms } else { at_ms };
        let commit = unread(&self.frozen, at_ms, Digest::default());
        Accepted { record: self.record, hash: self.hash, commit, skipped: true }
    }
}
