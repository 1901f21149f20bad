//! A server's newest snapshot in a file: downloaded, gone on with where it broke, verified, and only then named.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use headwater_api::Code;
use headwater_client::{Client, ClientError};
use headwater_image::{ImageError, Manifest, WireImage};

use super::{Fetch, verify};
use crate::commands::connect;
use crate::exit::{Exit, Failure};
use crate::file_output::NewFile;
use crate::output;

/// How often a transfer that broke is gone on with.
const TRIES: u32 = 5;

pub(super) async fn run(args: Fetch) -> Result<(), Failure> {
    let client = connect(&args.remote)?;
    let manifest: Manifest = client.image_manifest().await.map_err(|error| {
        let none = error.code() == Some(Code::NotFound);
        let failure = Failure::from(error);
        if none { failure.hint("the server has cut no snapshot yet") } else { failure }
    })?;
    let failed = |error: ImageError| Failure::failed(error);
    manifest.check().map_err(failed)?;
    fs::create_dir_all(&args.dir)
        .map_err(|error| Failure::failed(format_args!("{}: {error}", args.dir.display())))?;
    let path = args.dir.join(&manifest.name);
    let file = download(&client, &manifest, &path).await?.seal()?;
    let image = WireImage::open(file.temporary()).map_err(failed)?;
    verify::prove(&image, file.temporary(), Some(&manifest)).map_err(failed)?;
    file.name()?;
    manifest.write(&args.dir).map_err(failed)?;
    if args.remote.json {
        return output::json(&serde_json::json!({
            "file": path, "revision": manifest.revision, "hash": manifest.hash, "bytes": manifest.bytes,
            "verified": true,
        }));
    }
    let (revision, bytes) = (manifest.revision, manifest.bytes);
    output::line(format_args!("{}: revision {revision}, {bytes} bytes, verified", path.display()))
}

async fn download(client: &Client, manifest: &Manifest, path: &Path) -> Result<NewFile, Failure> {
    let mut file = NewFile::create(path)?;
    let (mut have, mut tries) = (0, 0);
    while have < manifest.bytes {
        let broke = match pull(client, manifest, &mut have, &mut file).await {
            Ok(()) => continue,
            Err(Broken::Disk(error)) => return Err(file.failed(&error)),
            Err(Broken::Transfer(error)) => error,
        };
        tries += 1;
        if tries == TRIES || !broke.is_retryable() {
            return Err(Failure::from(broke));
        }
        tokio::time::sleep(Duration::from_millis(200) * tries).await;
    }
    if have > manifest.bytes {
        return Err(Failure::new(Exit::Failed, "the server sends more than its manifest says"));
    }
    Ok(file)
}

enum Broken {
    Disk(std::io::Error),
    Transfer(ClientError),
}

/// The rest of the file, as far as the connection lasts.
async fn pull(
    client: &Client,
    manifest: &Manifest,
    have: &mut u64,
    file: &mut NewFile,
) -> Result<(), Broken> {
    let end = Some(manifest.bytes);
    let mut download = client.image(&manifest.name, *have, end).await.map_err(Broken::Transfer)?;
    while let Some(bytes) = download.next().await.map_err(Broken::Transfer)? {
        file.write_all(&bytes).map_err(Broken::Disk)?;
        *have += bytes.len() as u64;
    }
    Ok(())
}
