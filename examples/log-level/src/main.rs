//! A service whose logs are turned up for one module, for ten minutes, by one command, and down again by nobody.
//!
//! ```text
//! target/release/log-level --relay http://127.0.0.1:7070
//! headwater put shop.prod log/filter '{"filter": "info,log_level::stock=debug", "for": "10m"}'
//! ```
//!
//! The key holds the filter and its end. Every instance that follows it ends at the same moment, ten minutes after the
//! commit, whoever put it there and whatever became of them; and an instance that starts later does not begin again.

mod orders;
mod stock;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use headwater::{Client, log_filter};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// The key of the filter.
const FILTER: &str = "log/filter";
/// How often the service has something to do.
const PACE: Duration = Duration::from_millis(50);

/// Takes orders, counts what is left, and logs both.
#[derive(Debug, Parser)]
struct Args {
    /// The Headwater server to follow
    #[arg(
        long,
        env = "HEADWATER_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:7070"
    )]
    relay: String,
    /// The namespace to read
    #[arg(long, value_name = "NAME", default_value = "shop.prod")]
    namespace: String,
    /// What is logged while the key holds nothing
    #[arg(long, env = "SHOP_LOG", value_name = "FILTER", default_value = "info")]
    log: EnvFilter,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("log-level: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let filter = log_to_stderr(args.log);
    // With no server this service runs all the same, with the filter it was given.
    let hw = Client::builder()
        .relay(args.relay)
        .namespaces([args.namespace])
        .startup_timeout(Duration::from_secs(1))
        .allow_empty()
        .connect()
        .await?;
    let _bound = log_filter::bind(&hw, FILTER, filter);
    tracing::info!("taking orders");
    tokio::select! {
        () = orders::take(PACE) => {}
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    hw.close().await;
    Ok(())
}

/// Only the filter is exchanged: the layer that writes stays as it is.
fn log_to_stderr(filter: EnvFilter) -> reload::Handle<EnvFilter, Registry> {
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    handle
}
