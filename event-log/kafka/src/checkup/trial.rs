//! Whether this client may write: a marker is appended and read back.

use std::sync::Arc;
use std::time::Duration;

use headwater_log::{Appended, Finding, LogReader as _, LogWriter as _, ReadError, Seek};
use headwater_schemas::{Position, encode_marker, marker_nonce};
use tokio::time::Instant;

use super::READ_BYTES;
use crate::client::blocking;
use crate::reader::KafkaReader;
use crate::settings::KafkaSettings;
use crate::writer::KafkaWriter;

const CHECK: &str = "write";
/// How long what the brokers have acknowledged may take to be seen.
const PATIENCE: Duration = Duration::from_secs(5);

/// Appends a marker to the log that ends at `end`, and looks for it with `reader`.
pub(super) async fn check(
    settings: &KafkaSettings,
    mut reader: KafkaReader,
    end: Position,
) -> Finding {
    let topic = settings.topic();
    if end == Position(0) {
        let detail = format!("not tried: {topic} is empty, and its first record is the stream's");
        return Finding::warning(CHECK, detail, "start a publisher, which founds the stream");
    }
    let rights = format!(
        "kafka-acls.sh --bootstrap-server {} --add --allow-principal User:… --operation Write --topic {topic}; a \
         cluster with too few brokers alive takes no write either",
        settings.brokers
    );
    match round_trip(settings, &mut reader).await {
        Ok(took) => {
            let took = took.as_secs_f64() * 1e3;
            Finding::ok(
                CHECK,
                format!("a marker was appended to {topic} and read back in {took:.1} ms"),
            )
        }
        Err(why) => Finding::failed(CHECK, format!("{topic} took no marker: {why}"), rights),
    }
}

async fn round_trip(
    settings: &KafkaSettings,
    reader: &mut KafkaReader,
) -> Result<Duration, String> {
    let shared = Arc::new(settings.clone());
    let writer = blocking(move || KafkaWriter::new(&shared)).await;
    let writer = writer.map_err(|error| error.to_string())?;
    let nonce: u128 = uuid::Uuid::new_v4().as_u128();
    let began = Instant::now();
    let position = match writer.append(vec![encode_marker(nonce)]).await.pop() {
        Some(Appended::InLog(position)) => position,
        Some(Appended::Refused(why) | Appended::Ambiguous(why)) => return Err(why),
        None => return Err("the producer has ended".into()),
    };
    let seen = tokio::time::timeout(PATIENCE, find(reader, position, nonce)).await;
    match seen {
        Ok(Ok(())) => Ok(began.elapsed()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it was acknowledged, and not seen within {PATIENCE:?}")),
    }
}

async fn find(reader: &mut KafkaReader, position: Position, nonce: u128) -> Result<(), ReadError> {
    reader.seek(Seek::At(position)).await?;
    loop {
        let batch = reader.read(PATIENCE, READ_BYTES).await?;
        if batch.records.iter().any(|record| marker_nonce(&record.bytes) == Some(nonce)) {
            return Ok(());
        }
    }
}
