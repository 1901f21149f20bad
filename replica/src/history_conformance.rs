//! What holds for every [`History`]: it says what a naive model says, which folds every commit into a state of its own.
//! Each history's own tests run [`conforms`] against it, over chains of [`Dice::commits`].

use std::collections::BTreeSet;

use bytes::Bytes;
use headwater_schemas::{Change, Codec, Commit, Entry, Genesis, Hash, Key, Namespace, State};

use crate::{
    CommitsQuery, DiffQuery, EntriesQuery, History, HistoryError, KeyDiff, Order, Put, Version,
    VersionsQuery,
};

const NAMESPACES: [&str; 3] = ["a", "a.b", "b"];
const KEYS: [&str; 7] = ["k", "k/1", "k/10", "k/2", "kk", "z", "é"];
const PREFIXES: [&str; 5] = ["", "k", "k/", "k/1", "y"];
const ACTORS: [&str; 3] = ["ann", "bob", "zoë"];
/// How many random questions of a kind are asked.
const QUESTIONS: usize = 25;
const MANY: usize = 1_000;

/// Randomness that a seed replays.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice that fall by `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    /// One of `sides`, from 0.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % sides.max(1)
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.roll(of.len())).copied()
    }

    fn key(&mut self) -> (Namespace, Key) {
        let (namespace, key) = (self.one(&NAMESPACES), self.one(&KEYS));
        (parsed(namespace), parsed(key))
    }

    fn revision(&mut self, head: u64) -> u64 {
        self.roll(usize::try_from(head).unwrap_or(0) + 1) as u64
    }

    /// The actors and changes of so many commits: puts, the same bytes again, deletions, recreations, barriers.
    pub fn commits(&mut self, count: usize) -> Vec<(&'static str, Vec<Change>)> {
        let mut there = BTreeSet::new();
        (0..count)
            .map(|_| {
                let mut changes: Vec<Change> = Vec::new();
                for _ in 0..self.roll(5) {
                    let (namespace, key) = self.key();
                    let named =
                        |change: &Change| *change.key() == key && *change.namespace() == namespace;
                    if changes.iter().any(named) {
                        continue;
                    }
                    changes.push(self.change(&mut there, namespace, key));
                }
                (self.one(&ACTORS).unwrap_or_default(), changes)
            })
            .collect()
    }

    fn change(
        &mut self,
        there: &mut BTreeSet<(Namespace, Key)>,
        namespace: Namespace,
        key: Key,
    ) -> Change {
        let name = (namespace.clone(), key.clone());
        if there.contains(&name) && self.roll(3) == 0 {
            there.remove(&name);
            return Change::Delete { namespace, key };
        }
        there.insert(name);
        let (content_type, value) = match self.roll(3) {
            0 => ("application/json", format!("{{\"n\": {}}}", self.roll(4))),
            1 => ("text/plain", "a \u{1} b".repeat(self.roll(3))),
            _ => ("application/octet-stream", "\u{ff}".repeat(self.roll(3))),
        };
        let (content_type, value) = (content_type.into(), Bytes::from(value));
        Change::Put { namespace, key, content_type, value, version: 0 }
    }
}

fn parsed<T: std::str::FromStr>(text: Option<&str>) -> T {
    match text.unwrap_or_default().parse() {
        Ok(name) => name,
        Err(_) => panic!("{text:?} is no name"),
    }
}

/// The state at every revision, each folded from the records.
#[derive(Debug)]
pub struct Model {
    records: Vec<Bytes>,
    commits: Vec<(Hash, Commit)>,
    states: Vec<State>,
}

impl Model {
    /// The model of a chain, whose records these are, the genesis first.
    ///
    /// # Panics
    /// When they are no chain.
    pub fn of(records: Vec<Bytes>) -> Self {
        let Some(genesis) = records.first().and_then(|first| Genesis::decode(first).ok()) else {
            panic!("no genesis")
        };
        let Ok(founding) = genesis.commit() else { panic!("no commit of the genesis") };
        let (mut codec, mut commits, mut states) = (Codec::default(), Vec::new(), Vec::new());
        for record in &records {
            let hash = Hash::of(record);
            let commit = match states.last() {
                None => founding.clone(),
                Some(_) => match codec.decode(record) {
                    Ok(commit) => commit,
                    Err(error) => panic!("{error}"),
                },
            };
            assert!(codec.learn_from(&commit).is_ok(), "revision {}", commit.revision);
            let state = match states.last() {
                None => State::found(&commit, hash),
                Some(last) => {
                    let mut state = State::clone(last);
                    assert_eq!(state.apply(&commit, hash).divergence, None);
                    state
                }
            };
            states.push(state);
            commits.push((hash, commit));
        }
        Self { records, commits, states }
    }

    fn state(&self, revision: u64) -> &State {
        match usize::try_from(revision).ok().and_then(|at| self.states.get(at)) {
            Some(state) => state,
            None => panic!("no revision {revision}"),
        }
    }

    fn head(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    fn entry(&self, namespace: &Namespace, key: &Key, revision: u64) -> Option<&Entry> {
        self.state(revision).get(namespace, key)
    }

    /// Every revision that changed a key, newest first.
    fn changes(&self, namespace: &Namespace, key: &Key) -> Vec<u64> {
        let changed = |at: &u64| {
            *at > 0 && self.entry(namespace, key, *at) != self.entry(namespace, key, *at - 1)
        };
        (0..=self.head()).rev().filter(changed).collect()
    }

    fn commits(&self, query: &CommitsQuery) -> Vec<(Hash, Commit)> {
        let wanted = |(_, commit): &&(Hash, Commit)| {
            let touches = commit.changes.iter().any(|change| {
                query.namespace.as_ref().is_none_or(|name| name == change.namespace())
                    && change.key().as_str().starts_with(&query.prefix)
            });
            commit.revision > query.after
                && commit.revision > 0
                && commit.revision <= query.upto
                && query.actor.as_ref().is_none_or(|actor| **actor == *commit.actor)
                && (touches || (query.namespace.is_none() && query.prefix.is_empty()))
        };
        let mut commits: Vec<_> = self.commits.iter().filter(wanted).cloned().collect();
        if query.order == Order::Descending {
            commits.reverse();
        }
        commits
    }
}

/// Asks `history` about everything that the model knows, in pages of any size.
///
/// # Panics
/// When an answer differs; the message names the question.
pub async fn conforms(history: &dyn History, model: &Model, dice: &mut Dice) {
    head_hashes_and_records(history, model).await;
    commits(history, model, dice).await;
    times(history, model).await;
    values_and_versions(history, model, dice).await;
    entries(history, model, dice).await;
    differences(history, model, dice).await;
    last_changes(history, model, dice).await;
}

fn told<T>(what: &dyn std::fmt::Debug, answer: Result<T, HistoryError>) -> T {
    match answer {
        Ok(answer) => answer,
        Err(error) => panic!("{what:?}: {error}"),
    }
}

async fn head_hashes_and_records(history: &dyn History, model: &Model) {
    let head = told(&"head", history.head().await);
    assert_eq!(head, *model.state(model.head()).head(), "head");
    for (revision, record) in (0..).zip(&model.records) {
        let hash = told(&revision, history.hash_at(revision).await);
        assert_eq!(hash, Some(Hash::of(record)), "hash at {revision}");
        match history.record(revision).await {
            // A tail begins behind the genesis.
            Err(HistoryError::Compacted { .. }) if revision == 0 => {}
            found => assert_eq!(told(&revision, found).as_ref(), Some(record), "record {revision}"),
        }
    }
    assert_eq!(told(&"above", history.hash_at(model.head() + 1).await), None, "above the head");
}

async fn commits(history: &dyn History, model: &Model, dice: &mut Dice) {
    for _ in 0..QUESTIONS {
        let query = CommitsQuery {
            after: dice.revision(model.head()),
            upto: dice.revision(model.head()),
            namespace: (dice.roll(2) == 0).then(|| dice.key().0),
            prefix: dice.one(&PREFIXES).filter(|_| dice.roll(2) == 0).unwrap_or_default().into(),
            actor: (dice.roll(3) == 0).then(|| dice.one(&ACTORS).unwrap_or_default().into()),
            order: if dice.roll(2) == 0 { Order::Ascending } else { Order::Descending },
            limit: 1 + dice.roll(5),
            max_bytes: if dice.roll(3) == 0 { 1 } else { MANY * MANY },
        };
        let (mut found, mut rest) = (
            Vec::new(),
            query.rest(match query.order {
                Order::Ascending => query.after,
                Order::Descending => query.upto,
            }),
        );
        while let Some(query) = rest {
            let page = told(&query, history.commits(query.clone()).await);
            assert!(page.commits.len() <= query.limit, "{query:?}");
            rest = query.rest(page.scanned_to);
            if let Some(rest) = &rest {
                assert!(*rest != query, "no step forward: {query:?}");
            }
            found.extend(page.commits);
        }
        let wanted = model.commits(&query);
        // What an API does not tell of a commit is not compared.
        let shown = |commits: &[(Hash, Commit)]| -> Vec<(Hash, u64, i64, Vec<Change>)> {
            let one = |(hash, commit): &(Hash, Commit)| {
                (*hash, commit.revision, commit.at_ms, commit.changes.clone())
            };
            commits.iter().map(one).collect()
        };
        assert_eq!(shown(&found), shown(&wanted), "{query:?}");
    }
}

async fn times(history: &dyn History, model: &Model) {
    let founded = model.state(0).head().at_ms;
    let times = model.commits.iter().map(|(_, commit)| commit.at_ms);
    for at_ms in times.flat_map(|at| [at - 1, at, at + 1]).chain([founded - 1_000_000]) {
        let made = |(_, commit): &&(Hash, Commit)| commit.revision > 0 && commit.at_ms <= at_ms;
        let wanted = model.commits.iter().filter(made).map(|(_, commit)| commit.revision).max();
        let found = told(&at_ms, history.revision_at(at_ms).await);
        assert_eq!(found, wanted.unwrap_or(0), "the revision at {at_ms}");
    }
}

async fn values_and_versions(history: &dyn History, model: &Model, dice: &mut Dice) {
    for (namespace, key) in
        NAMESPACES.iter().flat_map(|name| KEYS.iter().map(move |key| (name, key)))
    {
        let (name, key_name) = (parsed::<Namespace>(Some(namespace)), parsed::<Key>(Some(key)));
        for _ in 0..5 {
            let revision = dice.revision(model.head());
            let found = told(&(namespace, key), history.entry(namespace, key, revision).await);
            let wanted = model.entry(&name, &key_name, revision);
            assert_eq!(found.as_ref(), wanted, "{namespace}/{key} at {revision}");
        }
        let before = dice.revision(model.head()) + 1;
        let changes = model.changes(&name, &key_name).into_iter().filter(|at| *at < before);
        let wanted: Vec<_> = changes.map(|at| version(model, &name, &key_name, at)).collect();
        let (mut found, mut next) = (Vec::new(), Some(before));
        while let Some(before) = next {
            let query = VersionsQuery {
                namespace: name.clone(),
                key: key_name.clone(),
                before,
                limit: 1 + dice.roll(4),
                max_bytes: if dice.roll(3) == 0 { 1 } else { MANY },
            };
            let page = told(&query, history.versions(query.clone()).await);
            assert!(page.versions.len() <= query.limit, "{query:?}");
            assert!(page.next.is_none_or(|next| next < before), "no step forward: {query:?}");
            next = page.next;
            found.extend(page.versions);
        }
        assert_eq!(found, wanted, "versions of {namespace}/{key} before {before}");
    }
}

fn version(model: &Model, namespace: &Namespace, key: &Key, revision: u64) -> Version {
    let commit = model.commits.iter().find(|(_, commit)| commit.revision == revision);
    let Some((_, commit)) = commit else { panic!("no commit {revision}") };
    Version {
        revision,
        at_ms: commit.at_ms,
        actor: commit.actor.clone(),
        reason: commit.reason.clone(),
        commit_id: commit.commit_id,
        put: model.entry(namespace, key, revision).cloned().map(Put::from),
    }
}

async fn entries(history: &dyn History, model: &Model, dice: &mut Dice) {
    for _ in 0..QUESTIONS {
        let (namespace, revision) = (dice.key().0, dice.revision(model.head()));
        let prefix = dice.one(&PREFIXES).unwrap_or_default();
        let wanted: Vec<_> = model
            .state(revision)
            .prefix(&namespace, prefix)
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect();
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let query = EntriesQuery {
                namespace: namespace.clone(),
                prefix: prefix.into(),
                after,
                revision,
                limit: 1 + dice.roll(4),
                max_bytes: if dice.roll(3) == 0 { 1 } else { MANY },
            };
            let page = told(&query, history.entries(query.clone()).await);
            assert!(page.entries.len() <= query.limit, "{query:?}");
            found.extend(page.entries);
            after = page.next;
            if after.is_none() {
                break;
            }
            assert!(after > query.after, "no step forward: {query:?}");
        }
        assert_eq!(found, wanted, "{namespace} at {revision} below {prefix:?}");
    }
}

async fn differences(history: &dyn History, model: &Model, dice: &mut Dice) {
    for _ in 0..QUESTIONS {
        let namespace = dice.key().0;
        let (from, to) = (dice.revision(model.head()), dice.revision(model.head()));
        let prefix = dice.one(&PREFIXES).unwrap_or_default();
        let (old, new) = (model.state(from), model.state(to));
        let keys: BTreeSet<&Key> = old.prefix(&namespace, prefix).map(|(key, _)| key).collect();
        let keys = keys.into_iter().chain(new.prefix(&namespace, prefix).map(|(key, _)| key));
        let wanted: Vec<_> = keys
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(|key| KeyDiff {
                key: key.clone(),
                old: old.get(&namespace, key).cloned(),
                new: new.get(&namespace, key).cloned(),
            })
            .filter(|difference| difference.old != difference.new)
            .collect();
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let query = DiffQuery {
                namespace: namespace.clone(),
                prefix: prefix.into(),
                after,
                from,
                to,
                limit: 1 + dice.roll(4),
                max_bytes: if dice.roll(3) == 0 { 1 } else { MANY },
            };
            let page = told(&query, history.diff(query.clone()).await);
            assert!(page.changes.len() <= query.limit, "{query:?}");
            found.extend(page.changes);
            after = page.next;
            if after.is_none() {
                break;
            }
            assert!(after > query.after, "no step forward: {query:?}");
        }
        assert_eq!(found, wanted, "{namespace} from {from} to {to} below {prefix:?}");
    }
}

async fn last_changes(history: &dyn History, model: &Model, dice: &mut Dice) {
    for _ in 0..QUESTIONS {
        let ((namespace, key), upto) = (dice.key(), dice.revision(model.head()));
        let changes = model.changes(&namespace, &key).into_iter();
        let wanted = changes.filter(|at| *at <= upto).max().unwrap_or(0);
        let (name, key_name) = (namespace.as_str(), key.as_str());
        let found = told(&upto, history.last_change(name, Some(key_name), upto).await);
        assert_eq!(found, wanted, "the last change of {namespace}/{key} up to {upto}");
        let changed = model.state(upto).totals().of(name).mod_revision;
        let found = told(&upto, history.last_change(name, None, upto).await);
        assert_eq!(found, changed, "the last change in {namespace} up to {upto}");
    }
}
