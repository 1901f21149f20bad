//! The HTTP API as types, once, for servers, clients, the command line and tests.
//!
//! ```text
//! paths + header + request ──▶ server ──▶ body | problem | frame
//! ```
//!
//! Everything here is pure: no I/O, no clock, no async.
//!
//! The feature `openapi` describes the bodies as OpenAPI schemas, for servers; nothing else needs it.

mod at;
mod body;
mod code;
mod cursor;
mod diff;
mod duration;
mod expected;
mod frame;
pub mod header;
mod history;
mod manifest;
mod media;
mod object;
#[cfg(feature = "openapi")]
mod openapi;
pub mod paths;
mod place;
mod problem;
mod refusal;
mod request;
mod rollback;
mod sse;
mod status;
mod tags;
mod time;
pub mod trace;
mod value;
mod watch;

pub use at::At;
pub use body::{
    ChangeBody, ChangeKind, CommitBody, CommitsBody, DryRunBody, EntryBody, ListBody,
    NamespaceBody, NamespacesBody, Op, PreviewBody, ReceiptBody, ReceiptChange,
};
pub use code::Code;
pub use cursor::{Cursor, CursorError, CursorKind};
pub use diff::{DiffBody, DifferenceBody};
pub use duration::{DurationError, MAX_DURATION, format_duration, parse_duration};
pub use expected::{Expected, Failure};
pub use frame::{Frame, FrameDecoder, FrameError, MAX_FRAME_BYTES};
pub use history::{HistoryBody, VersionBody};
pub use manifest::{Lineage, ManifestBlock, ManifestBody};
pub use media::{
    DEFAULT_MEDIA_TYPE, MAX_MEDIA_TYPE_BYTES, accepts, effective_media_type, essence, is_json,
    is_text,
};
pub use object::Object;
#[cfg(feature = "openapi")]
pub use openapi::Components;
pub use place::{CommitsPlace, DiffPlace, VersionsPlace, key_place, list_scope};
pub use problem::Problem;
pub use refusal::Succession;
pub use request::{
    ChangeRequest, CommitRequest, ExpectRequest, Guard, GuardRequest, MAX_ACTOR_BYTES,
    MAX_ATTRIBUTES, MAX_REASON_BYTES, Proposal, ProposedChange, ProposedOp, PutRequest, actor_from,
    reason_from,
};
pub use rollback::{Keys, ProposedRollback, ROLLBACK_TO, RollbackRequest};
pub use sse::{Event, EventDecoder, EventError};
pub use status::{AlarmBody, LogBody, StatusBody};
pub use tags::{EntityTag, EntityTags, TagError, etag};
pub use time::{Time, TimeError};
pub use value::{JsonError, Value, ValueError, check_json};
pub use watch::{HeartbeatBody, PollBody, Values};
