//! The client: a cheap handle on the one thread that follows a stream.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use headwater_schemas::Namespace;
use serde::de::DeserializeOwned;

use crate::bind::BindKey;
use crate::builder::Builder;
use crate::commits::Commits;
use crate::core::{Core, Life};
use crate::decode::decode;
use crate::derive::Derived;
use crate::error::{Closed, HandleError, NO_NAMESPACES, NamespaceError, ValueError};
use crate::group;
use crate::handle::Handle;
use crate::key::OneKey;
use crate::overlay::Overlay;
use crate::recipe::Recipe;
use crate::slot::{AnySlot, Place, Slot, Validate};
use crate::status::Status;
use crate::step::Step;
use crate::view::View;

/// A live, verified copy of some configuration. Cheap to clone.
///
/// The copy is kept by a thread of its own for as long as any client, handle, reader or subscription lives, or until
/// [`Client::close`].
#[derive(Clone)]
pub struct Client {
    life: Arc<Life>,
    overlay: Overlay,
    /// What the copy holds; none = every namespace.
    followed: Option<Overlay>,
}

impl Client {
    /// Says where to read from and what.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(life: Arc<Life>, overlay: Overlay, followed: Option<Overlay>) -> Self {
        Self { life, overlay, followed }
    }

    /// The value of a key now, decoded; none when it is absent. The later namespace wins. For a value that is read
    /// often take a [`Client::handle`], which decodes once a change.
    ///
    /// # Errors
    /// [`ValueError`] when there is a value and it is no `T`, or the client was given no namespaces.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ValueError> {
        self.view().get(key)
    }

    /// The namespace whose value of a key wins now; none when the key is absent.
    pub fn origin(&self, key: &str) -> Option<Namespace> {
        self.view().winner(key).cloned()
    }

    /// Everything at one revision. Never blocks.
    pub fn view(&self) -> View {
        View::new(self.life.core.replica.view(), self.overlay.clone())
    }

    /// The same client reading one namespace by itself.
    ///
    /// # Errors
    /// [`NamespaceError`] when that is no name, or the client does not follow it.
    pub fn namespace(&self, name: &str) -> Result<Self, NamespaceError> {
        let namespace = Namespace::parse(name)?;
        if self.followed.as_ref().is_some_and(|followed| !followed.contains(name)) {
            return Err(NamespaceError::NotFollowed(namespace));
        }
        Ok(Self { overlay: Overlay::new([namespace]), ..self.clone() })
    }

    /// Binds a key that must hold a good value now. Later a bad value, or a deletion, leaves the last good one in
    /// place and is reported.
    ///
    /// # Errors
    /// [`HandleError`] when the key is absent, its value is no `T`, or the client is closed.
    pub fn handle<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        key: &str,
    ) -> Result<Handle<T>, HandleError> {
        View::check_key(key)?;
        let recipe = OneKey::new(key, self.overlay.clone(), Box::new(decode::<T>));
        let made = self.strict(Place::Key(key.to_owned()), Box::new(recipe))?;
        made.ok_or_else(|| HandleError::Absent {
            key: key.to_owned(),
            namespaces: self.overlay.names().map(str::to_owned).collect(),
        })
    }

    /// Derives a value from all keys under a prefix: a router, a price table. It is built once now, and again on the
    /// client's own thread once for each revision that changed a key there in any of the namespaces (revisions that
    /// follow faster than it builds are one). `build` sees those keys and no others, all at one revision, so it must be
    /// quick; a panic is a refusal.
    ///
    /// Later a build that is refused leaves the last good value in place and is reported, under the key to blame
    /// where the error is a [`ValueError`] or has one as its cause: what [`View::get`], [`View::decode`] and
    /// [`View::refuse`] give.
    ///
    /// ```no_run
    /// use std::collections::BTreeMap;
    ///
    /// # fn example(hw: &headwater::Client) -> Result<(), headwater::HandleError> {
    /// let prices = hw.derive("prices/", |view| {
    ///     let mut prices = BTreeMap::new();
    ///     for (key, entry) in view.iter() {
    ///         let cents: u32 = view.decode(key, entry)?;
    ///         if cents == 0 {
    ///             return Err(view.refuse(key, "nothing is free"));
    ///         }
    ///         prices.insert(key.to_owned(), cents);
    ///     }
    ///     Ok(prices)
    /// })?;
    /// println!("{} prices at revision {}", prices.load().len(), prices.load().revision());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`HandleError`] when the first build is refused, no key can begin so, or the client is closed.
    pub fn derive<T, E, F>(&self, prefix: &str, build: F) -> Result<Handle<T>, HandleError>
    where
        T: Send + Sync + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
        F: FnMut(&View) -> Result<T, E> + Send + 'static,
    {
        View::check_prefix(prefix)?;
        let recipe = Derived::new(prefix, self.overlay.clone(), build);
        let made = self.strict(Place::Under(prefix.to_owned()), Box::new(recipe))?;
        // Something can be built even of nothing.
        made.ok_or(HandleError::Closed(Closed))
    }

    /// A group: a struct whose fields are the keys below a prefix, all at one revision. `db/size` is the field `size` of
    /// the group `db`, `db/replica/host` the field `host` of its field `replica`, or the entry `host` of a map there. A
    /// missing key is serde's default (`#[serde(default)]`), or an error where there is none; keys that are no fields are
    /// passed over. A bad key holds back its whole group and is reported under that key.
    ///
    /// ```no_run
    /// #[derive(serde::Deserialize)]
    /// struct Database {
    ///     host: String,
    ///     #[serde(default)]
    ///     limits: std::collections::BTreeMap<String, u32>,
    /// }
    ///
    /// # fn example(hw: &headwater::Client) -> Result<(), headwater::HandleError> {
    /// let db: headwater::Handle<Database> = hw.group("db")?;
    /// println!("{} with {} limits", db.load().host, db.load().limits.len());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`HandleError`] when the keys do not make an `S` now, no key can begin so, or the client is closed.
    pub fn group<S: DeserializeOwned + Send + Sync + 'static>(
        &self,
        prefix: &str,
    ) -> Result<Handle<S>, HandleError> {
        let prefix = group::below(prefix);
        self.derive(&prefix.clone(), move |view| group::read::<S>(&prefix, view))
    }

    /// A handle that has its first value; none when there is nothing to make one of.
    fn strict<T: Send + Sync + 'static>(
        &self,
        place: Place,
        recipe: Box<dyn Recipe<T>>,
    ) -> Result<Option<Handle<T>>, HandleError> {
        if self.overlay.is_empty() {
            return Err(HandleError::NoNamespaces);
        }
        if self.life.core.registry.is_closed() {
            return Err(Closed.into());
        }
        let state = self.life.core.replica.view();
        let slot = Slot::strict(place, self.overlay.clone(), recipe, state)?;
        Ok(slot.map(|slot| Handle::new(slot, self.life.clone())))
    }

    /// What the client's own thread shares, and where a key is written so that this client shows it.
    pub(crate) fn core(&self) -> (&Core, &Overlay) {
        (&self.life.core, &self.overlay)
    }

    /// Runs work that goes with the client on the client's own event loop, until it ends or the guard is dropped.
    #[cfg(feature = "log-filter")]
    pub(crate) fn spawn(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> tokio_util::task::AbortOnDropHandle<()> {
        tokio_util::task::AbortOnDropHandle::new(self.life.core.runtime.spawn(work))
    }

    /// Begins to bind a key that has a default: `hw.bind("db/limit").default(100).build()`.
    pub fn bind(&self, key: &str) -> BindKey {
        BindKey::new(self.clone(), key)
    }

    pub(crate) fn handle_with_default<T: Send + Sync + 'static>(
        &self,
        key: &str,
        recipe: Box<dyn Recipe<T>>,
        default: T,
        validate: Option<Validate<T>>,
    ) -> Handle<T> {
        let place = Place::Key(key.to_owned());
        let mut slot = Slot::with_default(place, self.overlay.clone(), recipe, default, validate);
        if let Err(error) = View::check_key(key) {
            slot = slot.hopeless(error.to_string());
        } else if self.overlay.is_empty() {
            slot = slot.hopeless(NO_NAMESPACES.to_owned());
        }
        if let Some(view) = self.life.core.replica.view() {
            slot.offer(&[Step::whole(view)]);
        }
        Handle::new(slot, self.life.clone())
    }

    pub(crate) fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// Every commit from now on, whole and in order (of the namespaces the client follows).
    pub fn commits(&self) -> Commits {
        Commits::new(self.life.clone(), self.view().revision())
    }

    /// Waits until every handle, group and derived value has processed `revision`, so that a service reads what it, or
    /// another process, wrote. A value that was refused has been processed; hooks are not waited for. Works on any runtime;
    /// give it a time-out of your own.
    ///
    /// # Cancel safety
    /// May be dropped and called again at any time.
    ///
    /// # Errors
    /// [`Closed`] when the client was closed, or its thread ended, before it was there.
    pub async fn wait_for(&self, revision: u64) -> Result<(), Closed> {
        self.life.core.wait_for(revision).await
    }

    /// Where the client stands, what is wrong, and every handle's account. Never blocks on the network.
    pub fn status(&self) -> Status {
        self.life.core.status()
    }

    /// Ends the client for all its clones: the last state is written to the cache, waits return [`Closed`], and what
    /// was read stays readable.
    pub async fn close(self) {
        self.life.core.stop.cancel();
        self.life.core.wait_ended().await;
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespaces: Vec<&str> = self.overlay.names().collect();
        f.debug_struct("Client").field("namespaces", &namespaces).finish_non_exhaustive()
    }
}
