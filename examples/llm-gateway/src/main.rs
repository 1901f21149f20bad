//! What an LLM gateway knows of models, prices and endpoints, configured live: every change posted to Headwater is
//! in the next answer, without a restart.
//!
//! ```text
//! target/release/headwater import llm.models examples/data/models.json
//! target/release/llm-gateway --relay http://127.0.0.1:7070 --listen 127.0.0.1:8080
//! curl http://127.0.0.1:8080/models/gpt-4o
//! ```

mod http;
mod model;
mod models;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::models::Models;

/// Where the models stand, one key each.
const NAMESPACE: &str = "llm.models";

/// Answers GET /models/{name} from the namespace llm.models.
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
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where to keep the last known good models, so that the gateway starts while everything else is down
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("llm-gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut config =
        args.relay.into_iter().fold(headwater::Client::builder(), headwater::Builder::relay);
    config = config.namespaces([NAMESPACE]);
    if let Some(dir) = args.cache {
        config = config.cache_dir(dir);
    }
    let config = config.connect().await?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        format!("cannot listen on {}: {error}; choose another --listen", args.listen)
    })?;
    let view = config.view();
    let models = view.prefix("").count();
    eprintln!("{models} models at revision {}", view.revision());
    eprintln!("try: curl http://{}/models/gpt-4o", listener.local_addr()?);
    if models == 0 {
        eprintln!("there are none yet: headwater import {NAMESPACE} examples/data/models.json");
    }
    let stop = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    axum::serve(listener, http::routes(Models::new(config.clone())))
        .with_graceful_shutdown(stop)
        .await?;
    config.close().await;
    Ok(())
}
