//! A place of images, by its URL.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_client::Client;
use headwater_image::Manifest;
use percent_encoding::percent_decode_str;

#[cfg(feature = "s3")]
use crate::bucket::Bucket;
use crate::folder::Folder;
use crate::place::Place;
use crate::web::Web;
use crate::{Reading, S3Settings, StoreError};

/// A place of images. Cheap to clone; nothing is sent before the first call.
#[derive(Debug, Clone)]
pub struct Store {
    url: Arc<str>,
    pub(crate) place: Place,
}

/// What a place announces.
#[derive(Debug, Clone)]
pub struct Latest {
    /// The manifest, checked.
    pub manifest: Manifest,
    pub(crate) version: String,
}

impl Store {
    /// A place by its URL: `file:///DIR`, `s3://BUCKET/PREFIX` (with the feature `s3`), or `http(s)://HOST/PATH` for a
    /// web server or CDN in front of either, which can only be read.
    ///
    /// # Errors
    /// [`StoreError::Setting`] when it is none of these.
    pub fn open(url: &str, s3: &S3Settings) -> Result<Self, StoreError> {
        let wrong = |why: &str| {
            StoreError::Setting(format!(
                "{url:?} is no place of images: {why}; write file:///DIR, s3://BUCKET/PREFIX or https://HOST/PATH"
            ))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let place = match scheme {
            "file" => Place::Folder(Folder::new(url, directory(rest).map_err(wrong)?)),
            "s3" => bucket(url, rest, s3).map_err(|why| wrong(&why))?,
            "http" | "https" => {
                let built = Client::builder().server(url).tries(2).build();
                let client = built.map_err(|error| wrong(&error.to_string()))?;
                Place::Web(Web::in_front(client))
            }
            _ => return Err(wrong("nobody knows this scheme")),
        };
        Ok(Self { url: url.into(), place })
    }

    /// A directory.
    pub fn folder(dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        let url = dir.display().to_string();
        Self { place: Place::Folder(Folder::new(&url, dir)), url: url.into() }
    }

    /// The images that a relay serves.
    pub fn relay(client: Client) -> Self {
        Self { url: client.url().into(), place: Place::Web(Web::relay(client)) }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether nothing can be put or announced there.
    pub fn is_read_only(&self) -> bool {
        matches!(self.place, Place::Web(_))
    }

    /// Where a file of it stands on this machine, when it is a directory.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        match &self.place {
            Place::Folder(folder) => Some(folder.dir().join(name)),
            _ => None,
        }
    }

    /// What it announces; none when it announces nothing yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn latest(&self) -> Result<Option<Latest>, StoreError> {
        let Some(found) = self.place.latest().await? else { return Ok(None) };
        found.manifest.check().map_err(|error| self.damaged(error.to_string()))?;
        Ok(Some(Latest { manifest: found.manifest, version: found.version }))
    }

    /// Reads the bytes `from..until` of a file (`until` none: to its end).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read(
        &self,
        name: &str,
        from: u64,
        until: Option<u64>,
    ) -> Result<Reading, StoreError> {
        self.place.read(name, from, until).await
    }

    pub(crate) fn damaged(&self, detail: impl Into<String>) -> StoreError {
        StoreError::Damaged { url: self.url.to_string(), detail: detail.into() }
    }
}

/// The absolute path behind `file://`.
fn directory(rest: &str) -> Result<PathBuf, &'static str> {
    let path = percent_decode_str(rest).decode_utf8().map_err(|_| "its path is not UTF-8")?;
    if !Path::new(&*path).is_absolute() {
        return Err("file:// is followed by an absolute path, as in file:///var/images");
    }
    Ok(PathBuf::from(&*path))
}

#[cfg(feature = "s3")]
fn bucket(url: &str, rest: &str, s3: &S3Settings) -> Result<Place, String> {
    Bucket::open(url, rest, s3).map(Place::Bucket)
}

#[cfg(not(feature = "s3"))]
fn bucket(_: &str, _: &str, _: &S3Settings) -> Result<Place, String> {
    Err("this program was built without the feature `s3`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_place_is_refused_with_what_to_write() {
        for url in ["", "images", "/var/images", "ftp://x/y", "file://images", "http://", "s3://"] {
            let told = Store::open(url, &S3Settings::default()).unwrap_err().to_string();
            assert!(told.contains("s3://BUCKET/PREFIX"), "{url}: {told}");
        }
    }

    #[test]
    fn a_directory_is_named_by_an_absolute_url() {
        let store = Store::open("file:///var/my%20images", &S3Settings::default()).unwrap();
        assert_eq!(store.path("x"), Some(PathBuf::from("/var/my images/x")));
        assert_eq!(store.url(), "file:///var/my%20images");
    }
}
