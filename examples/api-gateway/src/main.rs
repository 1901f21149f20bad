//! An API gateway whose routes change while it serves: every request is matched against one whole table, and its answer
//! says which.
//!
//! ```text
//! target/release/api-gateway-upstream --name blue --listen 127.0.0.1:9001 &
//! headwater put api.gateway upstreams/blue '{"address": "127.0.0.1:9001"}'
//! headwater put api.gateway routes/hello '{"method": "GET", "path": "/hello/{name}", "upstream": "blue"}'
//! target/release/api-gateway --relay http://127.0.0.1:7070 &
//! curl -i http://127.0.0.1:8082/hello/you
//! ```

mod proxy;
mod table;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use headwater::{Builder, Client};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::proxy::{Proxy, forward};
use crate::table::Table;

/// Where routes and upstreams stand.
const NAMESPACE: &str = "api.gateway";

/// Sends requests where the namespace api.gateway says.
#[derive(Debug, Parser)]
struct Args {
    /// The Headwater server to follow; repeatable: the next one is taken when one is gone
    #[arg(
        long,
        env = "HEADWATER_SERVER",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7070"
    )]
    relay: Vec<String>,
    /// Where to answer
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8082")]
    listen: SocketAddr,
    /// Where to keep the last known good routes, so that the gateway starts while everything else is down
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("api-gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut config = args.relay.into_iter().fold(Client::builder(), Builder::relay);
    config = config.namespaces([NAMESPACE]);
    if let Some(dir) = args.cache {
        config = config.cache_dir(dir);
    }
    let config = config.connect().await?;
    // Of all keys: a route and its upstream are always of one revision.
    let table = config.derive("", Table::build)?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        format!("cannot listen on {}: {error}; choose another --listen", args.listen)
    })?;
    eprintln!("{} routes at revision {}", table.load().routes, table.load().revision());
    eprintln!("try: curl http://{}/-/status", listener.local_addr()?);
    let routes = Router::new()
        .route("/-/status", get(status))
        .fallback(forward)
        .with_state(Arc::new(Proxy::new(table)));
    let stop = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    axum::serve(listener, routes).with_graceful_shutdown(stop).await?;
    config.close().await;
    Ok(())
}

/// The table in force, and which key holds back a newer one, if any does.
async fn status(State(proxy): State<Arc<Proxy>>) -> Json<Value> {
    let table = proxy.table();
    let now = table.load();
    let applied = now.value().applied_at().duration_since(UNIX_EPOCH).unwrap_or_default();
    Json(json!({
        "revision": now.revision(), "routes": now.routes, "shadowed": now.shadowed,
        "applied_at_micros": u64::try_from(applied.as_micros()).unwrap_or(u64::MAX),
        "rejected": table.rejected().map(|error| error.to_string()),
    }))
}
