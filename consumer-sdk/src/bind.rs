//! Binding a key: with a default, a judge, a decoder of the service's own.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::decode::decode;
use crate::handle::Handle;
use crate::key::OneKey;
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
        Binding { client: self.client, key: self.key, default: value, validate: None }
    }
}

/// A handle in the making, with its default.
#[must_use = "build() makes the handle"]
pub struct Binding<T> {
    client: Client,
    key: String,
    default: T,
    validate: Option<Validate<T>>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Binding<T> {
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

    /// Makes the handle. It never fails: what stands in the way of a good value is reported by
    /// [`Client::status`] and [`Handle::rejected`].
    pub fn build(self) -> Handle<T> {
        let recipe = OneKey::new(&self.key, self.client.overlay().clone(), Box::new(decode::<T>));
        self.client.handle_with_default(&self.key, Box::new(recipe), self.default, self.validate)
    }
}

impl<T> fmt::Debug for Binding<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding").field("key", &self.key).finish_non_exhaustive()
    }
}
