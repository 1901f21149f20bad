//! What a settings file can say.

use std::path::PathBuf;

/// Settings of a snapshotter.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the rows live. Default `data/store`. It can be deleted at any time: it is rebuilt from the log.
    pub dir: PathBuf,
    /// The image shelf: where images are put and announced (`latest.json`). Default `data/images`.
    pub image_dir: PathBuf,
    /// An image is cut when so many commits came after the last one. Default 10,000: a reader that starts from an
    /// image follows at most about so many. Fewer costs more disk writes, more costs readers time.
    pub cut_every_commits: u64,
    /// An image is cut when the last one is so old, in seconds, and anything is new. Default 60.
    pub cut_every_seconds: u64,
    /// How many images stay on the shelf, beside those younger than an hour. Default 3.
    pub keep: usize,
    /// How long commits gather before they are written together, in milliseconds. Default 10: history is at most
    /// so far behind, and a busy stream costs one write per gathering instead of one per commit.
    pub gather_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dir: "data/store".into(),
            image_dir: "data/images".into(),
            cut_every_commits: 10_000,
            cut_every_seconds: 60,
            keep: 3,
            gather_ms: 10,
        }
    }
}
