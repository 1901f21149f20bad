//! A service on PostgreSQL whose pool is resized, re-timed and pointed at another database while queries run, and none
//! of them fails.
//!
//! ```text
//! headwater put payments.prod db/pool '{"database": {"host": "127.0.0.1", "port": 5432, "name": "shop", "user": "app"},
//!                                       "max_connections": 8}'
//! target/release/db-pool --relay http://127.0.0.1:7070
//! curl http://127.0.0.1:8081/accounts/1
//! ```

mod db;
mod http;
mod settings;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use headwater::{Client, Handle, Hook};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::db::Db;
use crate::http::Service;
use crate::settings::PoolSettings;

/// The key of the pool.
const POOL: &str = "db/pool";
/// How long a new database may take to answer, before the old one stays.
const PROOF: Duration = Duration::from_secs(15);

/// Answers GET /accounts/{id}, /report and /pool from a PostgreSQL that the configuration names.
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
    /// The namespaces to read, the later wins; the key is db/pool
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_value = "payments.prod")]
    namespaces: Vec<String>,
    /// Where to answer
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Where to keep the last known good settings, so that the service starts while Headwater is down
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("db-pool: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut config = Client::builder().relay(args.relay).namespaces(args.namespaces);
    if let Some(dir) = args.cache {
        config = config.cache_dir(dir);
    }
    let config = config.connect().await?;
    let settings: Handle<PoolSettings> = config.handle(POOL)?;
    let at_first = settings.load_full();
    let db = Arc::new(Db::open(&at_first, at_first.revision()).await?);
    let _following = follow(&settings, db.clone());
    // What was put while the first connection was made came before the hook.
    let so_far = settings.load_full();
    db.follow(&so_far, so_far.revision()).await?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        format!("cannot listen on {}: {error}; choose another --listen", args.listen)
    })?;
    eprintln!("try: curl http://{}/accounts/1", listener.local_addr()?);
    let stop = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    axum::serve(listener, http::routes(Service { db, config: config.clone() }))
        .with_graceful_shutdown(stop)
        .await?;
    config.close().await;
    Ok(())
}

/// Lets the pool follow its settings. What it refuses stands in the client's status, and the old pool goes on.
fn follow(settings: &Handle<PoolSettings>, db: Arc<Db>) -> Hook {
    settings.on_change_within(PROOF, move |change| {
        let (db, next) = (db.clone(), change.new);
        async move { db.follow(&next, next.revision()).await }
    })
}
