//! What a process logs, and how.

use std::io;

use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::exit::Failure;
use crate::settings::LogFormat;
use crate::traces::Traces;

/// Servers tell of their life; libraries only of trouble.
const SERVER: &str = "info";
/// A command's own output is enough.
const COMMAND: &str = "error";

/// Changes what is logged while the process runs.
pub(crate) type FilterHandle = reload::Handle<EnvFilter, Registry>;

/// Logs to standard error. `HEADWATER_LOG`, else `RUST_LOG`, says what: `info,headwater_publisher=debug`.
pub(crate) fn command() -> Result<(), Failure> {
    start(LogFormat::Text, COMMAND, None).map(drop)
}

/// The same for a server, whose spans go where `traces` sends them, too.
pub(crate) fn server(format: LogFormat, traces: Option<&Traces>) -> Result<FilterHandle, Failure> {
    start(format, SERVER, traces)
}

fn start(
    format: LogFormat,
    default: &str,
    traces: Option<&Traces>,
) -> Result<FilterHandle, Failure> {
    let given = ["HEADWATER_LOG", "RUST_LOG"].iter().find_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some((*name, value))
    });
    let (source, filter) = given.unwrap_or(("", default.to_owned()));
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::failed(format_args!("{source}: {error}"))
            .hint("write it like info,headwater_publisher=debug")
    })?;
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    // The filter alone is exchanged: a filtered layer must stay the one that the registry knows.
    let (filter, handle) = reload::Layer::new(filter);
    let mut layers = vec![lines.with_filter(filter).boxed()];
    layers.extend(traces.map(Traces::layer));
    tracing_subscriber::registry().with(layers).try_init().map_err(Failure::failed)?;
    Ok(handle)
}
