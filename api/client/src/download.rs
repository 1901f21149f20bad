//! Downloading an image, from any byte on.

use std::time::Duration;

use bytes::Bytes;
use headwater_api::paths;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, RANGE};
use reqwest::Response;

use crate::send::Again;
use crate::{Client, ClientError};

/// Bytes of an image as they arrive.
#[derive(Debug)]
pub struct Download {
    client: Client,
    response: Response,
    /// Bytes before the wanted ones, when the server sends the whole file nevertheless.
    skip: u64,
    /// Bytes still to come; none when the server did not say.
    left: Option<u64>,
}

impl Client {
    /// Downloads the bytes `from..until` of an image (`until` none: to its end).
    ///
    /// # Errors
    /// [`ClientError`]; an image that is gone is `not_found`: ask for the newest manifest again.
    pub async fn image(
        &self,
        name: &str,
        from: u64,
        until: Option<u64>,
    ) -> Result<Download, ClientError> {
        self.download(&paths::image(name), from, until).await
    }

    /// The same of a file at any path of the server (`/` first): images lie in plain web servers and behind CDNs, too.
    ///
    /// # Errors
    /// As [`Client::image`].
    pub async fn download(
        &self,
        path: &str,
        from: u64,
        until: Option<u64>,
    ) -> Result<Download, ClientError> {
        if until.is_some_and(|until| until <= from) {
            return Err(ClientError::Setting(format!("no bytes from {from} until {until:?}")));
        }
        let url = self.at(path);
        let whole = from == 0 && until.is_none();
        let last = until.map(|until| (until - 1).to_string()).unwrap_or_default();
        let range = format!("bytes={from}-{last}");
        let build = |http: &reqwest::Client| {
            let request = http.get(&url);
            if whole { request } else { request.header(RANGE, &range) }
        };
        let response = self.call(Again::Safe, Duration::ZERO, build).await?;
        let length = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let length: Option<u64> = length.and_then(|text| text.parse().ok());
        let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
        let skip = if is_part { 0 } else { from };
        let wanted = until.map(|until| until - from);
        let left = match (length, wanted) {
            (Some(length), Some(wanted)) => Some(wanted.min(length.saturating_sub(skip))),
            (Some(length), None) => Some(length.saturating_sub(skip)),
            (None, wanted) => wanted,
        };
        Ok(Download { client: self.clone(), response, skip, left })
    }
}

impl Download {
    /// The next bytes; none behind the last.
    ///
    /// # Errors
    /// [`ClientError`]; go on from the byte reached with a new call.
    ///
    /// # Cancel safety
    /// A cancelled call loses nothing.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while self.left != Some(0) {
            let Some(mut chunk) = self.client.chunk(&mut self.response).await? else {
                return match self.left {
                    None => Ok(None),
                    Some(left) => Err(self.client.cut(left)),
                };
            };
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
            self.skip -= skipped as u64;
            let _ = chunk.split_to(skipped);
            if let Some(left) = &mut self.left {
                chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= chunk.len() as u64;
            }
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// How many bytes are still to come, when the server said.
    pub fn left(&self) -> Option<u64> {
        self.left
    }
}

impl Client {
    fn cut(&self, left: u64) -> ClientError {
        ClientError::Transport {
            url: self.url().to_owned(),
            cause: format!("the download ended {left} bytes early"),
            unsent: false,
        }
    }
}
