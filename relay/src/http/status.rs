//! `GET /v1/status`: what this server knows of itself.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use headwater_api::{AlarmBody, LogBody, StatusBody, Time};
use headwater_replica::{AlarmKind, Phase};
use headwater_server::{ApiResult, NoQuery, Query, stamp};
use http::HeaderMap;

use crate::relay::Desk;

/// This server's own account.
#[utoipa::path(get, path = "/v1/status", operation_id = "status", tag = "operate",
    responses(
        (status = 200, description = "As it is now", body = headwater_api::StatusBody),
        (status = "default", description = "A problem", content_type = "application/problem+json", body = headwater_api::Problem),
    ))]
pub(crate) async fn get(State(desk): State<Arc<Desk>>, _: Query<NoQuery>) -> ApiResult<Response> {
    let (view, relay) = (desk.view()?, &desk.relay);
    let status = relay.replica.status();
    let other = || relay.other_alarm.as_ref().and_then(|other| other());
    let alarm = status.alarm.clone().or_else(other);
    let (head, totals) = (view.head(), view.totals());
    let identity = relay.log.identity();
    let log = LogBody {
        kind: identity.kind.to_owned(),
        position: view.position().0,
        place: Some(identity.place.clone()),
        cluster_id: identity.cluster_id.clone(),
    };
    let body = StatusBody {
        stream: relay.stream.clone(),
        stream_id: head.stream_id,
        revision: head.revision,
        hash: head.hash,
        digest: totals.digest(),
        entries: totals.entries(),
        bytes: totals.bytes(),
        log,
        role: relay.role.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: Time(relay.started_at_ms),
        lag_revisions: status.lag_revisions,
        last_commit_at: (head.revision > 0).then_some(Time(head.at_ms)),
        phase: phase(status.phase).to_owned(),
        alarm: alarm
            .map(|alarm| AlarmBody { kind: kind(alarm.kind).to_owned(), detail: alarm.detail }),
    };
    let mut answer = HeaderMap::new();
    stamp(&mut answer, head.revision, head.stream_id);
    Ok((answer, axum::Json(body)).into_response())
}

fn kind(kind: AlarmKind) -> &'static str {
    match kind {
        AlarmKind::NotOnThisLog => "not_on_this_log",
        AlarmKind::Undecodable => "undecodable",
        AlarmKind::Divergence => "divergence",
        AlarmKind::LogDamaged => "log_damaged",
        AlarmKind::WrongSource => "wrong_source",
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::CatchingUp => "catching_up",
        Phase::Live => "live",
        Phase::Stale => "stale",
        Phase::ReadOnly => "read_only",
        Phase::Closed => "closed",
    }
}
