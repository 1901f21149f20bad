//! Records in, folded commits out: the straight line that everybody who reads a log runs.

use headwater_schemas::{
    Codec, Commit, DecodeError, Entry, EntryRef, Folded, Frozen, Genesis, Hash, Head, Key,
    Namespace, Point, Record, SCHEMAS_NAMESPACE, SchemaError, Totals, Word, accept, fold,
    marker_nonce, unread,
};

/// What one record means at a head.
#[derive(Debug)]
pub enum Step {
    /// It continues the chain: this is what it says and does.
    Accepted(Box<(Commit, Folded)>),
    /// It is an operator's word that the record before it, which could not be read, changes nothing: both continue
    /// the chain now, the unreadable one as a commit without changes.
    Resumed(Box<Resumed>),
    /// It is somebody's marker, no commit.
    Marker(u128),
    /// It does not continue the chain; the revision it claims, if it is a commit at all.
    Ignored {
        /// The hash of its bytes.
        hash: Hash,
        /// The revision it claims.
        revision: Option<u64>,
    },
}

/// A record that continues the chain and cannot be read. It has its place: no other record on the same parent does, or
/// builds that can read it would be on another chain.
#[derive(Debug, Clone)]
struct Blocked {
    record: Record,
    hash: Hash,
    /// Whether something other than the word that skips it stands behind it: then it is read by somebody, and counts.
    followed: bool,
}

/// A record that could not be read, and the one that goes on behind it.
#[derive(Debug)]
pub struct Resumed {
    /// The unreadable record as stored.
    pub record: Record,
    /// What it counts as.
    pub skipped: (Commit, Folded),
    /// The commit that says so, and what that does.
    pub next: (Commit, Folded),
}

/// Why a reader must stop at its last good state.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Stop {
    /// The accepted commit cannot be decoded.
    #[error("revision {revision}: {error}")]
    Undecodable {
        /// The revision it claims.
        revision: u64,
        /// Why.
        error: DecodeError,
    },
    /// A schema it carries cannot be used.
    #[error("revision {revision}: {error}")]
    Schema {
        /// The revision that carries it.
        revision: u64,
        /// Why.
        error: SchemaError,
    },
    /// An operator had a commit skipped that this build could read, and applied.
    #[error("revision {revision} skips the commit before it, which this build has applied")]
    Skipped {
        /// The revision that says so.
        revision: u64,
    },
}

/// A head and what is needed to decode what follows it.
#[derive(Debug, Clone)]
pub struct Chain {
    head: Head,
    totals: Totals,
    codec: Codec,
    /// What continues the chain and cannot be read: only an operator's word leads past it.
    blocked: Option<Blocked>,
}

impl Chain {
    /// Reads a record as the genesis that founds a stream; none when it is not a well-formed one.
    /// Gives the chain before it, and the commit that it stands for with its fold.
    pub fn found(record: &[u8]) -> Option<(Self, Commit, Folded)> {
        let commit = Genesis::decode(record).ok()?.commit().ok()?;
        let hash = Hash::of(record);
        let folded = fold(&commit, hash, &Totals::default(), |_, _| None);
        let mut codec = Codec::default();
        codec.learn_from(&commit).ok()?;
        Some((Self::new(folded.head, folded.totals.clone(), codec), commit, folded))
    }

    /// The chain at a state: its head, its totals, and the schemas it holds (the entries of `_schemas`).
    ///
    /// # Errors
    /// [`SchemaError`] when one of them cannot be used.
    pub fn at<'a>(
        head: Head,
        totals: Totals,
        schemas: impl IntoIterator<Item = (&'a str, EntryRef<'a>)>,
    ) -> Result<Self, SchemaError> {
        let mut codec = Codec::default();
        for (fingerprint, entry) in schemas {
            codec.learn(fingerprint, entry.value)?;
        }
        Ok(Self::new(head, totals, codec))
    }

    fn new(head: Head, totals: Totals, codec: Codec) -> Self {
        Self { head, totals, codec, blocked: None }
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Totals and digests at the head.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The schemas the chain has carried.
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// The record that continues the chain and cannot be read, if the chain has met one.
    pub fn blocked(&self) -> Option<&Record> {
        self.blocked.as_ref().map(|blocked| &blocked.record)
    }

    /// Forgets that record: it is met again, if it is still in the log.
    pub(crate) fn unblock(&mut self) {
        self.blocked = None;
    }

    /// The head that the unreadable record would lead to.
    pub fn behind_blocked(&self) -> Option<Head> {
        let hash = self.blocked.as_ref()?.hash;
        Some(Head { revision: self.head.revision + 1, hash, ..self.head })
    }

    /// Judges one record: `accept`, decode, `fold`. The head moves when it is accepted.
    ///
    /// # Errors
    /// [`Stop`] when it continues the chain and cannot be applied; the head does not move. Go on with what follows:
    /// an operator may have led the stream past it.
    pub fn step(
        &mut self,
        record: &Record,
        lookup: impl FnMut(&Namespace, &Key) -> Option<Entry>,
    ) -> Result<Step, Stop> {
        let bytes = &record.bytes;
        if let Some(nonce) = marker_nonce(bytes) {
            return Ok(Step::Marker(nonce));
        }
        let hash = Hash::of(bytes);
        let Ok(frozen) = Frozen::read(bytes) else {
            return Ok(Step::Ignored { hash, revision: None });
        };
        let revision = frozen.revision;
        let ignored = Step::Ignored { hash, revision: Some(revision) };
        if self.blocked.as_ref().is_some_and(|blocked| blocked.hash != hash) {
            let resumed = self.resume(&frozen, bytes, hash, lookup)?;
            return Ok(resumed.map_or(ignored, |resumed| Step::Resumed(Box::new(resumed))));
        }
        if !accept(&self.head, &frozen) {
            return Ok(ignored);
        }
        let commit = self.codec.decode(bytes).map_err(|error| {
            self.blocked = Some(Blocked { record: record.clone(), hash, followed: false });
            Stop::Undecodable { revision, error }
        })?;
        if matches!(Word::of(&commit), Some(Word::Skips(_))) {
            return Err(Stop::Skipped { revision });
        }
        let folded = self.fold(&commit, hash, lookup)?;
        Ok(Step::Accepted(Box::new((commit, folded))))
    }

    /// Goes on past the unreadable record, if these bytes are an operator's word that follows it and names it.
    fn resume(
        &mut self,
        frozen: &Frozen,
        bytes: &[u8],
        hash: Hash,
        lookup: impl FnMut(&Namespace, &Key) -> Option<Entry>,
    ) -> Result<Option<Resumed>, Stop> {
        let Some(behind) = self.behind_blocked().filter(|behind| accept(behind, frozen)) else {
            return Ok(None);
        };
        let Some(blocked) = self.blocked.as_mut().filter(|blocked| !blocked.followed) else {
            return Ok(None);
        };
        let word = Word::Skips(Point::from(&behind));
        let commit = self.codec.decode(bytes).ok();
        let Some(commit) = commit.filter(|commit| Word::of(commit) == Some(word)) else {
            blocked.followed = true;
            return Ok(None);
        };
        let record = blocked.record.clone();
        let Ok(unreadable) = Frozen::read(&record.bytes) else { return Ok(None) };
        let skipped = unread(&unreadable, self.head.at_ms, self.totals.digest());
        let nothing = self.fold(&skipped, behind.hash, |_, _| None)?;
        let folded = self.fold(&commit, hash, lookup)?;
        Ok(Some(Resumed { record, skipped: (skipped, nothing), next: (commit, folded) }))
    }

    /// Folds a commit that is known to continue the chain: one that `accept` allowed, or one that a relay
    /// filtered.
    ///
    /// # Errors
    /// [`Stop::Schema`]; the head does not move.
    pub fn fold(
        &mut self,
        commit: &Commit,
        hash: Hash,
        lookup: impl FnMut(&Namespace, &Key) -> Option<Entry>,
    ) -> Result<Folded, Stop> {
        if commit.changes.iter().any(|change| change.namespace().as_str() == SCHEMAS_NAMESPACE) {
            let revision = commit.revision;
            self.codec.learn_from(commit).map_err(|error| Stop::Schema { revision, error })?;
        }
        let folded = fold(commit, hash, &self.totals, lookup);
        self.head = folded.head;
        self.totals = folded.totals.clone();
        self.blocked = None;
        Ok(folded)
    }

    /// Moves the head over commits that changed nothing here (a filtered chain).
    pub fn advance(&mut self, head: Head) {
        self.head = head;
    }
}
