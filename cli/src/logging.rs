//! What a process logs, and how.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::exit::Failure;
use crate::settings::LogFormat;

/// Servers tell of their life; libraries only of trouble.
const SERVER: &str = "info";
/// A command's own output is enough.
const COMMAND: &str = "error";

/// Logs to standard error. `HEADWATER_LOG`, else `RUST_LOG`, says what: `info,headwater_publisher=debug`.
pub(crate) fn start(format: LogFormat, server: bool) -> Result<(), Failure> {
    let given = ["HEADWATER_LOG", "RUST_LOG"].iter().find_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some((*name, value))
    });
    let (source, filter) = given.unwrap_or(("", if server { SERVER } else { COMMAND }.to_owned()));
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::failed(format_args!("{source}: {error}"))
            .hint("write it like info,headwater_publisher=debug")
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
