//! What an LLM gateway knows of models, routes, prompts and tenants, configured live: every change posted to Headwater
//! is in the next answer, without a restart.
//!
//! ```text
//! target/release/headwater import llm.models examples/data/models.json
//! target/release/headwater import llm.gateway examples/data/rules.json
//! target/release/llm-gateway --relay http://127.0.0.1:7070 --listen 127.0.0.1:8080
//! curl http://127.0.0.1:8080/models/gpt-4o
//! curl -X POST http://127.0.0.1:8080/ask/support -H 'Tenant: acme'
//! ```
//!
//! It asks no model: what one would be asked, and whether the tenant may, is the answer.

mod ask;
mod http;
mod limits;
mod model;
mod models;
mod prompt;
mod rules;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::http::Gateway;
use crate::limits::Limits;
use crate::models::Models;
use crate::rules::Rules;

/// Where the models stand, one key each.
const MODELS: &str = "llm.models";
/// Where routes, prompts and tenants stand.
const RULES: &str = "llm.gateway";

/// Answers GET /models/{name} from the namespace llm.models; GET /prompts/{name} and POST /ask/{route} from llm.gateway.
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
    config = config.namespaces([MODELS]).also_namespaces([RULES]);
    if let Some(dir) = args.cache {
        config = config.cache_dir(dir);
    }
    let config = config.connect().await?;
    let rules = config.namespace(RULES)?.group::<Rules>("")?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        format!("cannot listen on {}: {error}; choose another --listen", args.listen)
    })?;
    let view = config.view();
    let models = view.prefix("").count();
    eprintln!("{models} models at revision {}", view.revision());
    eprintln!("try: curl http://{}/models/gpt-4o", listener.local_addr()?);
    if models == 0 {
        eprintln!("there are none yet: headwater import {MODELS} examples/data/models.json");
    }
    let stop = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    let models = Models::new(config.clone());
    let gateway = Gateway { models, rules, limits: Limits::default(), config: config.clone() };
    axum::serve(listener, http::routes(gateway)).with_graceful_shutdown(stop).await?;
    config.close().await;
    Ok(())
}
