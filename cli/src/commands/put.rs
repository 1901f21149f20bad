//! `headwater put`: sets a value.

use std::path::Path;

use bytes::Bytes;
use headwater_api::DEFAULT_MEDIA_TYPE;
use headwater_client::If;

use crate::args::{Condition, Put};
use crate::commands::{connect, write};
use crate::exit::Failure;
use crate::input::{Input, MIB};

/// More than the largest value of any server.
const MOST_BYTES: u64 = 16 * MIB;

pub(super) async fn run(args: Put) -> Result<(), Failure> {
    let value = value(&args.value)?;
    let client = connect(&args.remote)?;
    let content_type = args.content_type.as_deref().unwrap_or(DEFAULT_MEDIA_TYPE);
    let how = write::write(args.provenance, condition(&args.condition), args.idempotency_key);
    let written = client.put(&args.namespace, &args.key, content_type, value, &how).await;
    let written =
        written.map_err(|error| write::refused(&how, &args.namespace, &args.key, error))?;
    write::told(&written, if written.created { "created" } else { "set" }, args.remote.json)
}

fn condition(condition: &Condition) -> If {
    match condition {
        Condition { if_revision: Some(revision), .. } => If::Revision(*revision),
        Condition { if_exists: true, .. } => If::Exists,
        Condition { if_absent: true, .. } => If::Absent,
        Condition { .. } => If::Anything,
    }
}

/// The value as it was given: itself, `@FILE`, or `-` for standard input.
fn value(given: &str) -> Result<Bytes, Failure> {
    match given.strip_prefix('@') {
        _ if given == "-" => Input::Standard.read(MOST_BYTES),
        Some(file) => Input::File(Path::new(file)).read(MOST_BYTES),
        None => Ok(Bytes::copy_from_slice(given.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_itself_or_a_files_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("v");
        std::fs::write(&file, b"\0raw\n").unwrap();
        assert_eq!(value("42").unwrap(), "42");
        assert_eq!(value(&format!("@{}", file.display())).unwrap().as_ref(), b"\0raw\n");
        assert!(value("@/nonexistent/file").unwrap_err().to_string().contains("/nonexistent/file"));
    }
}
