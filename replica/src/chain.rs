//! Records in, folded commits out: the straight line that everybody who reads a log runs.

use headwater_schemas::{
    Codec, Commit, DecodeError, Entry, EntryRef, Folded, Frozen, Genesis, Hash, Head, Key,
    Namespace, Record, SCHEMAS_NAMESPACE, SchemaError, Totals, accept, fold, marker_nonce,
};

/// What one record means at a head.
#[derive(Debug)]
pub enum Step {
    /// It continues the chain: this is what it says and does.
    Accepted(Box<(Commit, Folded)>),
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
}

/// A head and what is needed to decode what follows it.
#[derive(Debug, Clone)]
pub struct Chain {
    head: Head,
    totals: Totals,
    codec: Codec,
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
        Some((Self { head: folded.head, totals: folded.totals.clone(), codec }, commit, folded))
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
        Ok(Self { head, totals, codec })
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

    /// Judges one record: `accept`, decode, `fold`. The head moves when it is accepted.
    ///
    /// # Errors
    /// [`Stop`] when it continues the chain and cannot be applied; the head does not move.
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
        if !accept(&self.head, &frozen) {
            return Ok(Step::Ignored { hash, revision: Some(frozen.revision) });
        }
        let revision = frozen.revision;
        let commit =
            self.codec.decode(bytes).map_err(|error| Stop::Undecodable { revision, error })?;
        let folded = self.fold(&commit, hash, lookup)?;
        Ok(Step::Accepted(Box::new((commit, folded))))
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
        Ok(folded)
    }

    /// Moves the head over commits that changed nothing here (a filtered chain).
    pub fn advance(&mut self, head: Head) {
        self.head = head;
    }
}
