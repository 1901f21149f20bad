//! Where a history is read from.

use std::path::Path;
use std::sync::Arc;

use headwater_audit::archive::Archive;
use headwater_audit::{AuditError, Published};
use headwater_client::Client;
use headwater_log::{Log, LogReader, ReadError};
use headwater_log_embedded::{OpenError, ReadOnlyLog};
use headwater_log_kafka::{KafkaLog, KafkaSettings};
use headwater_replica::RecordReader;

use super::args::Source;
use crate::args::address;
use crate::exit::{Exit, Failure};
use crate::settings::Settings;

const SERVER: &str = "http://127.0.0.1:7070";

/// An open source.
pub(super) enum Opened {
    Server(Client),
    Log(Arc<dyn Log>),
    Archive(Archive),
}

impl Source {
    /// Opens it.
    pub(super) async fn open(&self) -> Result<Opened, Failure> {
        if let Some(dir) = &self.archive {
            return Archive::open(dir).map(Opened::Archive).map_err(failed);
        }
        if let Some(dir) = &self.data {
            return embedded(dir).await.map(|log| Opened::Log(log)).map_err(unopened);
        }
        if let Some(kafka) = self.kafka()? {
            let kafka = KafkaSettings { create: false, ..kafka };
            let log = KafkaLog::open_read_only(kafka).await;
            let log = log.map_err(|error| Failure::new(Exit::Unreachable, error))?;
            return Ok(Opened::Log(log));
        }
        self.client().map(Opened::Server)
    }

    fn kafka(&self) -> Result<Option<KafkaSettings>, Failure> {
        let named = self.kafka.kafka.is_some() || self.kafka.config.is_some();
        if !named || (self.server.is_some() && self.kafka.kafka.is_none()) {
            return Ok(None);
        }
        match Settings::of_kafka(&self.kafka) {
            Err(_) if self.kafka.kafka.is_none() => Ok(None),
            other => other.map(Some),
        }
    }

    fn client(&self) -> Result<Client, Failure> {
        let named = std::env::var("HEADWATER_SERVER").ok().filter(|server| !server.is_empty());
        let server = self.server.clone().or(named).unwrap_or_else(|| SERVER.to_owned());
        client(&server)
    }

    /// The server to compare with: the source itself, or one that was named beside it.
    pub(super) fn witness(&self, opened: &Opened) -> Result<Option<Client>, Failure> {
        match (opened, &self.server) {
            (Opened::Server(client), _) => Ok(Some(client.clone())),
            (_, Some(server)) => client(server).map(Some),
            (_, None) => Ok(None),
        }
    }
}

const STOPPED: &str =
    "a server that runs holds its log: audit it over HTTP (--server), or stop it first";

fn client(server: &str) -> Result<Client, Failure> {
    let built = Client::builder().server(address(server)).build();
    built.map_err(|error| Failure::usage(format_args!("--server: {error}")))
}

/// Opens the embedded log below a data directory, or in a log's own directory, and changes nothing there.
async fn embedded(data: &Path) -> Result<Arc<ReadOnlyLog>, OpenError> {
    let below = data.join("log");
    let dir = if below.is_dir() { below } else { data.to_owned() };
    let opened = tokio::task::spawn_blocking({
        let dir = dir.clone();
        move || ReadOnlyLog::open(&dir)
    });
    opened.await.unwrap_or_else(|error| Err(OpenError::Storage { dir, detail: error.to_string() }))
}

fn unopened(error: OpenError) -> Failure {
    let failure = Failure::failed(&error);
    if matches!(error, OpenError::InUse { .. }) { failure.hint(STOPPED) } else { failure }
}

impl Opened {
    /// A reader of its records.
    pub(super) async fn reader(&self) -> Result<Box<dyn LogReader>, Failure> {
        match self {
            Self::Server(client) => Ok(Box::new(RecordReader::new(client.clone()))),
            Self::Log(log) => log.reader().await.map_err(|error| failed(error.into())),
            Self::Archive(archive) => Ok(archive.reader()),
        }
    }

    /// What a server says of the head, or, beside an archive, of the archive's own end.
    pub(super) async fn published(&self, witness: Option<&Client>) -> Result<Published, Failure> {
        let Some(client) = witness else { return Ok(Published::default()) };
        let status = client.status().await?;
        let mut published = Published::default();
        match self {
            Self::Archive(archive) if archive.manifest().revision < status.revision => {
                let revision = archive.manifest().revision;
                published.add(revision, client.commit_at(revision).await?.hash);
            }
            _ => {
                published.add(status.revision, status.hash);
            }
        }
        Ok(published)
    }
}

/// An audit's error as a command's.
pub(super) fn failed(error: AuditError) -> Failure {
    match &error {
        error if error.is_retryable() => Failure::new(Exit::Unreachable, error),
        AuditError::Beyond { .. } => Failure::new(Exit::NotFound, error),
        AuditError::Broken(_) | AuditError::Read(ReadError::Corrupt(_)) => Failure::failed(error)
            .hint("`headwater audit verify` says what is broken, and what is still proven"),
        _ => Failure::failed(error),
    }
}
