//! A folder of files as a source: the same code runs on a laptop, or on a mounted ConfigMap, without a server.
//!
//! ```text
//!  watch ──▶ quiet for DEBOUNCE ──▶ read the tree ──▶ unchanged meanwhile? ──no──▶ again
//!                                                              │ yes
//!                                                              ▼
//!                                             what differs, as ONE commit of a stream in memory
//! ```

mod names;
mod tree;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use headwater_schemas::{Change, Key, Namespace};

use self::tree::{File, Mark, Tree};
use self::watch::Watch;
use crate::core::Core;
use crate::local::{LocalStream, NotCommitted};

/// How long the folder must be quiet before it is read: editors and mounts change several files in one go. Less takes
/// half of a change now and then; more delays every change.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How often the folder is looked at without a word of the watch: network and container mounts often send none.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The most of the first reading that goes into one commit, in bytes of values. Nobody follows it yet.
const FIRST_COMMIT_BYTES: usize = 1024 * 1024;
/// The most changes of the first reading that go into one commit.
const FIRST_COMMIT_CHANGES: usize = 2048;

/// A file or folder that is not taken, and why. What it held before stays, and everything beside it is taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct RefusedFile {
    /// Its path below the folder.
    pub path: PathBuf,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// What one reading gave.
enum Read {
    /// Nothing changed since the last.
    AsBefore,
    /// It changed while it was read: what was read may be of two states.
    Torn,
    Whole(Tree),
}

/// The folder and the stream that its files are written to.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    dir: PathBuf,
    stream: Arc<LocalStream>,
}

impl Files {
    /// Reads nothing yet: until the folder was read, the stream cannot be reached.
    pub(crate) fn new(dir: &Path) -> Result<Self, NotCommitted> {
        let outage = format!("the folder {} was not read yet", dir.display());
        Ok(Self { dir: dir.to_owned(), stream: LocalStream::found("files", Some(&outage))? })
    }

    pub(crate) fn stream(&self) -> &Arc<LocalStream> {
        &self.stream
    }

    /// Keeps the stream as the folder is, until the client ends.
    pub(crate) async fn keep(self, core: Arc<Core>) {
        let stop = core.stop.clone();
        stop.run_until_cancelled(self.follow(&core)).await;
    }

    async fn follow(&self, core: &Core) {
        let mut watch = Watch::new(&self.dir);
        let mut taken = None;
        // Only without a word of the watch is a mark trusted: two writes within a tick of the clock have the same one.
        let mut is_told = true;
        loop {
            let known = if is_told { None } else { taken.clone() };
            let read = self.read(known).await;
            if !matches!(read, Ok(Read::AsBefore)) {
                watch.aim();
            }
            match read {
                Ok(Read::AsBefore) => {}
                Ok(Read::Torn) => {
                    is_told = true;
                    watch.quiet(DEBOUNCE).await;
                    continue;
                }
                Ok(Read::Whole(tree)) => taken = self.take(core, tree).await,
                Err(reason) => {
                    self.stream.reachable(Some(&reason));
                    taken = None;
                }
            }
            is_told = watch.changed(LOOK_EVERY).await;
            if is_told {
                watch.quiet(DEBOUNCE).await;
            }
        }
    }

    /// Reads the tree, unless its mark is a known one. The error is of the whole folder.
    async fn read(&self, known: Option<Mark>) -> Result<Read, String> {
        let dir = self.dir.clone();
        let read = tokio::task::spawn_blocking(move || {
            if known.is_some() && known == Some(Tree::mark(&dir)?) {
                return Ok(Read::AsBefore);
            }
            let tree = Tree::read(&dir)?;
            Ok(if tree.mark == Tree::mark(&dir)? { Read::Whole(tree) } else { Read::Torn })
        });
        read.await.unwrap_or_else(|error| Err(format!("reading the folder panicked: {error}")))
    }

    /// Commits what differs, and waits until the client has it. Gives the mark of the tree, unless it could not be taken.
    async fn take(&self, core: &Core, tree: Tree) -> Option<Mark> {
        let Tree { mark, files, refused, .. } = &tree;
        tracing::debug!(dir = %self.dir.display(), files = files.len(), "read the folder");
        if **core.refused_files.load() != *refused {
            for RefusedFile { path, reason } in refused {
                tracing::warn!(path = %path.display(), reason, "a file is not taken; what it held before stays");
            }
            core.refused_files.store(Arc::new(refused.clone()));
        }
        let changes = self.difference(&tree);
        let is_first = core.replica.view().is_none();
        let parts = if is_first { split(changes) } else { vec![changes] };
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            if let Err(error) = self.stream.commit(part) {
                let dir = self.dir.display();
                let reason =
                    format!("what changed in {dir} is not taken: {error}; change less at once");
                self.stream.reachable(Some(&reason));
                return None;
            }
        }
        self.stream.reachable(None);
        let revision = self.stream.revision();
        // An end of the client ends this as well.
        if core.replica.wait_for(revision).await.is_ok() {
            self.stream.trim();
        }
        Some(mark.clone())
    }

    /// What leads from the stream's state to the tree's. What is held back by something refused stays as it is.
    fn difference(&self, tree: &Tree) -> Vec<Change> {
        let mut before: BTreeMap<(Namespace, Key), _> = self
            .stream
            .entries()
            .into_iter()
            .map(|(namespace, key, entry)| ((namespace, key), entry))
            .collect();
        let mut changes = Vec::new();
        for ((namespace, key), File { content_type, value }) in &tree.files {
            let old = before.remove(&(namespace.clone(), key.clone()));
            if old.is_some_and(|old| old.value == *value && *old.content_type == **content_type) {
                continue;
            }
            let (namespace, key) = (namespace.clone(), key.clone());
            let content_type = (*content_type).into();
            changes.push(Change::Put {
                namespace,
                key,
                content_type,
                value: value.clone(),
                version: 0,
            });
        }
        let gone = before.into_keys().filter(|(namespace, key)| !tree.holds_back(namespace, key));
        changes.extend(gone.map(|(namespace, key)| Change::Delete { namespace, key }));
        changes
    }
}

/// Parts that each fit into a commit.
fn split(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for change in changes {
        let size = match &change {
            Change::Put { value, .. } => value.len(),
            Change::Delete { .. } => 0,
        };
        let is_full = parts.last().is_some_and(|part| part.len() >= FIRST_COMMIT_CHANGES);
        if is_full || bytes + size > FIRST_COMMIT_BYTES {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(part) = parts.last_mut() {
            part.push(change);
        }
    }
    parts
}
