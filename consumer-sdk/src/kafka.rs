//! Following a stream on Kafka itself.

use std::sync::Arc;

use headwater_log::{Log, Table};
use headwater_log_kafka::{KafkaSettings, KafkaTable, LateKafkaLog, Properties};
use headwater_schemas::StreamName;

use crate::error::ConnectError;

/// What the builder was told of Kafka.
#[derive(Debug, Clone, Default)]
pub(crate) struct KafkaSource {
    /// The brokers and the stream.
    pub(crate) at: Option<(String, String)>,
    pub(crate) properties: Properties,
    pub(crate) token_file: Option<std::path::PathBuf>,
}

impl KafkaSource {
    /// The log; none when no brokers were named. It need not be there yet: a service starts from its cache while the
    /// brokers are down.
    pub(crate) fn log(&self) -> Result<Option<Arc<dyn Log>>, ConnectError> {
        let Some(settings) = self.settings()? else { return Ok(None) };
        let log = LateKafkaLog::read_only(settings);
        Ok(Some(log.map_err(|error| ConnectError::Settings(error.to_string()))?))
    }

    /// The stream's table on the same brokers, which need not be there yet either.
    pub(crate) fn table(&self) -> Result<Option<Arc<dyn Table>>, ConnectError> {
        let Some(settings) = self.settings()? else { return Ok(None) };
        let table = KafkaTable::read_only(settings);
        Ok(Some(table.map_err(|error| ConnectError::Settings(error.to_string()))?))
    }

    fn settings(&self) -> Result<Option<KafkaSettings>, ConnectError> {
        let Some((brokers, stream)) = &self.at else {
            return match self.properties.names().next() {
                Some(name) => Err(ConnectError::Settings(format!(
                    "the Kafka property {name} is of no use without .kafka(brokers, stream)"
                ))),
                None => Ok(None),
            };
        };
        let stream =
            StreamName::parse(stream).map_err(|error| ConnectError::Settings(error.to_string()))?;
        Ok(Some(KafkaSettings {
            properties: self.properties.clone(),
            token_file: self.token_file.clone(),
            // A reader that created a topic would found a second, empty truth.
            create: false,
            ..KafkaSettings::new(brokers.as_str(), stream)
        }))
    }
}
