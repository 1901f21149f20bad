//! Putting an image: sent once, read back, and never over another that is whole.

use std::path::Path;

use headwater_image::{ImageError, Manifest, WhyNot, WireImage};
use headwater_schemas::Hash;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use crate::place::Over;
use crate::{Store, StoreError};

/// What stands under a name.
enum Stands {
    Nothing,
    /// The very bytes.
    These,
    Others,
}

impl Store {
    /// Puts the image that stands in `dir` there and reads it back; what is there already with the same bytes is not
    /// sent again. Gives the manifest of what stands there now, to be announced: another writer may have compressed
    /// the same state in another way, and what it put is as good, once every byte of it was verified.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when a whole image of another state stands under the name. Others may be tried again.
    pub async fn put_image(&self, dir: &Path, manifest: &Manifest) -> Result<Manifest, StoreError> {
        let stands = match self.stands(manifest).await? {
            Stands::Nothing => {
                self.place.put(dir, manifest, Over::Nothing).await?;
                self.stands(manifest).await?
            }
            stands => stands,
        };
        match stands {
            Stands::These => Ok(manifest.clone()),
            Stands::Others => self.others(dir, manifest).await,
            Stands::Nothing => Err(self.damaged(format!("{} was put and is gone", manifest.name))),
        }
    }

    /// What stands under the name of an image: all of it is read.
    async fn stands(&self, manifest: &Manifest) -> Result<Stands, StoreError> {
        let mut reading = match self.read(&manifest.name, 0, None).await {
            Ok(reading) => reading,
            Err(StoreError::Missing { .. }) => return Ok(Stands::Nothing),
            Err(error) => return Err(error),
        };
        let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
        while let Some(piece) = reading.next().await? {
            bytes += piece.len() as u64;
            if bytes > manifest.bytes {
                return Ok(Stands::Others);
            }
            hasher.update(&piece);
        }
        let same =
            bytes == manifest.bytes && Hash(*hasher.finalize().as_bytes()) == manifest.blake3;
        Ok(if same { Stands::These } else { Stands::Others })
    }

    /// Other bytes stand under our name: the same state, another one, or damage.
    async fn others(&self, dir: &Path, ours: &Manifest) -> Result<Manifest, StoreError> {
        let path = dir.join(format!(".{}.fetched.hw-tmp", ours.name));
        let theirs = self.manifest_of_others(&path, ours).await;
        // A leftover is swept with the other temporary files.
        let _ = tokio::fs::remove_file(&path).await;
        let theirs = match theirs {
            Err(StoreError::Own(error)) if is_damage(&error) => {
                tracing::warn!(url = self.url(), %error, "a damaged image is replaced");
                return self.replaced(dir, ours).await;
            }
            theirs => theirs?,
        };
        match ours.may_follow(&theirs) {
            Err(WhyNot::Same { .. }) => Ok(theirs),
            Err(why) if theirs.name == ours.name => {
                Err(StoreError::Refused { url: self.url().to_owned(), why })
            }
            // It is not the image that its name says.
            _ => self.replaced(dir, ours).await,
        }
    }

    async fn replaced(&self, dir: &Path, ours: &Manifest) -> Result<Manifest, StoreError> {
        self.place.put(dir, ours, Over::Damaged).await?;
        match self.stands(ours).await? {
            Stands::These => Ok(ours.clone()),
            _ => Err(self.damaged(format!("{} does not keep what is put", ours.name))),
        }
    }

    /// Fetches what stands under our name to `path`, verifies every byte, and gives its manifest.
    async fn manifest_of_others(
        &self,
        path: &Path,
        ours: &Manifest,
    ) -> Result<Manifest, StoreError> {
        self.fetch(&ours.name, path).await?;
        let (position, created_at_ms) = (ours.log_position, ours.created_at_ms);
        // A file does not say how its chain came about; under our name it is ours.
        let succession = ours.succession;
        let file = path.to_path_buf();
        let verify = move || {
            let image = WireImage::open(&file)?;
            image.verify()?;
            Ok(Manifest { succession, ..image.manifest(position, created_at_ms)? })
        };
        let verified = tokio::task::spawn_blocking(verify).await;
        Ok(verified.map_err(ImageError::source).flatten()?)
    }

    async fn fetch(&self, name: &str, to: &Path) -> Result<(), StoreError> {
        let own = |error| {
            let (action, path) = ("write", to.to_path_buf());
            StoreError::Own(ImageError::Io { action, path, source: error })
        };
        let mut file = File::create(to).await.map_err(own)?;
        let mut reading = self.read(name, 0, None).await?;
        while let Some(piece) = reading.next().await? {
            file.write_all(&piece).await.map_err(own)?;
        }
        file.flush().await.map_err(own)
    }
}

fn is_damage(error: &ImageError) -> bool {
    error.is_damage() || matches!(error, ImageError::Unsorted { .. })
}
