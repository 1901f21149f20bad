//! `headwater get`: a value, exactly as stored.

use headwater_api::Problem;
use headwater_client::Read;

use crate::args::Get;
use crate::commands::connect;
use crate::exit::Failure;
use crate::output;

pub(super) async fn run(args: Get) -> Result<(), Failure> {
    let client = connect(&args.remote)?;
    let read = Read { at: args.at, min_revision: args.min_revision, ..Read::default() };
    let absent = || {
        Failure::from(Problem::key_not_found(&args.namespace, &args.key))
            .hint(format!("`headwater list {}` shows what is there", args.namespace))
    };
    if args.remote.json {
        let entry = client.get_entry(&args.namespace, &args.key, &read).await?;
        return output::json(&entry.ok_or_else(absent)?);
    }
    let raw = client.get_raw(&args.namespace, &args.key, &read).await?.ok_or_else(absent)?;
    output::print(&raw.value)?;
    // A terminal wants its prompt on a line of its own; a file wants the bytes and nothing else.
    if output::is_terminal() && !raw.value.ends_with(b"\n") { output::line("") } else { Ok(()) }
}
