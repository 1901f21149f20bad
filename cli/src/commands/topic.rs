//! `headwater topic`: whether the stream's table is its state, and making it so.

use std::sync::Arc;

use headwater_client::Client;
use headwater_log::Log;
use headwater_log_kafka::{KafkaLog, KafkaSettings, KafkaTable};
use headwater_publisher::table::{Inspection, Inspector};
use headwater_replica::{Follow, Replica};
use headwater_schemas::StreamName;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::args::{TopicArgs, TopicCommand};
use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use crate::{framing, output};

/// How many states may wait to be looked at; then the replica waits.
const STATES: usize = 256;
/// How many differences are printed for people; JSON has all of them.
const SHOWN: usize = 100;

pub(super) async fn run(command: TopicCommand) -> Result<(), Failure> {
    let (TopicCommand::Verify(args) | TopicCommand::Repair(args)) = &command;
    let stop = CancellationToken::new();
    let kafka = Settings::of_kafka(&args.kafka)?;
    let stream = kafka.stream.clone();
    let (mut inspector, keeper) = inspector(args, kafka, &stop).await?;
    let inspected = match &command {
        TopicCommand::Verify(_) => inspector.verify().await,
        TopicCommand::Repair(_) => {
            let registry = args.schema_registry.as_deref();
            let framings = registry.map(|_| framing::of(registry, &stream)).transpose()?;
            inspector.repair(framings.as_ref()).await
        }
    };
    stop.cancel();
    let inspection = inspected.map_err(Failure::failed)?;
    // It only closes; nothing is kept.
    let _ = keeper.await;
    print(args, &stream, &inspection)?;
    if inspection.is_sound() { Ok(()) } else { Err(unsound(&stream, &inspection)) }
}

async fn inspector(
    args: &TopicArgs,
    kafka: KafkaSettings,
    stop: &CancellationToken,
) -> Result<(Inspector, tokio::task::JoinHandle<()>), Failure> {
    let kafka = KafkaSettings { create: false, ..kafka };
    let table = KafkaTable::read_only(kafka.clone()).map_err(Failure::failed)?;
    let follow = match &args.server {
        Some(server) => {
            let client = Client::builder().server(server.as_str()).build();
            Follow::Relays(vec![
                client
                    .map_err(|error| Failure::failed(format_args!("--server {server}: {error}")))?,
            ])
        }
        None => {
            let log = KafkaLog::open_read_only(kafka).await;
            let log: Arc<dyn Log> = log.map_err(|error| Failure::new(Exit::Unreachable, error))?;
            Follow::Log(log)
        }
    };
    let (observer, seen) = mpsc::channel(STATES);
    // Without a cache: the state is folded anew, from the log or a server's image.
    let (replica, keeper) =
        Replica::new(headwater_replica::Settings::default(), follow, Some(observer));
    let keeper = tokio::spawn(keeper.run(stop.clone()));
    Ok((Inspector::new(table, replica, seen), keeper))
}

fn print(args: &TopicArgs, stream: &StreamName, inspection: &Inspection) -> Result<(), Failure> {
    if args.json {
        let differences = inspection.differences.iter();
        return output::json(&serde_json::json!({
            "sound": inspection.is_sound(),
            "checkpoint": inspection.checkpoint,
            "checkpoint_fault": inspection.checkpoint_fault(),
            "state": inspection.state,
            "mended": inspection.mended,
            "differences": differences
                .map(|it| it.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
                .collect::<Vec<_>>(),
        }));
    }
    for difference in inspection.differences.iter().take(SHOWN) {
        output::line(output::one_line(&difference.to_string()))?;
    }
    let more = inspection.differences.len().saturating_sub(SHOWN);
    if more > 0 {
        output::line(format_args!("… and {more} more"))?;
    }
    if inspection.mended > 0 {
        output::line(format_args!("mended {} rows", inspection.mended))?;
    }
    if inspection.is_sound() {
        let state = &inspection.state;
        output::line(format_args!(
            "{}.config is the state of revision {}: {} entries, digest {}",
            stream, state.revision, state.entries, state.digest
        ))?;
    }
    Ok(())
}

fn unsound(stream: &StreamName, inspection: &Inspection) -> Failure {
    let (count, revision) = (inspection.differences.len(), inspection.state.revision);
    let fault = inspection.checkpoint_fault().map(|it| format!("; {it}")).unwrap_or_default();
    let why = format!("{}.config differs in {count} rows from revision {revision}{fault}", stream);
    Failure::failed(why).hint("`headwater topic repair` makes it equal to the state")
}
