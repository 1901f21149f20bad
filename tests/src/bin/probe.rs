//! A service that embeds the SDK and says what it holds: started by the tests of the whole as a process of its own.
//!
//! ```text
//! probe [--relay URL]… [--kafka BROKERS --stream NAME] [--namespace NAME]… [--cache DIR] [--startup-ms N]
//!       [--until REVISION] [--stay]
//! ```
//!
//! Prints `{"event": "connected", "status": …}`, then, once it has processed the revision, `{"event": "reached", …}`.
//! It ends then, or stays until it is killed.

use std::process::ExitCode;
use std::time::Duration;

use headwater::Client;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (mut builder, mut until, mut stay) = (Client::builder(), 0, false);
    let (mut brokers, mut stream, mut namespaces) = (None, "default".to_owned(), Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        if flag == "--stay" {
            stay = true;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{flag} wants a value"))?;
        match flag.as_str() {
            "--relay" => builder = builder.relay(value),
            "--kafka" => brokers = Some(value),
            "--stream" => stream = value,
            "--namespace" => namespaces.push(value),
            "--cache" => builder = builder.cache_dir(value),
            "--startup-ms" => {
                builder = builder.startup_timeout(Duration::from_millis(value.parse()?));
            }
            "--until" => until = value.parse()?,
            _ => return Err(format!("unknown flag {flag}").into()),
        }
    }
    if let Some(brokers) = brokers {
        builder = builder.kafka(brokers, stream);
    }
    let client = builder.namespaces(namespaces).connect().await?;
    tell("connected", &client)?;
    client.wait_for(until).await?;
    tell("reached", &client)?;
    if stay {
        std::future::pending::<()>().await;
    }
    client.close().await;
    Ok(())
}

fn tell(event: &str, client: &Client) -> Result<(), serde_json::Error> {
    let line = serde_json::json!({ "event": event, "status": client.status() });
    println!("{}", serde_json::to_string(&line)?);
    Ok(())
}
