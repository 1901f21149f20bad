//! What stands behind a handle: the current value, the last good one when a new one is bad, and who waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use headwater_replica::View;
use headwater_schemas::EntryRef;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::decode::{decode, refused};
use crate::error::{HandleError, ValueError};
use crate::overlay::Overlay;
use crate::status::HandleStatus;
use crate::value::Value;

/// Says what is wrong with a value, if anything is.
pub(crate) type Validate<T> = Box<dyn Fn(&T) -> Result<(), String> + Send + Sync>;

/// A slot of any type, as the dispatcher sees it.
pub(crate) trait AnySlot: Send + Sync {
    fn overlay(&self) -> &Overlay;
    fn key(&self) -> &str;
    /// Looks at a newer state; one that is not newer than what was seen is passed over.
    fn offer(&self, view: &View);
    fn status(&self) -> HandleStatus;
    /// Nothing will change any more: every subscription learns it.
    fn close(&self);
}

/// What subscriptions wait on. The number only tells one change from the next.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Signal {
    pub(crate) changes: u64,
    pub(crate) closed: bool,
}

/// What a handle says of itself beside its value.
#[derive(Debug, Clone, Default)]
struct Report {
    deleted: bool,
    rejected: Option<ValueError>,
}

/// What was looked at last.
#[derive(Debug, Default)]
struct Seen {
    /// The era and the revision of the state.
    state: Option<(u64, u64)>,
    /// The namespace, and the era and the revision of the entry; none while the key is absent.
    entry: Option<(String, (u64, u64))>,
}

/// The slot of one handle.
pub(crate) struct Slot<T> {
    key: String,
    overlay: Overlay,
    default: Option<Arc<Value<T>>>,
    validate: Option<Validate<T>>,
    current: Arc<ArcSwap<Value<T>>>,
    seen: Mutex<Seen>,
    // Apart from `seen`, so that a status asked for by a validator waits for nothing.
    report: ArcSwap<Report>,
    signal: watch::Sender<Signal>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Slot<T> {
    /// A slot whose first value must be there and good.
    pub(crate) fn strict(
        key: &str,
        overlay: Overlay,
        view: Option<&View>,
    ) -> Result<Self, HandleError> {
        let found = view.and_then(|view| Some((age_of(view), overlay.find(view, key)?)));
        let Some((state, (namespace, entry))) = found else {
            let namespaces = overlay.names().map(str::to_owned).collect();
            return Err(HandleError::Absent { key: key.to_owned(), namespaces });
        };
        let value = evaluate(None, namespace, key, entry)?;
        let entry_age = (state.0, entry.mod_revision);
        let seen = Seen { state: Some(state), entry: Some((namespace.to_owned(), entry_age)) };
        Ok(Self::holding(key, overlay.clone(), Arc::new(value), None, None, seen))
    }

    /// A slot that holds a default until there is a good value, and again when the key is deleted.
    pub(crate) fn with_default(
        key: &str,
        overlay: Overlay,
        default: T,
        validate: Option<Validate<T>>,
    ) -> Self {
        let default = Arc::new(Value::default_of(default));
        Self::holding(key, overlay, default.clone(), Some(default), validate, Seen::default())
    }

    /// The same slot with a reason why it will never hold anything but its default.
    pub(crate) fn hopeless(self, reason: String) -> Self {
        let rejected = Some(refused("", &self.key, 0, reason));
        self.report.store(Arc::new(Report { deleted: false, rejected }));
        self
    }

    fn holding(
        key: &str,
        overlay: Overlay,
        current: Arc<Value<T>>,
        default: Option<Arc<Value<T>>>,
        validate: Option<Validate<T>>,
        seen: Seen,
    ) -> Self {
        Self {
            key: key.to_owned(),
            overlay,
            default,
            validate,
            current: Arc::new(ArcSwap::new(current)),
            seen: Mutex::new(seen),
            report: ArcSwap::default(),
            signal: watch::Sender::new(Signal::default()),
        }
    }

    pub(crate) fn current(&self) -> &Arc<ArcSwap<Value<T>>> {
        &self.current
    }

    pub(crate) fn signals(&self) -> watch::Receiver<Signal> {
        self.signal.subscribe()
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.report.load().deleted
    }

    pub(crate) fn rejected(&self) -> Option<ValueError> {
        self.report.load().rejected.clone()
    }

    fn found(&self, namespace: &str, era: u64, entry: EntryRef<'_>, seen: &mut Seen) {
        // On another chain, the same revision may have put another value.
        let age = (era, entry.mod_revision);
        if seen.entry.as_ref().is_some_and(|(ns, at)| ns == namespace && *at == age) {
            return;
        }
        seen.entry = Some((namespace.to_owned(), age));
        match evaluate(self.validate.as_ref(), namespace, &self.key, entry) {
            Ok(value) => self.swap(Some(Arc::new(value)), Report::default()),
            Err(error) => {
                tracing::warn!(%error, "a bad value was refused; the last good one stays");
                self.report.store(Arc::new(Report { deleted: false, rejected: Some(error) }));
            }
        }
    }

    fn absent(&self, seen: &mut Seen) {
        if seen.entry.take().is_some() {
            self.swap(self.default.clone(), Report { deleted: true, rejected: None });
        }
    }

    fn swap(&self, value: Option<Arc<Value<T>>>, report: Report) {
        self.report.store(Arc::new(report));
        let old = value.map(|value| self.current.swap(value));
        self.signal.send_modify(|signal| signal.changes += 1);
        // Last of all: dropping the old value may run code of the service.
        drop(old);
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> AnySlot for Slot<T> {
    fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    fn key(&self) -> &str {
        &self.key
    }

    fn offer(&self, view: &View) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let age = age_of(view);
        if seen.state.is_some_and(|state| age <= state) {
            return;
        }
        seen.state = Some(age);
        match self.overlay.find(view, &self.key) {
            Some((namespace, entry)) => self.found(namespace, age.0, entry, &mut seen),
            None => self.absent(&mut seen),
        }
    }

    fn status(&self) -> HandleStatus {
        let report = self.report.load();
        HandleStatus {
            key: self.key.clone(),
            namespaces: self.overlay.names().map(str::to_owned).collect(),
            revision: self.current.load().revision,
            deleted: report.deleted,
            rejected: report.rejected.as_ref().map(ToString::to_string),
        }
    }

    fn close(&self) {
        self.signal.send_modify(|signal| signal.closed = true);
    }
}

/// What makes a view newer than another one: its era, then its revision.
fn age_of(view: &View) -> (u64, u64) {
    (view.era(), view.revision())
}

/// Decodes and validates; a panic of the service's own code is a refusal like any other.
fn evaluate<T: DeserializeOwned>(
    validate: Option<&Validate<T>>,
    namespace: &str,
    key: &str,
    entry: EntryRef<'_>,
) -> Result<Value<T>, ValueError> {
    let judged = catch_unwind(AssertUnwindSafe(|| {
        let value: T = decode(namespace, key, entry)?;
        let verdict = validate.map_or(Ok(()), |validate| validate(&value));
        verdict.map_err(|reason| refused(namespace, key, entry.mod_revision, reason))?;
        Ok(value)
    }));
    let value = judged.unwrap_or_else(|panic| {
        let reason = format!("decoding or validating it panicked: {}", panic_text(&*panic));
        Err(refused(namespace, key, entry.mod_revision, reason))
    })?;
    Ok(Value {
        value,
        revision: entry.mod_revision,
        committed_at_ms: Some(entry.updated_at_ms),
        applied_at: SystemTime::now(),
    })
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
