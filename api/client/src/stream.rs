//! The binary stream of live commits.

use headwater_api::{Frame, FrameDecoder, header, paths};
use headwater_schemas::{Hash, Namespace};
use http::header::{ACCEPT, CONTENT_TYPE};
use reqwest::Response;
use std::time::Duration;

use crate::query::Parameters;
use crate::{Client, ClientError};

/// Frames as they arrive.
#[derive(Debug)]
pub struct FrameStream {
    client: Client,
    response: Response,
    decoder: FrameDecoder,
}

impl Client {
    /// Opens the stream behind `(after, hash)`, of some namespaces or of all. Tried once: who follows a stream
    /// has a back-off and other servers of its own.
    ///
    /// # Errors
    /// [`ClientError`]; `wrong_chain` and `revision_compacted` tell what to do.
    pub async fn stream(
        &self,
        after: u64,
        hash: Hash,
        namespaces: Option<&[Namespace]>,
    ) -> Result<FrameStream, ClientError> {
        let namespaces = namespaces.map(|namespaces| {
            namespaces.iter().map(Namespace::as_str).collect::<Vec<_>>().join(",")
        });
        let url = Parameters::default()
            .with("after", Some(after))
            .with("hash", Some(hash))
            .with("namespaces", namespaces)
            .on(&self.at(paths::STREAM));
        let request = self.http.get(url).header(ACCEPT, header::STREAM_AVRO);
        let response = self.once(Duration::ZERO, request).await?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if kind.is_none_or(|kind| headwater_api::essence(kind) != header::STREAM_AVRO) {
            return Err(self.undecodable(format!("a stream of {}", kind.unwrap_or("no type"))));
        }
        Ok(FrameStream { client: self.clone(), response, decoder: FrameDecoder::default() })
    }
}

impl FrameStream {
    /// The next frame. The stream never ends well: its end is an error that may be tried again.
    ///
    /// # Errors
    /// [`ClientError`]: silence for too long, a broken connection, or bytes that are no frames.
    ///
    /// # Cancel safety
    /// A cancelled call loses nothing.
    pub async fn next(&mut self) -> Result<Frame, ClientError> {
        loop {
            let frame = self.decoder.next_frame();
            if let Some(frame) =
                frame.map_err(|error| self.client.undecodable(error.to_string()))?
            {
                return Ok(frame);
            }
            match self.client.chunk(&mut self.response).await? {
                Some(chunk) => self.decoder.push(&chunk),
                None => {
                    return Err(ClientError::Transport {
                        url: self.client.url().to_owned(),
                        cause: "the server ended the stream".to_owned(),
                        unsent: false,
                    });
                }
            }
        }
    }
}
