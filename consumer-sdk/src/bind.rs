//! Binding a key: with a default, a judge, a decoder of the service's own.

use std::fmt;

use headwater_schemas::EntryRef;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::decode::{decode, refused};
use crate::handle::Handle;
use crate::key::{Decode, OneKey};
use crate::merge::Merged;
use crate::recipe::Recipe;
use crate::slot::Validate;

/// What a validator may answer: `bool`, or a `Result` whose error says what is wrong.
pub trait Verdict {
    /// The answer, with the reason of a refusal.
    ///
    /// # Errors
    /// The reason, when the value is refused.
    fn verdict(self) -> Result<(), String>;
}

impl Verdict for bool {
    fn verdict(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("the validator refused it".to_owned()) }
    }
}

impl<E: fmt::Display> Verdict for Result<(), E> {
    fn verdict(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

/// A key about to be bound; see [`Client::bind`].
#[derive(Debug)]
pub struct BindKey {
    client: Client,
    key: String,
}

impl BindKey {
    pub(crate) fn new(client: Client, key: &str) -> Self {
        Self { client, key: key.to_owned() }
    }

    /// What the handle holds while there is no good value, and again when the key is deleted. It is not validated.
    pub fn default<T>(self, value: T) -> Binding<T> {
        let how = BySerde { merge: false };
        Binding { client: self.client, key: self.key, default: value, validate: None, how }
    }
}

/// A handle in the making, with its default.
#[must_use = "build() makes the handle"]
pub struct Binding<T, How = BySerde> {
    client: Client,
    key: String,
    default: T,
    validate: Option<Validate<T>>,
    how: How,
}

/// Values are decoded by serde: JSON types as JSON, `text/*` as a string, everything else as bytes.
#[derive(Debug)]
pub struct BySerde {
    merge: bool,
}

/// Values are decoded by a function of the service; see [`Binding::decode_with`].
pub struct ByFunction<T>(Decode<T>);

impl<T, How> Binding<T, How> {
    /// Judges every new value before it is swapped in: a refused one leaves the last good one in place and is
    /// reported. It runs on the client's own thread, before any handle sees the commit, so it must be quick; a panic
    /// is a refusal.
    pub fn validate<F, V>(mut self, judge: F) -> Self
    where
        F: Fn(&T) -> V + Send + Sync + 'static,
        V: Verdict,
    {
        self.validate = Some(Box::new(move |value| judge(value).verdict()));
        self
    }
}

impl<T> Binding<T> {
    /// Decodes by a function of the service's own, so that `T` needs no serde: a regular expression, a certificate, YAML.
    /// It runs where [`Binding::validate`] does; a panic is a refusal.
    ///
    /// ```no_run
    /// # fn example(hw: &headwater::Client) {
    /// let blocked = hw
    ///     .bind("ip/blocked")
    ///     .default(Vec::new())
    ///     .decode_with(|entry| {
    ///         let text = std::str::from_utf8(entry.value).map_err(|error| error.to_string())?;
    ///         let parse = |line: &str| line.parse::<std::net::IpAddr>();
    ///         text.lines().map(parse).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())
    ///     })
    ///     .build();
    /// println!("{} addresses", blocked.load().len());
    /// # }
    /// ```
    pub fn decode_with<F, E>(self, decode: F) -> Binding<T, ByFunction<T>>
    where
        F: Fn(EntryRef<'_>) -> Result<T, E> + Send + Sync + 'static,
        E: fmt::Display,
    {
        let decode: Decode<T> = Box::new(move |namespace, key, entry| {
            let refuse = |error: E| refused(namespace, key, entry.mod_revision, error.to_string());
            decode(entry).map_err(refuse)
        });
        let Self { client, key, default, validate, how: _ } = self;
        Binding { client, key, default, validate, how: ByFunction(decode) }
    }

    /// Merges the JSON objects of all namespaces that hold the key (RFC 7396) instead of taking the latest one: each
    /// namespace patches the ones before it, and a null there removes a member. What is no object replaces all before it.
    ///
    /// ```no_run
    /// # #[derive(serde::Deserialize, Default)] struct Pool { size: u32, timeout_ms: u32 }
    /// # fn example(hw: &headwater::Client) {
    /// // global: {"size": 10, "timeout_ms": 500}, payments.prod: {"size": 50}
    /// let pool = hw.bind("db/pool").default(Pool::default()).merge().build();
    /// assert_eq!((pool.load().size, pool.load().timeout_ms), (50, 500));
    /// # }
    /// ```
    pub fn merge(mut self) -> Self {
        self.how.merge = true;
        self
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Binding<T> {
    /// Makes the handle. It never fails: what stands in the way of a good value is reported by
    /// [`Client::status`] and [`Handle::rejected`].
    pub fn build(self) -> Handle<T> {
        let overlay = self.client.overlay().clone();
        let recipe: Box<dyn Recipe<T>> = if self.how.merge {
            Box::new(Merged::new(&self.key, overlay))
        } else {
            Box::new(OneKey::new(&self.key, overlay, Box::new(decode::<T>)))
        };
        self.client.handle_with_default(&self.key, recipe, self.default, self.validate)
    }
}

impl<T: Send + Sync + 'static> Binding<T, ByFunction<T>> {
    /// Makes the handle. It never fails: what stands in the way of a good value is reported by
    /// [`Client::status`] and [`Handle::rejected`].
    pub fn build(self) -> Handle<T> {
        let recipe = OneKey::new(&self.key, self.client.overlay().clone(), self.how.0);
        self.client.handle_with_default(&self.key, Box::new(recipe), self.default, self.validate)
    }
}

impl<T, How> fmt::Debug for Binding<T, How> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding").field("key", &self.key).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ByFunction<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByFunction")
    }
}
