//! Errors as answers.

use std::fmt;

use axum::response::{IntoResponse, Response};
use headwater_api::{Code, Problem, accepts, etag, header, paths};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// What a handler returns.
pub type ApiResult<T> = Result<T, ApiError>;

/// A problem on its way to the client, with headers of its own.
#[derive(Debug, Clone)]
pub struct ApiError(Box<(Problem, HeaderMap)>);

impl ApiError {
    /// Our own mistake: the cause goes to the log beside an id, only the id to the client.
    pub fn internal(cause: impl fmt::Display) -> Self {
        let id = uuid::Uuid::new_v4().to_string();
        tracing::error!(%id, %cause, "internal error");
        Problem::internal(&id).into()
    }

    /// The problem.
    pub fn problem(&self) -> &Problem {
        &self.0.0
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.1.insert(name, value);
        self
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(header::PROBLEM_JSON));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = problem.retry_after {
            let seconds = wait.as_millis().div_ceil(1_000).max(1);
            let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        let current = problem.number("current_revision").filter(|revision| *revision > 0);
        if problem.code == Code::PreconditionFailed
            && let Some(revision) = current
            && let Ok(tag) = HeaderValue::try_from(etag(revision))
        {
            headers.insert(ETAG, tag);
        }
        Self(Box::new((problem, headers)))
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem().fmt(f)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (problem, headers) = *self.0;
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, headers, problem.to_json()).into_response()
    }
}

/// Refuses a request whose `Accept` takes none of the types on offer; no `Accept` takes all.
///
/// # Errors
/// 406 `not_acceptable`.
pub fn not_acceptable_unless(headers: &HeaderMap, offered: &[&str]) -> ApiResult<()> {
    let mut given = headers.get_all(http::header::ACCEPT).iter().peekable();
    if given.peek().is_none() {
        return Ok(());
    }
    let takes = |accept: &str| {
        offered.iter().any(|offer| {
            let range = offer.split_once('/').map(|(kind, _)| format!("{kind}/*"));
            accepts(accept, offer)
                || accepts(accept, "*/*")
                || range.is_some_and(|range| accepts(accept, &range))
        })
    };
    if given.any(|value| value.to_str().is_ok_and(|text| text.trim().is_empty() || takes(text))) {
        return Ok(());
    }
    Err(Problem::not_acceptable(offered).into())
}

/// What answers where no route is. A path of a key that is no name says so.
pub(crate) async fn no_route(uri: http::Uri) -> ApiError {
    let path = uri.path();
    let named = [paths::CONFIG, paths::HISTORY, paths::DIFF].map(|base| paths::split(base, path));
    let mut wrong = named.into_iter().filter_map(Result::err);
    let wrong = wrong.find(|problem| problem.code != Code::NotFound);
    wrong.unwrap_or_else(|| Problem::not_found(path)).into()
}

/// What answers a method that a route does not have; axum adds `Allow`.
pub(crate) async fn no_method(method: http::Method) -> ApiError {
    Problem::method_not_allowed(method.as_str()).into()
}
