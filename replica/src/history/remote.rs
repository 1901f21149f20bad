//! History that another process keeps, asked over the public API.
//!
//! Every question names the revision it is about, and the stream; an answer that was read from an earlier state is none.
//! Whether the head that it answers from is on the asker's chain is for the asker to compare.

use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use headwater_api::{
    At, ChangeBody, Code, CommitBody, CommitsPlace, Cursor, CursorKind, DiffPlace, EntryBody, Op,
    Time, Value, VersionBody, VersionsPlace, key_place, list_scope,
};
use headwater_client::{Client, ClientError, ListQuery, Read};
use headwater_schemas::{
    Change, Commit, Digest, Entry, FORMAT, Hash, Head, Key, Namespace, StreamId,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Asked, CommitsPage, CommitsQuery, DiffPage, DiffQuery, EntriesPage, EntriesQuery, History,
    HistoryError, KeyDiff, Order, Put, Version, VersionsPage, VersionsQuery,
};

/// How long one answer may take. History that is slower than this is as good as none for whoever waits.
const ANSWER: Duration = Duration::from_secs(5);
/// How many questions may be under way: what slow answers hold of this process's memory.
const QUESTIONS: usize = 64;
/// The largest page that the API gives.
const MAX_LIMIT: usize = 1_000;

/// The history that a server of the same stream keeps.
#[derive(Debug)]
pub struct RemoteHistory {
    client: Client,
    head: ArcSwapOption<Head>,
    questions: Semaphore,
}

impl From<ClientError> for HistoryError {
    fn from(error: ClientError) -> Self {
        if let ClientError::Problem(problem) = &error
            && problem.code == Code::RevisionCompacted
            && let Some(oldest) = problem.number("oldest_revision")
        {
            return Self::Compacted { oldest };
        }
        Self::Unavailable(error.to_string())
    }
}

fn odd(why: impl std::fmt::Display) -> HistoryError {
    HistoryError::Unavailable(format!("the server of --history-url answered oddly: {why}"))
}

impl RemoteHistory {
    /// The history of the server at a base URL, such as `http://snapshotter:7070`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Setting`] when the URL is none.
    pub fn new(url: &str) -> Result<Self, ClientError> {
        let client = Client::builder().server(url).call_timeout(ANSWER).silence(ANSWER).tries(2);
        Ok(Self {
            client: client.build()?,
            head: ArcSwapOption::empty(),
            questions: Semaphore::new(QUESTIONS),
        })
    }

    fn permit(&self) -> Result<SemaphorePermit<'_>, HistoryError> {
        self.questions
            .try_acquire()
            .map_err(|_| HistoryError::Unavailable("too many questions to it are under way".into()))
    }

    async fn ask_head(&self) -> Result<Head, HistoryError> {
        let status = self.client.status().await?;
        // Two of them that ask each other, or one that asks itself, would never know.
        if status.role == "publisher" {
            return Err(HistoryError::Unavailable(format!(
                "{} is a publisher and keeps none: name a server with a snapshotter",
                self.client.url()
            )));
        }
        let head = Head {
            stream_id: status.stream_id,
            revision: status.revision,
            hash: status.hash,
            at_ms: status.last_commit_at.map_or(0, |at| at.0),
        };
        self.head.store(Some(head.into()));
        Ok(head)
    }

    /// The stream that the last answer was of.
    async fn stream_id(&self) -> Result<StreamId, HistoryError> {
        let known = self.head.load_full();
        match known {
            Some(head) => Ok(head.stream_id),
            None => Ok(self.ask_head().await?.stream_id),
        }
    }

    async fn ask_record(&self, revision: u64) -> Result<Option<Bytes>, HistoryError> {
        let _permit = self.permit()?;
        match self.client.record_at(revision).await {
            Err(error) if error.code() == Some(Code::RevisionInFuture) => Ok(None),
            record => Ok(Some(record?)),
        }
    }

    /// The hash of the genesis, whose record a server without history of its own does not have: the first commit names it.
    async fn ask_first(&self) -> Result<Option<Hash>, HistoryError> {
        let head = {
            let _permit = self.permit()?;
            self.ask_head().await?
        };
        if head.revision == 0 {
            return Ok(Some(head.hash));
        }
        let query = CommitsQuery { upto: 1, limit: 1, ..CommitsQuery::default() };
        let page = self.ask_commits(&query).await?;
        Ok(page.commits.first().map(|(_, first)| first.parent))
    }

    async fn ask_commits(&self, query: &CommitsQuery) -> Result<CommitsPage, HistoryError> {
        let _permit = self.permit()?;
        let stream_id = self.stream_id().await?;
        let asked = headwater_client::CommitsQuery {
            after: Some(query.after),
            before: query.upto.checked_add(1),
            namespace: query.namespace.clone(),
            prefix: Some(query.prefix.clone()).filter(|prefix| !prefix.is_empty()),
            actor: query.actor.clone(),
            descending: query.order == Order::Descending,
            limit: Some(query.limit.clamp(1, MAX_LIMIT)),
            stream: Some(stream_id),
            ..headwater_client::CommitsQuery::default()
        };
        let told = self.client.commits_told(&asked).await?;
        reached(told.revision, query.upto)?;
        let scanned_to = match (&told.body.next, query.order) {
            (None, Order::Ascending) => query.upto,
            (None, Order::Descending) => query.after,
            (Some(next), order) => {
                let cursor = Cursor::peek(next, CursorKind::Commits).map_err(odd)?;
                let place = CommitsPlace::read(&cursor.payload).map_err(odd)?;
                if order == Order::Ascending { place.after } else { place.upto }
            }
        };
        let within = |body: &CommitBody| body.revision > query.after && body.revision <= query.upto;
        if !told.body.commits.iter().all(within) {
            return Err(odd("commits that were not asked for"));
        }
        let commits = told.body.commits.into_iter().map(|body| commit(body, stream_id));
        Ok(CommitsPage { commits: commits.collect::<Result<_, _>>()?, scanned_to })
    }

    async fn ask_last_commit(&self, namespace: Namespace, upto: u64) -> Result<u64, HistoryError> {
        let query = CommitsQuery {
            upto,
            namespace: Some(namespace),
            order: Order::Descending,
            limit: 1,
            ..CommitsQuery::default()
        };
        let page = self.ask_commits(&query).await?;
        match page.commits.first() {
            Some((_, commit)) => Ok(commit.revision),
            None if page.scanned_to == 0 => Ok(0),
            None => Err(odd("an empty page of commits")),
        }
    }

    async fn ask_revision_at(&self, at_ms: i64) -> Result<u64, HistoryError> {
        let _permit = self.permit()?;
        let head = self.ask_head().await?;
        let asked = headwater_client::CommitsQuery {
            until: Some(Time(at_ms)),
            descending: true,
            limit: Some(1),
            stream: Some(head.stream_id),
            ..headwater_client::CommitsQuery::default()
        };
        let told = self.client.commits_told(&asked).await?;
        reached(told.revision, head.revision)?;
        Ok(told.body.commits.first().map_or(0, |commit| commit.revision))
    }

    async fn ask_entries(&self, query: &EntriesQuery) -> Result<EntriesPage, HistoryError> {
        let _permit = self.permit()?;
        let stream_id = self.stream_id().await?;
        let at = query.revision.to_string();
        let scope = list_scope(query.namespace.as_str(), &query.prefix, false, &at);
        let cursor = query.after.as_ref().map(|after| {
            let payload = after.as_str().as_bytes().to_vec();
            Cursor { stream_id, revision: query.revision, payload }.encode(CursorKind::List, &scope)
        });
        let asked = ListQuery {
            prefix: Some(query.prefix.clone()).filter(|prefix| !prefix.is_empty()),
            at: Some(At::Revision(query.revision)),
            limit: Some(query.limit.clamp(1, MAX_LIMIT)),
            stream: Some(stream_id),
            ..ListQuery::default()
        };
        let body = self.client.list(&query.namespace, &asked, cursor.as_deref()).await?;
        if body.revision != query.revision {
            return Err(odd(format!("revision {} for {}", body.revision, query.revision)));
        }
        let next = body.next.as_deref().map(|next| {
            let cursor = Cursor::peek(next, CursorKind::List).map_err(odd)?;
            key_place(&cursor.payload).map_err(odd)
        });
        let entries =
            body.entries.iter().map(|body| Ok::<_, HistoryError>((body.key.clone(), entry(body)?)));
        Ok(EntriesPage { entries: entries.collect::<Result<_, _>>()?, next: next.transpose()? })
    }

    async fn ask_versions(&self, query: &VersionsQuery) -> Result<VersionsPage, HistoryError> {
        let _permit = self.permit()?;
        let stream_id = self.stream_id().await?;
        let scope = [query.namespace.as_str(), query.key.as_str()];
        let payload = VersionsPlace { before: query.before }.payload();
        let cursor = Cursor { stream_id, revision: query.before.saturating_sub(1), payload }
            .encode(CursorKind::History, &scope);
        let limit = Some(query.limit.clamp(1, MAX_LIMIT));
        let body = self.client.history(&query.namespace, &query.key, limit, Some(&cursor)).await?;
        let next = body.next.as_deref().map(|next| {
            let cursor = Cursor::peek(next, CursorKind::History).map_err(odd)?;
            Ok::<_, HistoryError>(VersionsPlace::read(&cursor.payload).map_err(odd)?.before)
        });
        let versions = body.versions.into_iter().map(version).collect::<Result<_, _>>()?;
        Ok(VersionsPage { versions, next: next.transpose()? })
    }

    async fn ask_diff(&self, query: &DiffQuery) -> Result<DiffPage, HistoryError> {
        let _permit = self.permit()?;
        let stream_id = self.stream_id().await?;
        let (from, to) = (query.from.to_string(), query.to.to_string());
        let scope = [query.namespace.as_str(), &query.prefix, &from, &to];
        let cursor = query.after.clone().map(|after| {
            let payload = DiffPlace { from: query.from, to: query.to, after }.payload();
            Cursor { stream_id, revision: query.to, payload }.encode(CursorKind::Diff, &scope)
        });
        let asked = headwater_client::DiffQuery {
            from: At::Revision(query.from),
            to: Some(At::Revision(query.to)),
            prefix: Some(query.prefix.clone()).filter(|prefix| !prefix.is_empty()),
            limit: Some(query.limit.clamp(1, MAX_LIMIT)),
            stream: Some(stream_id),
        };
        let body = self.client.diff(&query.namespace, &asked, cursor.as_deref()).await?;
        if (body.from, body.to) != (query.from, query.to) {
            return Err(odd(format!("the difference of {} and {}", body.from, body.to)));
        }
        let next = body.next.as_deref().map(|next| {
            let cursor = Cursor::peek(next, CursorKind::Diff).map_err(odd)?;
            Ok::<_, HistoryError>(DiffPlace::read(&cursor.payload).map_err(odd)?.after)
        });
        let changes = body.changes.into_iter().map(|difference| {
            let (old, new) = (difference.old.as_ref(), difference.new.as_ref());
            let (old, new) = (old.map(entry).transpose()?, new.map(entry).transpose()?);
            Ok::<_, HistoryError>(KeyDiff { key: difference.key, old, new })
        });
        Ok(DiffPage { changes: changes.collect::<Result<_, _>>()?, next: next.transpose()? })
    }
}

/// An answer of a server that has not reached a revision does not know of it.
fn reached(revision: u64, wanted: u64) -> Result<(), HistoryError> {
    if revision >= wanted {
        return Ok(());
    }
    Err(HistoryError::Unavailable(format!("it is at revision {revision}, not yet at {wanted}")))
}

fn entry(body: &EntryBody) -> Result<Entry, HistoryError> {
    Ok(Entry {
        content_type: body.content_type.as_str().into(),
        value: body.bytes().map_err(odd)?,
        version: body.version,
        create_revision: body.create_revision,
        mod_revision: body.mod_revision,
        updated_at_ms: body.updated_at.0,
        actor: body.actor.as_str().into(),
    })
}

fn version(body: VersionBody) -> Result<Version, HistoryError> {
    let value = body.bytes().map_err(odd)?;
    let put = value.map(|value| Put {
        content_type: body.content_type.unwrap_or_default().into(),
        value,
        version: body.version.unwrap_or_default(),
    });
    Ok(Version {
        revision: body.revision,
        at_ms: body.at.0,
        actor: body.actor.into(),
        reason: body.reason,
        commit_id: body.commit_id,
        put,
    })
}

/// A commit as the API tells it: without preconditions, idempotency and digest.
fn commit(body: CommitBody, stream_id: StreamId) -> Result<(Hash, Commit), HistoryError> {
    let commit = Commit {
        stream_id,
        format: FORMAT,
        revision: body.revision,
        parent: body.parent,
        commit_id: body.commit_id,
        at_ms: body.at.0,
        actor: body.actor.into(),
        reason: body.reason,
        idempotency: None,
        expects: Vec::new(),
        changes: body.changes.into_iter().map(change).collect::<Result<_, _>>()?,
        digest: Digest::default(),
        attributes: body.attributes,
    };
    Ok((body.hash, commit))
}

fn change(body: ChangeBody) -> Result<Change, HistoryError> {
    let ChangeBody { op, namespace, key, content_type, value, value_base64, version, .. } = body;
    if op == Op::Delete {
        return Ok(Change::Delete { namespace, key });
    }
    let content_type = content_type.unwrap_or_default();
    let value = Value { value, value_base64 }.bytes(&content_type).map_err(odd)?;
    let (content_type, version) = (content_type.into(), version.unwrap_or_default());
    Ok(Change::Put { namespace, key, content_type, value, version })
}

impl History for RemoteHistory {
    fn head(&self) -> Asked<'_, Head> {
        Box::pin(async {
            let _permit = self.permit()?;
            self.ask_head().await
        })
    }

    fn hash_at(&self, revision: u64) -> Asked<'_, Option<Hash>> {
        Box::pin(async move {
            if revision == 0 {
                return self.ask_first().await;
            }
            let record = self.ask_record(revision).await?;
            Ok(record.map(|record| Hash::of(&record)))
        })
    }

    fn record(&self, revision: u64) -> Asked<'_, Option<Bytes>> {
        Box::pin(self.ask_record(revision))
    }

    fn commits(&self, query: CommitsQuery) -> Asked<'_, CommitsPage> {
        Box::pin(async move { self.ask_commits(&query).await })
    }

    fn revision_at(&self, at_ms: i64) -> Asked<'_, u64> {
        Box::pin(self.ask_revision_at(at_ms))
    }

    fn entry(&self, namespace: &str, key: &str, revision: u64) -> Asked<'_, Option<Entry>> {
        let names = Namespace::parse(namespace)
            .map_err(odd)
            .and_then(|namespace| Key::parse(key).map(|key| (namespace, key)).map_err(odd));
        Box::pin(async move {
            let (namespace, key) = names?;
            let _permit = self.permit()?;
            let stream = Some(self.stream_id().await?);
            let read = Read { at: Some(At::Revision(revision)), stream, ..Read::default() };
            let body = self.client.get_entry(&namespace, &key, &read).await?;
            body.as_ref().map(entry).transpose()
        })
    }

    fn entries(&self, query: EntriesQuery) -> Asked<'_, EntriesPage> {
        Box::pin(async move { self.ask_entries(&query).await })
    }

    fn versions(&self, query: VersionsQuery) -> Asked<'_, VersionsPage> {
        Box::pin(async move { self.ask_versions(&query).await })
    }

    fn diff(&self, query: DiffQuery) -> Asked<'_, DiffPage> {
        Box::pin(async move { self.ask_diff(&query).await })
    }

    fn last_change(&self, namespace: &str, key: Option<&str>, upto: u64) -> Asked<'_, u64> {
        let names = Namespace::parse(namespace).map_err(odd).and_then(|namespace| {
            key.map(Key::parse).transpose().map(|key| (namespace, key)).map_err(odd)
        });
        Box::pin(async move {
            let (namespace, key) = names?;
            if upto == 0 {
                return Ok(0);
            }
            let Some(key) = key else { return self.ask_last_commit(namespace, upto).await };
            let (before, limit) = (upto.saturating_add(1), 1);
            let query = VersionsQuery { namespace, key, before, limit, max_bytes: usize::MAX };
            let page = self.ask_versions(&query).await?;
            Ok(page.versions.first().map_or(0, |version| version.revision))
        })
    }
}
