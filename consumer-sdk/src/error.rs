//! What can go wrong, sorted by what the caller does about it.

use headwater_schemas::{NameError, Namespace};

/// The client could not start.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The builder was given something that cannot work: mend the call.
    #[error("these settings cannot work: {0}")]
    Settings(String),
    /// No source gave a state within the start-up time-out, and there is no cache to start from. Each reason is one
    /// rung of the ladder.
    #[error(
        "no configuration within {waited_ms} ms: {}; check that the source is up, give a cache_dir that holds a last \
         known good state, or call allow_empty() to start without any",
        reasons.join("; ")
    )]
    NoState {
        /// How long the client waited, in milliseconds.
        waited_ms: u64,
        /// Why each rung of the ladder gave nothing.
        reasons: Vec<String>,
    },
    /// The system gave the client no thread or no event loop.
    #[error("the client's own thread cannot start: {0}")]
    Thread(#[from] std::io::Error),
    /// The client's own thread ended before it had connected.
    #[error("the client's own thread ended while it connected; its log says why")]
    Ended,
}

/// A handle could not be made: without a default there must be a good value at the start.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// The key holds nothing: put a value there, or use `bind(key).default(…)`.
    #[error("{key} is in none of the namespaces {}: put a value there, or use bind(key).default(…)", .namespaces.join(", "))]
    Absent {
        /// The key.
        key: String,
        /// The namespaces that were searched.
        namespaces: Vec<String>,
    },
    /// The value cannot be used: mend it, or use `bind(key).default(…)`.
    #[error(transparent)]
    Bad(#[from] ValueError),
    /// The client was given no namespaces to look in.
    #[error("{NO_NAMESPACES}")]
    NoNamespaces,
    /// No such key can be.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The client was closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// A value that is there and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} at revision {revision}: {reason}", place(namespace, key))]
pub struct ValueError {
    /// The namespace it stands in.
    pub namespace: String,
    /// Its key.
    pub key: String,
    /// The revision that put it there.
    pub revision: u64,
    /// What is wrong with it.
    pub reason: String,
}

fn place(namespace: &str, key: &str) -> String {
    match (namespace, key) {
        // Of what is made of every key.
        ("", "") => "the keys".to_owned(),
        ("", key) => key.to_owned(),
        (namespace, key) => format!("{namespace}/{key}"),
    }
}

/// Why a key alone says too little.
pub(crate) const NO_NAMESPACES: &str = "this client was given no namespaces to look in: call .namespaces([…]) on the builder, or hw.namespace(\"…\")";

/// A namespace cannot be read through this client.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// No such namespace can be.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The client does not follow it: name it on the builder.
    #[error(
        "this client does not follow {0}: name it in .namespaces([…]) or .also_namespaces([…]) of the builder"
    )]
    NotFollowed(Namespace),
}

/// The client was closed, or its own thread ended: nothing will change any more. What was read stays readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Headwater client is closed")]
pub struct Closed;
