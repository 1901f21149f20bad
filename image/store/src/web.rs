//! A web server: a relay, or whatever stands in front of a directory or bucket. It can only be read.

use headwater_api::{Code, paths};
use headwater_client::{Client, ClientError};
use headwater_image::Manifest;

use crate::StoreError;
use crate::place::{Found, LATEST};
use crate::reading::{From, Reading};

#[derive(Debug, Clone)]
pub(crate) struct Web {
    client: Client,
    /// What stands before a file's name in its path.
    dir: &'static str,
    /// The path of the announcement.
    latest: &'static str,
}

impl Web {
    pub(crate) fn in_front(client: Client) -> Self {
        Self { client, dir: "/", latest: "/latest.json" }
    }

    pub(crate) fn relay(client: Client) -> Self {
        Self { client, dir: "/v1/images/", latest: paths::IMAGES_LATEST }
    }

    fn failed(&self, name: &str, error: ClientError) -> StoreError {
        StoreError::of_client(self.client.url(), name, error)
    }

    pub(crate) async fn latest(&self) -> Result<Option<Found>, StoreError> {
        match self.client.json_at::<Manifest>(self.latest).await {
            Ok(manifest) => Ok(Some(Found { manifest, version: String::new() })),
            Err(ClientError::Problem(problem)) if problem.code == Code::NotFound => {
                if self.latest != paths::IMAGES_LATEST {
                    return Ok(None);
                }
                // A relay says why it has none.
                let (url, cause) = (self.client.url().to_owned(), problem.detail);
                Err(StoreError::Unreachable { url, cause })
            }
            Err(error) => Err(self.failed(LATEST, error)),
        }
    }

    pub(crate) async fn read(
        &self,
        name: &str,
        from: u64,
        until: Option<u64>,
    ) -> Result<Reading, StoreError> {
        let path = format!("{}{name}", self.dir);
        let download = self.client.download(&path, from, until).await;
        let download = download.map_err(|error| self.failed(name, error))?;
        let (url, name) = (self.client.url().to_owned(), name.to_owned());
        Ok(Reading { url, name, from: From::Web(download) })
    }

    pub(crate) fn read_only(&self) -> StoreError {
        StoreError::ReadOnly { url: self.client.url().to_owned() }
    }
}
