//! What a relay is made of, and all its routes on one screen.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use futures::future::BoxFuture;
use headwater_api::{Problem, paths};
use headwater_log::Log;
use headwater_replica::{Alarm, History, Recent, Replica};
use tokio_util::sync::CancellationToken;

use crate::cursors::Cursors;
use crate::settings::Settings;
use crate::stream::Frames;
use crate::{http, stream, watch};

/// Resolves when the replica has applied every write acknowledged before the call, by any process.
pub type Linearize = Arc<dyn Fn() -> BoxFuture<'static, Result<(), Problem>> + Send + Sync>;
/// The alarm of another part of the process, if one stands.
pub type OtherAlarm = Arc<dyn Fn() -> Option<Alarm> + Send + Sync>;
/// Asks whoever cuts images for one now.
pub type RequestImage = Arc<dyn Fn() + Send + Sync>;

/// What the read side stands on. Fill in what there is after [`Relay::new`], then make [`routes`].
#[derive(Clone)]
pub struct Relay {
    /// The copy of the stream that is served.
    pub replica: Replica,
    /// The log that the replica follows.
    pub log: Arc<dyn Log>,
    /// The name of the stream.
    pub stream: String,
    /// What this process does: `serve`, `publisher`, `relay`, `snapshotter`.
    pub role: String,
    /// When the process started, milliseconds since the Unix epoch.
    pub started_at_ms: i64,
    /// Who keeps commits older than the replica's tail.
    pub history: Option<Arc<dyn History>>,
    /// The image shelf.
    pub image_dir: Option<PathBuf>,
    /// Who cuts images.
    pub request_image: Option<RequestImage>,
    /// What else in this process may need a person; the replica's own alarm comes first.
    pub other_alarm: Option<OtherAlarm>,
    /// How a linearizable read is made sure of; without it such a read is refused.
    pub linearize: Option<Linearize>,
    /// Cancelled when the server drains: open streams end and say so.
    pub shutdown: CancellationToken,
    /// Limits and rhythms.
    pub settings: Settings,
}

impl Relay {
    /// A relay of `replica`, which follows `log`, with the default settings and nothing beside it.
    pub fn new(replica: Replica, log: Arc<dyn Log>, stream: impl Into<String>) -> Self {
        Self {
            replica,
            log,
            stream: stream.into(),
            role: "relay".into(),
            started_at_ms: 0,
            history: None,
            image_dir: None,
            request_image: None,
            other_alarm: None,
            linearize: None,
            shutdown: CancellationToken::new(),
            settings: Settings::default(),
        }
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("stream", &self.stream)
            .field("role", &self.role)
            .field("log", &self.log)
            .field("image_dir", &self.image_dir)
            .finish_non_exhaustive()
    }
}

/// What every handler shares.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) relay: Relay,
    pub(crate) cursors: Cursors,
    /// History as far as the replica's tail reaches.
    pub(crate) recent: Recent,
    pub(crate) frames: Frames,
}

impl Desk {
    /// Asks for an image, if there is anybody to ask.
    pub(crate) fn want_image(&self) {
        if let Some(request) = &self.relay.request_image {
            request();
        }
    }
}

/// The routes of the read side, to be merged with others and put behind a server's edge, which adds what all
/// answers have in common. Health and metrics are the server's own.
pub fn routes(relay: Relay) -> Router {
    let cursors = Cursors::new(&relay.settings);
    let recent = Recent::new(relay.replica.clone());
    let desk = Arc::new(Desk { relay, cursors, recent, frames: Frames::default() });
    Router::new()
        .route("/v1/config/{ns}", get(http::list::get))
        .route("/v1/config/{ns}/{*key}", get(http::config::get))
        .route(paths::NAMESPACES, get(http::namespaces::get))
        .route("/v1/history/{ns}/{*key}", get(http::history::get))
        .route("/v1/diff/{ns}", get(http::diff::get))
        .route(paths::COMMITS, get(http::commits::get))
        .route("/v1/commits/{revision}", get(http::commit::get))
        .route(paths::STATUS, get(http::status::get))
        .route(paths::IMAGES_LATEST, get(http::images::latest))
        .route("/v1/images/{name}", get(http::images::by_name))
        .route(paths::STREAM, get(stream::get))
        .route(paths::WATCH, get(watch::get))
        .route(paths::OPENAPI, get(http::openapi::get))
        .with_state(desk)
}
