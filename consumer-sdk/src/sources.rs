//! What a client can follow, and which of it was asked for.

use std::path::PathBuf;
use std::sync::Arc;

use headwater_log::{Log, Table};
use headwater_replica::{Follow, Replica};

use crate::error::ConnectError;
use crate::files::Files;
use crate::local::LocalStream;

pub(crate) const MORE_THAN_ONE: &str = "more than one kind of source: give either relays, or Kafka, or files (without images), or a log";

/// What the builder was given. Exactly one kind may be used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    pub(crate) relays: Vec<String>,
    #[cfg(feature = "kafka")]
    pub(crate) kafka: crate::kafka::KafkaSource,
    pub(crate) log: Option<Arc<dyn Log>>,
    pub(crate) replica: Option<Replica>,
    /// A stream that this process itself writes.
    pub(crate) local: Option<Arc<LocalStream>>,
    /// A folder of files.
    pub(crate) files: Option<PathBuf>,
}

/// Whose copy of the stream a client reads.
#[derive(Debug)]
pub(crate) enum Held {
    /// One that the client keeps, of this source.
    Own(Follow),
    /// One that this process keeps already.
    Shared(Replica),
}

impl Sources {
    /// The table that stands beside the source, if there is one.
    pub(crate) fn table(&self) -> Result<Option<Arc<dyn Table>>, ConnectError> {
        #[cfg(feature = "kafka")]
        if let Some(table) = self.kafka.table()? {
            return Ok(Some(table));
        }
        Ok(None)
    }

    /// Has the stream of the files followed, if there are any.
    pub(crate) fn open_files(&mut self) -> Result<Option<Files>, ConnectError> {
        let Some(dir) = self.files.take() else { return Ok(None) };
        if self.local.is_some() {
            return Err(wrong(MORE_THAN_ONE));
        }
        let files = Files::new(&dir).map_err(|error| wrong(&error.to_string()))?;
        self.local = Some(files.stream().clone());
        Ok(Some(files))
    }

    /// The one source to follow; with none, places of images are followed by themselves.
    pub(crate) fn held(self, has_images: bool) -> Result<Held, ConnectError> {
        let mut given = Vec::new();
        if !self.relays.is_empty() {
            given.push(Held::Own(relays(&self.relays)?));
        }
        #[cfg(feature = "kafka")]
        if let Some(log) = self.kafka.log()? {
            given.push(Held::Own(Follow::Log(log)));
        }
        if let Some(log) = self.log {
            given.push(Held::Own(Follow::Log(log)));
        }
        given.extend(self.replica.map(Held::Shared));
        given.extend(self.local.map(|stream| Held::Own(Follow::Log(stream.log()))));
        match (given.pop(), given.is_empty()) {
            (Some(held), true) => Ok(held),
            (None, _) if has_images => Ok(Held::Own(Follow::Images)),
            (None, _) => Err(wrong(
                "no source: call .relay(\"http://…\"), .files(dir), .image_dir(dir), .image_url(\"https://…\"), or .kafka(…) with the feature `kafka`",
            )),
            (Some(_), false) => Err(wrong(MORE_THAN_ONE)),
        }
    }
}

pub(crate) fn wrong(what: &str) -> ConnectError {
    ConnectError::Settings(what.to_owned())
}

fn relays(urls: &[String]) -> Result<Follow, ConnectError> {
    let client = |url: &String| {
        let built = headwater_client::Client::builder().server(url.as_str()).build();
        built.map_err(|error| ConnectError::Settings(format!("relay {url}: {error}")))
    };
    Ok(Follow::Relays(urls.iter().map(client).collect::<Result<_, _>>()?))
}
