//! Whether a file is whole, sorted, and what its totals and its manifest say.

use std::path::{Path, PathBuf};

use headwater_image::{ImageError, Manifest, WireImage, parse_wire_name};
use headwater_schemas::{Hash, Position};

use super::Verify;
use super::inspect::Report;
use crate::exit::Failure;
use crate::output;

/// What a proof gives.
#[derive(Debug, serde::Serialize)]
struct Proved {
    verified: bool,
    blake3: Hash,
    #[serde(flatten)]
    report: Report,
}

pub(super) fn run(args: &Verify) -> Result<(), Failure> {
    let failed = |error: ImageError| {
        let (file, told) = (args.file.display().to_string(), error.to_string());
        let told = if told.contains(&file) { told } else { format!("{file}: {told}") };
        Failure::failed(told).hint("take another copy: `headwater image fetch`")
    };
    let image = WireImage::open(&args.file).map_err(failed)?;
    let blake3 = prove(&image, &args.file, beside(&args.file).map_err(failed)?.as_ref());
    let proved =
        Proved { verified: true, blake3: blake3.map_err(failed)?, report: Report::of(&image) };
    if args.json {
        return output::json(&proved);
    }
    proved.report.print()?;
    output::line(format_args!("\nwhole, and every digest holds; its BLAKE3 is {}", proved.blake3))
}

/// Reads all of it, and gives its hash.
pub(super) fn prove(
    image: &WireImage,
    file: &Path,
    announced: Option<&Manifest>,
) -> Result<Hash, ImageError> {
    image.verify()?;
    // Neither the time nor the position stands in the file; they are not compared.
    let own = image.manifest(Position::default(), 0)?;
    let differs = |detail: String| Err(ImageError::Damaged { detail });
    let name = file.file_name().and_then(|name| name.to_str()).and_then(parse_wire_name);
    if name.is_some_and(|name| name != (own.revision, own.hash)) {
        return differs(format!("its name is not that of what it holds, {}", own.name));
    }
    let Some(announced) = announced else { return Ok(own.blake3) };
    let same = announced.blake3 == own.blake3
        && announced.digest == own.digest
        && (announced.stream_id, announced.revision, announced.hash)
            == (own.stream_id, own.revision, own.hash);
    if same { Ok(own.blake3) } else { differs("it is not what its manifest says".to_owned()) }
}

/// The manifest beside a file, if there is one.
fn beside(file: &Path) -> Result<Option<Manifest>, ImageError> {
    let mut name = file.as_os_str().to_owned();
    name.push(".json");
    let path = PathBuf::from(name);
    if path.exists() { Manifest::read(&path).map(Some) } else { Ok(None) }
}
