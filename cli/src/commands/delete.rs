//! `headwater delete`: removes a key.

use headwater_client::If;

use crate::args::Delete;
use crate::commands::{connect, write};
use crate::exit::Failure;

pub(super) async fn run(args: Delete) -> Result<(), Failure> {
    let client = connect(&args.remote)?;
    let condition = args.if_revision.map_or(If::Anything, If::Revision);
    let how = write::write(args.provenance, condition, args.idempotency_key);
    let written = client.delete(&args.namespace, &args.key, &how).await;
    let written =
        written.map_err(|error| write::refused(&how, &args.namespace, &args.key, error))?;
    write::told(&written, "deleted", args.remote.json)
}
