//! `GET /v1/images/…`: the manifest of the newest image, and images by name, from the shelf.

use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use headwater_api::{Problem, header};
use headwater_image::{Manifest, parse_wire_name};
use headwater_schemas::Hash;
use headwater_server::{ApiError, ApiResult, NoQuery, Query, is_not_modified, stamp};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE,
    RANGE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::range::{Wanted, wanted};
use crate::metrics;
use crate::relay::Desk;

/// How much of a file one send reads, in bytes.
const CHUNK_BYTES: usize = 128 * 1024;
/// The largest manifest, in bytes: that of an image of some 100,000 blocks.
const MAX_MANIFEST_BYTES: u64 = 64 * 1024 * 1024;
/// The end of an image, in bytes: it holds a hash over everything else, so that it tells any two files apart.
const TRAILER_BYTES: u64 = 56;

/// The manifest of the announced image.
#[utoipa::path(get, path = "/v1/images/latest", operation_id = "latest_image", tag = "follow",
    params(("If-None-Match" = Option<String>, Header, description = "An ETag that the client has: 304 when it still holds")),
    responses(
        (status = 200, description = "The manifest", body = headwater_api::ManifestBody, headers(("ETag" = String))),
        (status = 304, description = "Not modified"),
        (status = 404, description = "`not_found`: none was cut yet", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = "default", description = "A problem", content_type = "application/problem+json", body = headwater_api::Problem),
    ))]
pub(crate) async fn latest(
    State(desk): State<Arc<Desk>>,
    _: Query<NoQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let json = match &desk.relay.image_dir {
        Some(dir) => read_bounded(&dir.join("latest.json")).await.map_err(ApiError::internal)?,
        None => None,
    };
    let Some(json) = json else {
        desk.want_image();
        let none = "no image was cut yet; try again in a moment, or read the keys themselves";
        return Err(Problem { detail: none.into(), ..Problem::not_found("") }.into());
    };
    let manifest = Manifest::parse(&json).map_err(ApiError::internal)?;
    if let Some(view) = desk.relay.replica.view()
        && view.head().stream_id != manifest.stream_id
    {
        desk.want_image();
        let other =
            "the images on this server's shelf belong to another stream: a person must look";
        return Err(Problem { detail: other.into(), ..Problem::not_found("") }.into());
    }
    let mut tag = Hash::of(&json).to_string();
    tag.truncate(32);
    let tag = format!("\"{tag}\"");
    let mut answer = HeaderMap::new();
    stamp(&mut answer, manifest.revision, manifest.stream_id);
    answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    insert(&mut answer, ETAG, &tag);
    if is_not_modified(&headers, &tag)? {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    Ok((answer, json).into_response())
}

/// A file's bytes; none when there is no file.
async fn read_bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_MANIFEST_BYTES).read_to_end(&mut bytes).await?;
    Ok(Some(bytes))
}

/// The wire form of an image, or a range of it.
#[utoipa::path(get, path = "/v1/images/{name}", operation_id = "image", tag = "follow",
    params(
        ("name" = String, Path, description = "`<revision>-<hash>.hwi`, as the manifest says"),
        ("Range" = Option<String>, Header, description = "One range of bytes"),
        ("If-Range" = Option<String>, Header, description = "The ETag that the range belongs to"),
    ),
    responses(
        (status = 200, description = "All of it; it never changes", content_type = "application/vnd.headwater.image", body = Vec<u8>, headers(("ETag" = String), ("Accept-Ranges" = String))),
        (status = 206, description = "The range", content_type = "application/vnd.headwater.image", body = Vec<u8>, headers(("Content-Range" = String))),
        (status = 304, description = "Not modified"),
        (status = 416, description = "`range_not_satisfiable`", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = "default", description = "A problem", content_type = "application/problem+json", body = headwater_api::Problem),
    ))]
pub(crate) async fn by_name(
    State(desk): State<Arc<Desk>>,
    method: Method,
    uri: Uri,
    _: Query<NoQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let not_found = || ApiError::from(Problem::not_found(uri.path()));
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    let dir = desk.relay.image_dir.as_deref();
    let (revision, path) = dir.and_then(|dir| shelved(dir, name)).ok_or_else(not_found)?;
    let mut file = match File::open(&path).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_found()),
        Err(error) => return Err(ApiError::internal(error)),
    };
    let size = file.metadata().await.map_err(ApiError::internal)?.len();
    let tag = tag(&mut file, size).await.map_err(ApiError::internal)?;
    let mut answer = HeaderMap::new();
    answer.insert(header::REVISION, revision.into());
    insert(&mut answer, ETAG, &tag);
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    answer.insert(CACHE_CONTROL, forever);
    answer.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if is_not_modified(&headers, &tag)? {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    answer.insert(CONTENT_TYPE, HeaderValue::from_static(header::IMAGE));
    // Nobody but GET has ranges (RFC 9110, 14.2).
    let range = (method == Method::GET).then(|| range(&headers, &tag)).flatten();
    match wanted(range, size) {
        Wanted::Whole => Ok(part(file, 0..size, answer).await?.into_response()),
        Wanted::Part(range) => {
            let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            insert(&mut answer, CONTENT_RANGE, &text);
            Ok((StatusCode::PARTIAL_CONTENT, part(file, range, answer).await?).into_response())
        }
        Wanted::Outside => {
            let error = ApiError::from(Problem::range_not_satisfiable(size));
            match HeaderValue::try_from(format!("bytes */{size}")) {
                Ok(text) => Err(error.with_header(CONTENT_RANGE, text)),
                Err(_) => Err(error),
            }
        }
    }
}

fn insert(headers: &mut HeaderMap, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// The revision that a name says, and where the image stands. A name is nothing but `<revision>-<hash>.hwi`: it becomes a path.
fn shelved(dir: &Path, name: &str) -> Option<(u64, PathBuf)> {
    let (revision, _) = parse_wire_name(name)?;
    Some((revision, dir.join(name)))
}

/// A strong tag of the file's content: two relays may hold files of one name that were compressed differently.
async fn tag(file: &mut File, size: u64) -> io::Result<String> {
    file.seek(SeekFrom::Start(size.saturating_sub(TRAILER_BYTES))).await?;
    let mut trailer = Vec::new();
    (&mut *file).take(TRAILER_BYTES).read_to_end(&mut trailer).await?;
    let mut hex = Hash::of(&trailer).to_string();
    hex.truncate(32);
    Ok(format!("\"{hex}\""))
}

/// The `Range` header, if `If-Range` does not forbid it: it holds only for exactly our strong tag.
fn range<'a>(headers: &'a HeaderMap, tag: &str) -> Option<&'a str> {
    match headers.get(IF_RANGE) {
        Some(condition) if condition.as_bytes() != tag.as_bytes() => None,
        _ => headers.get(RANGE)?.to_str().ok(),
    }
}

/// A part of a file as an answer, read as the client takes it.
async fn part(
    mut file: File,
    range: Range<u64>,
    mut headers: HeaderMap,
) -> ApiResult<(HeaderMap, Body)> {
    let len = range.end - range.start;
    file.seek(SeekFrom::Start(range.start)).await.map_err(ApiError::internal)?;
    headers.insert(CONTENT_LENGTH, len.into());
    let chunks = ReaderStream::with_capacity(file.take(len), CHUNK_BYTES);
    let counted = chunks.inspect(|chunk| {
        if let Ok(chunk) = chunk {
            metrics::image_sent(chunk.len());
        }
    });
    Ok((headers, Body::from_stream(counted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_an_image_becomes_a_path() {
        let hash = Hash([0xab; 32]);
        let (dir, good) = (Path::new("/shelf"), format!("7-{hash}.hwi"));
        assert_eq!(shelved(dir, &good), Some((7, dir.join(&good))));
        for name in [
            "latest.json".to_owned(),
            format!("07-{hash}.hwi"),
            format!("+7-{hash}.hwi"),
            format!("7-{}.hwi", hash.to_string().to_uppercase()),
            format!("7-{hash}.hwi.json"),
            format!("../7-{hash}.hwi"),
            format!("%2e%2e%2f7-{hash}.hwi"),
            String::new(),
        ] {
            assert_eq!(shelved(dir, &name), None, "{name}");
        }
    }
}
