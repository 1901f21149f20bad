//! An upstream that says who it is, to try the gateway with.

use std::net::SocketAddr;
use std::process::ExitCode;

use axum::extract::Request;
use axum::{Json, Router};
use clap::Parser;
use serde_json::json;
use tokio::net::TcpListener;

/// Answers every request with its own name.
#[derive(Debug, Parser)]
struct Args {
    /// What it calls itself
    #[arg(long)]
    name: String,
    /// Where to answer
    #[arg(long, value_name = "HOST:PORT")]
    listen: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Args { name, listen } = Args::parse();
    let answer = async move |request: Request| {
        let (method, path) = (request.method().as_str(), request.uri().path());
        Json(json!({ "upstream": name, "method": method, "path": path }))
    };
    let listener = match TcpListener::bind(listen).await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("api-gateway-upstream: cannot listen on {listen}: {error}");
            return ExitCode::FAILURE;
        }
    };
    match axum::serve(listener, Router::new().fallback(answer)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("api-gateway-upstream: {error}");
            ExitCode::FAILURE
        }
    }
}
