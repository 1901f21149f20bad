//! States kept for open cursors, so that all pages of one show one revision.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use headwater_api::{Code, Cursor, CursorKind, Problem};
use headwater_replica::View;
use headwater_server::Wait;

use crate::metrics;
use crate::reading::State;
use crate::relay::Desk;
use crate::settings::Settings;

/// How long the revision of a cursor that another replica gave out is waited for.
const AHEAD: Duration = Duration::from_secs(1);

/// The last few states that a cursor was handed out for, each until nobody asked for it for a while.
#[derive(Debug)]
pub(crate) struct Cursors {
    kept: Mutex<BTreeMap<u64, (Arc<View>, Instant)>>,
    most: usize,
    idle: Duration,
}

impl Cursors {
    pub(crate) fn new(settings: &Settings) -> Self {
        let idle = Duration::from_secs(settings.cursor_seconds);
        Self { kept: Mutex::default(), most: settings.cursor_states, idle }
    }

    /// Keeps a state for a while from now.
    pub(crate) fn keep(&self, view: &Arc<View>) {
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(view.revision(), (view.clone(), now));
        kept.retain(|_, (_, used)| now.saturating_duration_since(*used) < self.idle);
        while kept.len() > self.most.max(1) {
            let oldest =
                kept.iter().min_by_key(|(_, (_, used))| *used).map(|(revision, _)| *revision);
            let Some(oldest) = oldest else { break };
            kept.remove(&oldest);
        }
        metrics::cursor_states(kept.len());
    }

    pub(crate) fn get(&self, revision: u64) -> Option<Arc<View>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (view, used) = kept.get(&revision)?;
        (used.elapsed() < self.idle).then(|| view.clone())
    }

    fn oldest(&self) -> Option<u64> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(_, (_, used))| used.elapsed() < self.idle).map(|(revision, _)| *revision)
    }
}

impl Desk {
    /// The state and the place in it that a client's cursor names.
    pub(crate) async fn resume(
        &self,
        text: &str,
        kind: CursorKind,
        scope: &[&str],
    ) -> Result<(Arc<View>, Vec<u8>), Problem> {
        let cursor = self.cursor(text, kind, scope).await?;
        let now = self.view()?;
        let revision = cursor.revision;
        let view =
            if now.revision() == revision { Some(now.clone()) } else { self.cursors.get(revision) };
        let view = view.ok_or_else(|| {
            let oldest =
                self.cursors.oldest().map_or(now.revision(), |oldest| oldest.min(now.revision()));
            Problem::revision_compacted(revision, oldest)
        })?;
        Ok((view, cursor.payload))
    }

    /// A client's cursor, of this stream and this query. One that another replica gave out may be ahead of this one for a
    /// moment.
    pub(crate) async fn cursor(
        &self,
        text: &str,
        kind: CursorKind,
        scope: &[&str],
    ) -> Result<Cursor, Problem> {
        let cursor =
            Cursor::decode(text, kind, scope).map_err(|error| Problem::invalid_cursor(&error))?;
        let head = *self.view()?.head();
        if cursor.stream_id != head.stream_id {
            return Err(Problem::wrong_stream(&cursor.stream_id.to_string(), head.stream_id));
        }
        if cursor.revision <= head.revision {
            return Ok(cursor);
        }
        self.reach(cursor.revision, Some(Wait(AHEAD))).await.map_err(|problem| {
            match problem.code {
                Code::RevisionNotReached => Problem::not_ready(&problem.detail),
                _ => problem,
            }
        })?;
        Ok(cursor)
    }

    /// A cursor that goes on in `view` behind `payload`; the view is kept for it.
    pub(crate) fn next(
        &self,
        view: &Arc<View>,
        payload: &str,
        kind: CursorKind,
        scope: &[&str],
    ) -> String {
        self.cursors.keep(view);
        let head = view.head();
        let payload = payload.as_bytes().to_vec();
        Cursor { stream_id: head.stream_id, revision: head.revision, payload }.encode(kind, scope)
    }

    /// A cursor that goes on in a state behind a place; a state that is held whole is kept for it.
    pub(crate) fn go_on(
        &self,
        state: &State,
        payload: Vec<u8>,
        kind: CursorKind,
        scope: &[&str],
    ) -> String {
        if let State::Now(view) = state {
            self.cursors.keep(view);
        }
        let (stream_id, revision) = (state.stream_id(), state.revision());
        Cursor { stream_id, revision, payload }.encode(kind, scope)
    }
}

/// What a cursor's payload says, where it is a name.
pub(crate) fn name(payload: Vec<u8>) -> Result<String, Problem> {
    String::from_utf8(payload).map_err(|_| Problem::invalid_cursor(&"the cursor is damaged"))
}
