//! `GET /v1/commits`: the chain, in pages that show one revision.
//!
//! ```text
//!   after ─────────── history ───────────▶│── the replica's tail ──▶ upto
//! ```

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use headwater_api::{At, CommitBody, CommitsBody, CommitsPlace, Cursor, CursorKind, Problem, Time};
use headwater_replica::{CommitsPage, CommitsQuery, Order, View};
use headwater_schemas::Namespace;
use headwater_server::{ApiResult, PageLimit, Query, stamp};
use http::HeaderMap;

use super::page::{cut, values_of};
use crate::relay::Desk;

#[derive(Debug, serde::Deserialize)]
pub(crate) struct Parameters {
    after: Option<u64>,
    before: Option<u64>,
    namespace: Option<String>,
    #[serde(default)]
    prefix: String,
    actor: Option<String>,
    since: Option<Time>,
    until: Option<Time>,
    #[serde(default)]
    order: Sort,
    #[serde(default)]
    limit: PageLimit,
    cursor: Option<String>,
}

/// Which commits come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sort {
    /// The oldest.
    #[default]
    Asc,
    /// The newest.
    Desc,
}

/// What a commit costs beside its values, in bytes of JSON.
const COMMIT_BYTES: usize = 512;

/// A page of commits. The genesis is no commit of anybody's and is not listed; barriers are.
#[utoipa::path(get, path = "/v1/commits", operation_id = "list_commits", tag = "read",
    params(
        ("after" = Option<u64>, Query, description = "Only later revisions"),
        ("before" = Option<u64>, Query, description = "Only earlier revisions"),
        ("namespace" = Option<String>, Query, description = "Only commits that change something in this namespace"),
        ("prefix" = Option<String>, Query, description = "Only commits that change a key which begins so, in `namespace` if that is given"),
        ("actor" = Option<String>, Query, description = "Only commits of this actor"),
        ("since" = Option<String>, Query, description = "Only commits at or after this RFC 3339 time"),
        ("until" = Option<String>, Query, description = "Only commits at or before this RFC 3339 time"),
        ("order" = Option<Sort>, Query, description = "`asc`, the oldest first, by default"),
        ("limit" = Option<u64>, Query, description = "1 to 1,000, 100 by default", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; all pages of one cursor end at one revision. A page may be short, even empty; only a null `next` is the end"),
    ),
    responses(
        (status = 200, description = "Whole commits; barriers, too", body = headwater_api::CommitsBody),
        (status = 410, description = "`revision_compacted` with `oldest_revision`: this server keeps no older commits", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = "default", description = "A problem", content_type = "application/problem+json", body = headwater_api::Problem),
    ))]
pub(crate) async fn get(
    State(desk): State<Arc<Desk>>,
    Query(parameters): Query<Parameters>,
) -> ApiResult<Response> {
    let namespace = parameters.namespace.as_deref().map(namespace).transpose()?;
    let scope = parameters.scope();
    let scope: Vec<&str> = scope.iter().map(String::as_str).collect();
    let view = desk.view()?;
    let (place, revision) = match &parameters.cursor {
        None => (parameters.place(&desk, &view).await?, view.revision()),
        Some(cursor) => {
            let cursor = desk.cursor(cursor, CursorKind::Commits, &scope).await?;
            let place = CommitsPlace::read(&cursor.payload);
            (place.map_err(|error| Problem::invalid_cursor(&error))?, cursor.revision)
        }
    };
    let query = CommitsQuery {
        after: place.after,
        upto: place.upto,
        namespace,
        prefix: parameters.prefix.clone(),
        actor: parameters.actor.clone(),
        order: match parameters.order {
            Sort::Asc => Order::Ascending,
            Sort::Desc => Order::Descending,
        },
        limit: parameters.limit.get(),
        max_bytes: values_of(desk.relay.settings.page_bytes),
    };
    let page = if query.after < query.upto {
        desk.commits(&query).await?
    } else {
        CommitsPage { commits: Vec::new(), scanned_to: query.upto }
    };
    let (commits, scanned_to) = bodies(page, &query, desk.relay.settings.page_bytes);
    let stream_id = view.head().stream_id;
    let next = query.rest(scanned_to).map(|rest| {
        let payload = CommitsPlace { after: rest.after, upto: rest.upto }.payload();
        Cursor { stream_id, revision, payload }.encode(CursorKind::Commits, &scope)
    });
    let mut answer = HeaderMap::new();
    stamp(&mut answer, revision, stream_id);
    Ok((answer, axum::Json(CommitsBody { commits, next })).into_response())
}

/// A namespace as a parameter; never one of the system's.
pub(super) fn namespace(text: &str) -> Result<Namespace, Problem> {
    let namespace = Namespace::parse(text).map_err(|error| Problem::invalid_name(&error))?;
    if namespace.is_system() {
        return Err(Problem::reserved_namespace(&namespace));
    }
    Ok(namespace)
}

impl Parameters {
    /// What the cursor of another query must not be taken for.
    fn scope(&self) -> [String; 8] {
        let text = |value: Option<String>| value.unwrap_or_default();
        [
            text(self.after.map(|revision| revision.to_string())),
            text(self.before.map(|revision| revision.to_string())),
            text(self.namespace.clone()),
            self.prefix.clone(),
            text(self.actor.clone()),
            text(self.since.map(|time| time.to_string())),
            text(self.until.map(|time| time.to_string())),
            format!("{:?}", self.order),
        ]
    }

    /// The revisions that the filters leave of those up to the head.
    async fn place(&self, desk: &Desk, view: &View) -> Result<CommitsPlace, Problem> {
        let before = self.before.map_or(u64::MAX, |before| before.saturating_sub(1));
        let (mut after, mut upto) = (self.after.unwrap_or(0), before.min(view.revision()));
        if let Some(Time(since_ms)) = self.since {
            // Inclusive: after the last commit before it.
            let earlier = At::Time(Time(since_ms.saturating_sub(1)));
            after = after.max(desk.revision_of(earlier, view).await?);
        }
        if let Some(until) = self.until {
            upto = upto.min(desk.revision_of(At::Time(until), view).await?);
        }
        Ok(CommitsPlace { after, upto })
    }
}

/// The commits as they are answered, and how far they go.
fn bodies(page: CommitsPage, query: &CommitsQuery, max_bytes: usize) -> (Vec<CommitBody>, u64) {
    let bodies = page.commits.iter().map(|(hash, commit)| CommitBody::new(commit, *hash));
    let (commits, is_cut) = cut(bodies.collect(), max_bytes, commit_bytes);
    let last = commits.last().filter(|_| is_cut).map(|last| match query.order {
        Order::Ascending => last.revision,
        Order::Descending => last.revision.saturating_sub(1),
    });
    (commits, last.unwrap_or(page.scanned_to))
}

fn commit_bytes(commit: &CommitBody) -> usize {
    let values = commit.changes.iter().map(|change| {
        let base64 = change.value_base64.as_ref().map_or(0, String::len);
        change.value.as_ref().map_or(base64, |value| value.get().len())
    });
    values.sum::<usize>() + COMMIT_BYTES
}
