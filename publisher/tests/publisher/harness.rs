//! A publisher in one line: log, replica, writer, and requests to give it.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_api::{Keys, Proposal, ProposedChange, ProposedOp, ROLLBACK_TO, ReceiptBody};
use headwater_log::{Appended, Identity, Log, LogReader, LogWriter, MemoryLog, ReadError};
use headwater_publisher::{
    Kind, Parts, Refusal, Rollback, Settings, Write, Writer, Written, genesis, request_digest,
};
use headwater_replica::{Follow, History, Replica};
use headwater_schemas::{Idempotency, Namespace, marker_nonce};
use headwater_server::Precondition;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A publisher that runs until it is dropped or stopped.
pub(crate) struct Publisher {
    pub(crate) writer: Writer,
    pub(crate) replica: Replica,
    stop: CancellationToken,
    stop_replica: CancellationToken,
    task: Option<JoinHandle<()>>,
    /// What this publisher's clock is ahead of the system's, in milliseconds.
    pub(crate) clock_ahead_ms: Arc<AtomicI64>,
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop.cancel();
        self.stop_replica.cancel();
    }
}

/// A log with its genesis.
pub(crate) async fn founded() -> Arc<MemoryLog> {
    let log = Arc::new(MemoryLog::new());
    genesis::found(log.as_ref(), now_ms()).await.unwrap();
    log
}

pub(crate) async fn publisher(log: Arc<dyn Log>) -> Publisher {
    Publisher::start(log, Settings::default(), None).await
}

impl Publisher {
    pub(crate) async fn start(
        log: Arc<dyn Log>,
        settings: Settings,
        history: Option<Arc<dyn History>>,
    ) -> Self {
        let publisher = Self::spawn(log, settings, history);
        eventually("the writer is ready", || publisher.writer.is_ready()).await;
        publisher
    }

    /// One whose replica remembers the last commit alone.
    pub(crate) async fn forgetful(log: Arc<dyn Log>, history: Option<Arc<dyn History>>) -> Self {
        let reading = headwater_replica::Settings { tail_bytes: 1, ..Default::default() };
        let settings = Settings { remembered_deletions: 0, ..Settings::default() };
        let publisher = Self::spawn_reading(log, reading, settings, history);
        eventually("the writer is ready", || publisher.writer.is_ready()).await;
        publisher
    }

    pub(crate) fn spawn(
        log: Arc<dyn Log>,
        settings: Settings,
        history: Option<Arc<dyn History>>,
    ) -> Self {
        Self::spawn_reading(log, headwater_replica::Settings::default(), settings, history)
    }

    pub(crate) fn spawn_reading(
        log: Arc<dyn Log>,
        reading: headwater_replica::Settings,
        settings: Settings,
        history: Option<Arc<dyn History>>,
    ) -> Self {
        let (observer, seen) = mpsc::channel(64);
        let follow = Follow::Log(log.clone());
        let (replica, keep) = Replica::new(reading, follow, Some(observer));
        let ahead = Arc::new(AtomicI64::new(0));
        let skew = ahead.clone();
        let clock = Arc::new(move || now_ms() + skew.load(Ordering::Relaxed));
        let parts = Parts { log, replica: replica.clone(), seen, history, clock, settings };
        let (writer, task) = Writer::new(parts).unwrap();
        let (stop, stop_replica) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(keep.run(stop_replica.clone()));
        let task = Some(tokio::spawn(task.run(stop.clone())));
        Self { writer, replica, stop, stop_replica, task, clock_ahead_ms: ahead }
    }

    /// Drains, and ends.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap();
    }

    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) async fn put(&self, key: &str, value: &str) -> Result<ReceiptBody, Refusal> {
        self.receipt(put(key, value)).await
    }

    pub(crate) async fn receipt(&self, write: Write) -> Result<ReceiptBody, Refusal> {
        match self.writer.write(write).await? {
            Written::Committed { receipt, .. } => Ok(receipt.body.clone()),
            Written::Unchanged(body) => Ok(*body),
            Written::DryRun(_) => panic!("a dry run"),
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.replica.view().map_or(0, |view| view.revision())
    }

    pub(crate) fn value(&self, key: &str) -> Option<String> {
        let view = self.replica.view()?;
        view.get("app", key).map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
    }
}

pub(crate) async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("did not come true within 10 s: {what}");
}

/// How many records of a log are no markers.
pub(crate) fn commits_in(log: &MemoryLog) -> usize {
    log.records().iter().filter(|record| marker_nonce(&record.bytes).is_none()).count()
}

pub(crate) fn namespace() -> Namespace {
    "app".parse().unwrap()
}

pub(crate) fn change(key: &str, op: ProposedOp) -> ProposedChange {
    ProposedChange { namespace: namespace(), key: key.parse().unwrap(), op, expect: None }
}

pub(crate) fn text(value: &str) -> ProposedOp {
    ProposedOp::Put { content_type: "text/plain".into(), value: value.to_owned().into() }
}

pub(crate) fn write(kind: Kind, changes: Vec<ProposedChange>) -> Write {
    let proposal = Proposal { changes, ..Proposal::default() };
    let (rollback, condition, idempotency) = (None, Precondition::None, None);
    Write { kind, proposal, rollback, condition, idempotency, dry_run: false }
}

pub(crate) fn put(key: &str, value: &str) -> Write {
    write(Kind::Put, vec![change(key, text(value))])
}

pub(crate) fn delete(key: &str) -> Write {
    write(Kind::Delete, vec![change(key, ProposedOp::Delete)])
}

/// What a prefix held at a revision, in a namespace of the tests' own.
pub(crate) fn rollback(prefix: &str, to_revision: u64) -> Write {
    let keys = Keys::Prefix(prefix.into());
    let rollback = Rollback { namespace: namespace(), keys, to_revision };
    let mut write = Write { rollback: Some(rollback), ..write(Kind::Rollback, Vec::new()) };
    write.proposal.attributes = [(ROLLBACK_TO.to_owned(), to_revision.to_string())].into();
    write
}

pub(crate) fn keyed(idempotency_key: &str, write: Write) -> Write {
    let body = format!("{:?}{:?}", write.proposal.changes, write.rollback);
    let idempotency = Idempotency {
        key: idempotency_key.into(),
        kind: write.kind.name().into(),
        request: request_digest(&[body.as_bytes()]),
    };
    Write { idempotency: Some(idempotency), ..write }
}

/// A log whose appends wait until they are let through.
#[derive(Debug)]
pub(crate) struct Gated {
    inner: Arc<MemoryLog>,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: Mutex<bool>,
    renewed: AtomicUsize,
    held: Mutex<Vec<Held>>,
}

type Held = (Vec<Bytes>, oneshot::Sender<Vec<Appended>>);

impl Gated {
    pub(crate) fn new(inner: Arc<MemoryLog>) -> Arc<Self> {
        Arc::new(Self { inner, gate: Arc::default() })
    }

    pub(crate) fn close(&self) {
        *self.gate.closed.lock().unwrap() = true;
    }

    /// How many appends are held.
    pub(crate) fn held(&self) -> usize {
        self.gate.held.lock().unwrap().len()
    }

    /// How often a fresh way to the log was asked for.
    pub(crate) fn renewed(&self) -> usize {
        self.gate.renewed.load(Ordering::Relaxed)
    }

    /// Loses every held append: nobody learns what became of them.
    pub(crate) fn lose(&self) {
        self.gate.held.lock().unwrap().clear();
    }

    /// Lets everything through, in order.
    pub(crate) async fn open(&self) {
        let held = std::mem::take(&mut *self.gate.held.lock().unwrap());
        for (records, told) in held {
            let outcome = self.inner.writer().unwrap().append(records).await;
            let _ = told.send(outcome);
        }
        *self.gate.closed.lock().unwrap() = false;
    }

    /// How many commits each held append carries.
    pub(crate) fn held_groups(&self) -> Vec<usize> {
        self.gate.held.lock().unwrap().iter().map(|(records, _)| records.len()).collect()
    }

    /// Refuses the oldest held append; lets the rest through.
    pub(crate) async fn refuse_first(&self) {
        let (records, told) = self.gate.held.lock().unwrap().remove(0);
        let _ = told.send(vec![Appended::Refused("full".into()); records.len()]);
        self.open().await;
    }
}

impl Log for Gated {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn reader(&self) -> BoxFuture<'_, Result<Box<dyn LogReader>, ReadError>> {
        self.inner.reader()
    }

    fn writer(&self) -> Option<Arc<dyn LogWriter>> {
        Some(Arc::new(Self { inner: self.inner.clone(), gate: self.gate.clone() }))
    }
}

impl LogWriter for Gated {
    fn append(&self, records: Vec<Bytes>) -> BoxFuture<'static, Vec<Appended>> {
        if !*self.gate.closed.lock().unwrap() {
            return self.inner.writer().unwrap().append(records);
        }
        let (told, outcome) = oneshot::channel();
        let count = records.len();
        self.gate.held.lock().unwrap().push((records, told));
        let lost = move |_| vec![Appended::Ambiguous("dropped".into()); count];
        outcome.map(move |outcome| outcome.unwrap_or_else(lost)).boxed()
    }

    fn renew(&self) -> BoxFuture<'static, ()> {
        self.gate.renewed.fetch_add(1, Ordering::Relaxed);
        async {}.boxed()
    }
}
