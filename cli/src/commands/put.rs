//! `headwater put`: sets a value.

use std::io::Read;

use bytes::Bytes;
use headwater_api::DEFAULT_MEDIA_TYPE;
use headwater_client::If;

use crate::args::{Condition, Put};
use crate::commands::{connect, write};
use crate::exit::Failure;

pub(super) async fn run(args: Put) -> Result<(), Failure> {
    let value = value(&args.value)?;
    let client = connect(&args.remote)?;
    let content_type = args.content_type.as_deref().unwrap_or(DEFAULT_MEDIA_TYPE);
    let how = write::write(args.provenance, condition(&args.condition), args.idempotency_key);
    let written = client.put(&args.namespace, &args.key, content_type, value, &how).await;
    let written = written.map_err(|error| write::failed(&how, error))?;
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
    if given == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        return read
            .map(|_| bytes.into())
            .map_err(|error| Failure::failed(format_args!("standard input: {error}")));
    }
    match given.strip_prefix('@') {
        Some(file) => {
            let read = std::fs::read(file).map(Bytes::from);
            read.map_err(|error| Failure::failed(format_args!("{file}: {error}")))
        }
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
