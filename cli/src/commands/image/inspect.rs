//! What a snapshot holds, by its header and footer, or by its manifest.

use headwater_api::{ManifestBody, NamespaceBody, Time};
use headwater_image::WireImage;

use super::Inspect;
use crate::commands::connect;
use crate::exit::Failure;
use crate::output::{self, Rows};

pub(super) async fn run(args: Inspect) -> Result<(), Failure> {
    match &args.file {
        Some(file) => {
            let image = WireImage::open(file).map_err(Failure::failed)?;
            let report = Report::of(&image);
            if args.remote.json { output::json(&report) } else { report.print() }
        }
        None => {
            let manifest: ManifestBody = connect(&args.remote)?.image_manifest().await?;
            if args.remote.json { output::json(&manifest) } else { print(manifest) }
        }
    }
}

/// What a file says of itself.
#[derive(Debug, serde::Serialize)]
pub(super) struct Report {
    stream_id: String,
    revision: u64,
    hash: String,
    at: Time,
    digest: String,
    entries: u64,
    bytes: u64,
    blocks: usize,
    namespaces: Vec<NamespaceBody>,
}

impl Report {
    pub(super) fn of(image: &WireImage) -> Self {
        let (head, totals) = (image.head(), image.totals());
        Self {
            stream_id: head.stream_id.to_string(),
            revision: head.revision,
            hash: head.hash.to_string(),
            at: Time(head.at_ms),
            digest: totals.digest().to_string(),
            entries: totals.entries(),
            bytes: image.size_bytes(),
            blocks: image.block_hashes().count(),
            namespaces: totals
                .namespaces()
                .map(|(name, of)| NamespaceBody::new(name, of))
                .collect(),
        }
    }

    pub(super) fn print(&self) -> Result<(), Failure> {
        output::facts([
            ("stream", self.stream_id.clone()),
            ("revision", self.revision.to_string()),
            ("hash", self.hash.clone()),
            ("last commit", output::time(self.at)),
            ("digest", self.digest.clone()),
            ("entries", self.entries.to_string()),
            ("bytes", format!("{} in {} blocks", self.bytes, self.blocks)),
        ])?;
        output::line("")?;
        let mut rows = Rows::new(["NAMESPACE", "KEYS", "BYTES", "REVISION"]);
        for namespace in &self.namespaces {
            let NamespaceBody { name, entries, bytes, mod_revision, .. } = namespace;
            rows.add([
                name.to_string(),
                entries.to_string(),
                bytes.to_string(),
                mod_revision.to_string(),
            ])?;
        }
        rows.print()
    }
}

fn print(manifest: ManifestBody) -> Result<(), Failure> {
    output::facts([
        ("name", manifest.name),
        ("stream", manifest.stream_id.to_string()),
        ("revision", manifest.revision.to_string()),
        ("hash", manifest.hash.to_string()),
        ("digest", manifest.digest.to_string()),
        ("entries", manifest.entries.to_string()),
        ("bytes", format!("{} in {} blocks", manifest.bytes, manifest.blocks.len())),
        ("blake3", manifest.blake3.to_string()),
        ("cut", output::time(manifest.created_at)),
        ("log position", manifest.log_position.to_string()),
    ])
}
