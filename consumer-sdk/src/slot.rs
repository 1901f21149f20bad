//! What stands behind a handle: the current value, the last good one when a new one is bad, and who waits for it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::{ArcSwap, ArcSwapOption};
use headwater_replica::View;
use tokio::sync::watch;

use crate::decode::refused;
use crate::error::ValueError;
use crate::hook::Account;
use crate::overlay::Overlay;
use crate::provenance::Provenance;
use crate::recipe::{Made, Recipe};
use crate::status::HandleStatus;
use crate::step::{Age, Step};
use crate::value::Value;

/// Says what is wrong with a value, if anything is.
pub(crate) type Validate<T> = Box<dyn Fn(&T) -> Result<(), String> + Send + Sync>;

/// What a slot looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// One key.
    Key(String),
    /// Every key that begins so.
    Under(String),
}

impl Place {
    /// The key or the prefix.
    pub(crate) fn as_str(&self) -> &str {
        let (Self::Key(name) | Self::Under(name)) = self;
        name
    }
}

/// A slot of any type, as the dispatcher sees it.
pub(crate) trait AnySlot: Send + Sync {
    fn overlay(&self) -> &Overlay;
    fn place(&self) -> &Place;
    /// Looks at newer states, in order; what is not newer than what was seen is passed over. Only the last is decoded.
    fn offer(&self, steps: &[Step]);
    fn status(&self) -> HandleStatus;
    /// Nothing will change any more: every subscription learns it.
    fn close(&self);
}

/// What those who wait for a change wait on.
#[derive(Debug)]
pub(crate) struct Latest<T> {
    pub(crate) value: Arc<Value<T>>,
    /// How many values there have been since the first, with those that nobody looked at.
    pub(crate) changes: u64,
    pub(crate) deleted: bool,
    /// What made the last change.
    pub(crate) by: Arc<Provenance>,
    pub(crate) closed: bool,
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), by: self.by.clone(), ..*self }
    }
}

/// What only the one who offers a state touches.
struct Work<T> {
    recipe: Box<dyn Recipe<T>>,
    /// The newest state that was looked at.
    seen: Option<Age>,
    /// Values that were passed over since the last one that was swapped in.
    skipped: u64,
}

/// The slot of one handle.
pub(crate) struct Slot<T> {
    current: ArcSwap<Value<T>>,
    place: Place,
    overlay: Overlay,
    default: Option<Arc<Value<T>>>,
    validate: Option<Validate<T>>,
    work: Mutex<Work<T>>,
    // Apart from `work`, so that a status asked for by a validator waits for nothing.
    rejected: ArcSwapOption<ValueError>,
    latest: watch::Sender<Latest<T>>,
    hooks: Mutex<Vec<Weak<Account>>>,
}

impl<T: Send + Sync + 'static> Slot<T> {
    /// A slot whose first value must be there and good; none when there is nothing to make it of.
    pub(crate) fn strict(
        place: Place,
        overlay: Overlay,
        mut recipe: Box<dyn Recipe<T>>,
        state: Option<Arc<View>>,
    ) -> Result<Option<Self>, ValueError> {
        let made = make(&mut *recipe, None, state.as_ref(), place.as_str())?;
        let Some(Made { value, by }) = made else { return Ok(None) };
        let step = state.map(Step::whole);
        let seen = step.as_ref().map(Step::age);
        if let Some(step) = &step {
            // What it was made of is what later steps are compared with.
            recipe.changed(step);
        }
        let work = Work { recipe, seen, skipped: 0 };
        Ok(Some(Self::holding(place, overlay, Arc::new(value), by, work)))
    }

    /// A slot that holds a default until there is a good value, and again when there is nothing to make one of.
    pub(crate) fn with_default(
        place: Place,
        overlay: Overlay,
        recipe: Box<dyn Recipe<T>>,
        default: T,
        validate: Option<Validate<T>>,
    ) -> Self {
        let default = Arc::new(Value::default_of(default));
        let work = Work { recipe, seen: None, skipped: 0 };
        let slot = Self::holding(place, overlay, default.clone(), Provenance::default(), work);
        Self { default: Some(default), validate, ..slot }
    }

    /// The same slot with a reason why it will never hold anything but its default.
    pub(crate) fn hopeless(self, reason: String) -> Self {
        let error = refused("", self.place.as_str(), 0, reason);
        self.rejected.store(Some(Arc::new(error)));
        self
    }

    fn holding(
        place: Place,
        overlay: Overlay,
        value: Arc<Value<T>>,
        by: Provenance,
        work: Work<T>,
    ) -> Self {
        let by = Arc::new(by);
        let latest = Latest { value: value.clone(), changes: 0, deleted: false, by, closed: false };
        Self {
            current: ArcSwap::new(value),
            place,
            overlay,
            default: None,
            validate: None,
            work: Mutex::new(work),
            rejected: ArcSwapOption::default(),
            latest: watch::Sender::new(latest),
            hooks: Mutex::default(),
        }
    }

    pub(crate) fn latest(&self) -> watch::Receiver<Latest<T>> {
        self.latest.subscribe()
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.latest.borrow().deleted
    }

    pub(crate) fn rejected(&self) -> Option<ValueError> {
        self.rejected.load().as_deref().cloned()
    }

    /// A hook waits for its changes.
    pub(crate) fn hooked(&self, hook: &Arc<Account>) {
        let mut hooks = self.hooks();
        hooks.retain(|hook| hook.strong_count() > 0);
        hooks.push(Arc::downgrade(hook));
    }

    fn hooks(&self) -> MutexGuard<'_, Vec<Weak<Account>>> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the value of the newest state and swaps it in, or says why not.
    fn renew(&self, work: &mut Work<T>, newest: &Step, last_change: &Step) {
        let validate = self.validate.as_ref();
        let made = make(&mut *work.recipe, validate, Some(&newest.view), self.place.as_str());
        let commit = last_change.applied.as_deref().map(Provenance::of_commit);
        let skipped = std::mem::take(&mut work.skipped);
        match made {
            Ok(Some(Made { value, by })) => {
                self.swap(Some(Arc::new(value)), commit.unwrap_or(by), skipped);
            }
            Ok(None) => {
                let by = commit.unwrap_or_else(|| Provenance::up_to(newest.view.revision()));
                self.swap(None, by, skipped);
            }
            Err(error) => {
                work.skipped = skipped;
                tracing::warn!(%error, "a bad value was refused; the last good one stays");
                self.rejected.store(Some(Arc::new(error)));
                self.latest.send_if_modified(|latest| {
                    latest.deleted = false;
                    false
                });
            }
        }
    }

    /// Swaps a value in; without one, the key was deleted.
    fn swap(&self, value: Option<Arc<Value<T>>>, by: Provenance, skipped: u64) {
        let deleted = value.is_none();
        let value = value.or_else(|| self.default.clone());
        let value = value.unwrap_or_else(|| self.current.load_full());
        self.rejected.store(None);
        let old = self.current.swap(value.clone());
        let latest = Latest { value, changes: 0, deleted, by: Arc::new(by), closed: false };
        let mut was = Some(latest);
        self.latest.send_modify(|latest| {
            if let Some(mut next) = was.take() {
                next.changes = latest.changes + skipped + 1;
                next.closed = latest.closed;
                was = Some(std::mem::replace(latest, next));
            }
        });
        // Last of all: dropping the old value may run code of the service.
        drop((old, was));
    }
}

impl<T: Send + Sync + 'static> AnySlot for Slot<T> {
    fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    fn place(&self) -> &Place {
        &self.place
    }

    fn offer(&self, steps: &[Step]) {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut newest, mut last_change, mut changes) = (None, None, 0);
        for step in steps {
            if work.seen.is_some_and(|seen| step.age() <= seen) {
                continue;
            }
            work.seen = Some(step.age());
            newest = Some(step);
            if work.recipe.changed(step) {
                changes += 1;
                last_change = Some(step);
            }
        }
        if let (Some(newest), Some(last_change)) = (newest, last_change) {
            work.skipped += changes - 1;
            self.renew(&mut work, newest, last_change);
        }
    }

    fn status(&self) -> HandleStatus {
        let rejected = self.rejected.load();
        let hooks = self.hooks().iter().filter_map(Weak::upgrade).map(|it| it.status()).collect();
        HandleStatus {
            key: self.place.as_str().to_owned(),
            namespaces: self.overlay.names().map(str::to_owned).collect(),
            revision: self.current.load().revision,
            deleted: self.is_deleted(),
            rejected: rejected.as_ref().map(ToString::to_string),
            rejected_key: rejected.as_ref().map(|error| error.key.clone()),
            hooks,
        }
    }

    fn close(&self) {
        self.latest.send_modify(|latest| latest.closed = true);
    }
}

impl<T> Slot<T> {
    #[inline]
    pub(crate) fn current(&self) -> &ArcSwap<Value<T>> {
        &self.current
    }

    /// The key or the prefix.
    pub(crate) fn name(&self) -> &str {
        self.place.as_str()
    }
}

/// Makes and validates a value; a panic of the service's own code is a refusal like any other.
fn make<T>(
    recipe: &mut dyn Recipe<T>,
    validate: Option<&Validate<T>>,
    state: Option<&Arc<View>>,
    name: &str,
) -> Result<Option<Made<T>>, ValueError> {
    let judged = catch_unwind(AssertUnwindSafe(|| {
        let made = recipe.make(state)?;
        if let (Some(made), Some(validate)) = (&made, validate)
            && let Err(reason) = validate(&made.value.value)
        {
            let namespace = made.value.origin().unwrap_or_default();
            return Err(refused(namespace, name, made.value.revision, reason));
        }
        Ok(made)
    }));
    judged.unwrap_or_else(|panic| {
        let reason = format!("making or validating it panicked: {}", panic_text(&*panic));
        let (namespace, revision) = recipe.place(state.map(Arc::as_ref));
        Err(refused(&namespace, name, revision, reason))
    })
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
