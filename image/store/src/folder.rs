//! A directory, perhaps on a shared mount. Writers take turns by an advisory lock; readers need none, because every
//! file gets its name by a rename.

use std::fs::{self, File};
use std::io::{self, Read as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headwater_image::{Manifest, copy_image, sweep};
use headwater_schemas::Hash;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::StoreError;
use crate::place::{Found, LATEST, Listed, MAX_LATEST_BYTES, Over};
use crate::reading::{From, Reading};

/// The file that writers lock. It stays: removing it would give two writers a lock each.
const LOCK: &str = ".headwater.lock";
/// A half-written file so old belongs to nobody: the process that wrote it was killed.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Clone)]
pub(crate) struct Folder {
    url: String,
    dir: PathBuf,
}

impl Folder {
    pub(crate) fn new(url: &str, dir: PathBuf) -> Self {
        Self { url: url.to_owned(), dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn failed(&self, action: &str) -> impl FnOnce(io::Error) -> StoreError + use<> {
        let (url, action) = (self.url.clone(), action.to_owned());
        move |error| StoreError::Unreachable { url, cause: format!("cannot {action}: {error}") }
    }

    /// Runs `work` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let folder = self.clone();
        let worked = tokio::task::spawn_blocking(move || work(&folder)).await;
        worked.map_err(|error| self.failed("work")(io::Error::other(error)))?
    }

    /// Runs `work` as the only writer.
    async fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.blocking(|folder| {
            fs::create_dir_all(&folder.dir).map_err(folder.failed("create it"))?;
            let lock = File::options().create(true).append(true).open(folder.dir.join(LOCK));
            let lock = lock.map_err(folder.failed("open its lock"))?;
            // The lock goes with the file, or with the process.
            lock.lock().map_err(folder.failed("lock it"))?;
            work(folder)
        })
        .await
    }

    /// The bytes of the announcement.
    fn announcement(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let file = match File::open(self.dir.join(LATEST)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("open latest.json")(error)),
        };
        let mut json = Vec::new();
        let read = file.take(MAX_LATEST_BYTES).read_to_end(&mut json);
        read.map_err(self.failed("read latest.json"))?;
        Ok(Some(json))
    }

    pub(crate) async fn latest(&self) -> Result<Option<Found>, StoreError> {
        self.blocking(|folder| {
            let Some(json) = folder.announcement()? else { return Ok(None) };
            let manifest = Manifest::parse(&json).map_err(|error| StoreError::Damaged {
                url: folder.url.clone(),
                detail: format!("latest.json: {error}"),
            })?;
            Ok(Some(Found { manifest, version: Hash::of(&json).to_string() }))
        })
        .await
    }

    pub(crate) async fn read(
        &self,
        name: &str,
        from: u64,
        until: Option<u64>,
    ) -> Result<Reading, StoreError> {
        let mut file = match tokio::fs::File::open(self.dir.join(name)).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { url: self.url.clone(), name: name.to_owned() });
            }
            Err(error) => return Err(self.failed(&format!("open {name}"))(error)),
        };
        let sought = file.seek(SeekFrom::Start(from)).await;
        sought.map_err(self.failed(&format!("read {name}")))?;
        let file = file.take(until.unwrap_or(u64::MAX).saturating_sub(from));
        Ok(Reading { url: self.url.clone(), name: name.to_owned(), from: From::File(file) })
    }

    pub(crate) async fn put(
        &self,
        dir: &Path,
        manifest: &Manifest,
        over: Over,
    ) -> Result<bool, StoreError> {
        let (from, manifest) = (dir.to_path_buf(), manifest.clone());
        self.alone(move |folder| {
            if over == Over::Nothing && folder.dir.join(&manifest.name).exists() {
                return Ok(false);
            }
            copy_image(&from, &folder.dir, &manifest)?;
            Ok(true)
        })
        .await
    }

    pub(crate) async fn swap(
        &self,
        manifest: &Manifest,
        version: Option<&str>,
    ) -> Result<bool, StoreError> {
        let (manifest, version) = (manifest.clone(), version.map(str::to_owned));
        self.alone(move |folder| {
            let now = folder.announcement()?.map(|json| Hash::of(&json).to_string());
            if now != version {
                return Ok(false);
            }
            manifest.write_as(&folder.dir, LATEST)?;
            Ok(true)
        })
        .await
    }

    pub(crate) async fn list(&self) -> Result<Vec<Listed>, StoreError> {
        self.blocking(|folder| {
            if let Some(before) = SystemTime::now().checked_sub(ABANDONED) {
                let _ = sweep(&folder.dir, before);
            }
            let files = fs::read_dir(&folder.dir).map_err(folder.failed("list it"))?;
            Ok(files.filter_map(|file| listed(&file.ok()?)).collect())
        })
        .await
    }

    pub(crate) async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.blocking(move |folder| match fs::remove_file(folder.dir.join(&name)) {
            // Whoever else shares the place was first.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(folder.failed(&format!("delete {name}"))),
        })
        .await
    }
}

/// A file with its time; none for what went meanwhile or has no time.
fn listed(file: &fs::DirEntry) -> Option<Listed> {
    let modified = file.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let at_ms = i64::try_from(modified.as_millis()).ok()?;
    Some(Listed { name: file.file_name().into_string().ok()?, at_ms })
}
