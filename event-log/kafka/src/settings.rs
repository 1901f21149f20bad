//! What a log on Kafka can be told.

use std::path::PathBuf;
use std::time::Duration;

use headwater_schemas::StreamName;

use crate::client;
use crate::properties::Properties;

/// How long a record may wait for its acknowledgement. Too little: a change of leader (2 to 4 s) makes appends
/// ambiguous that would have ended well. Too much: a caller waits that long for an "unknown".
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one request may take. Librdkafka's own 60 s would let a paused leader stop all writes for that long.
/// librdkafka looks for requests that took too long once a second, and two of them may end one after the other (what was
/// being written, then the question who leads now) before a write goes on past a broker that hangs: 6 s in all.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a start waits for a broker to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The topic's `max.message.bytes`: far above the largest commit (512 KiB by default).
const MAX_MESSAGE_BYTES: u32 = 2 * 1024 * 1024;
/// What a batch costs on top of its record's bytes, generously.
const BATCH_OVERHEAD_BYTES: u32 = 4 * 1024;
/// Below this, the commits that other settings allow by default would not fit.
const LEAST_MESSAGE_BYTES: u32 = 64 * 1024;

/// Settings of a [`crate::KafkaLog`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// Where to find the cluster: `host:port`, separated by commas.
    pub brokers: String,
    /// The stream; its log is the topic `<stream>.commits`.
    pub stream: StreamName,
    /// Copies of the topic. Default: 3, or as many as there are brokers if that is less. When set, a topic with
    /// fewer is refused.
    #[serde(default)]
    pub replication: Option<i16>,
    /// Copies that must have a record before it is acknowledged (`min.insync.replicas`). Default: 2 of 3, else 1.
    #[serde(default)]
    pub min_isr: Option<i32>,
    /// How long a record may wait for its acknowledgement before its fate is open. Milliseconds in files, as
    /// `message_timeout_ms`. Default 10 s.
    #[serde(rename = "message_timeout_ms", with = "millis", default = "message_timeout")]
    pub message_timeout: Duration,
    /// How long one request to a broker may take. Milliseconds in files, as `socket_timeout_ms`. Default 2 s.
    #[serde(rename = "socket_timeout_ms", with = "millis", default = "socket_timeout")]
    pub socket_timeout: Duration,
    /// How long a start waits for a broker. Milliseconds in files, as `connect_timeout_ms`. Default 5 s.
    #[serde(rename = "connect_timeout_ms", with = "millis", default = "connect_timeout")]
    pub connect_timeout: Duration,
    /// Whether the topic is created when it is absent. Default true.
    #[serde(default = "create")]
    pub create: bool,
    /// The topic's `max.message.bytes`, in bytes: a new topic gets it, an old one must allow at least this.
    /// Default 2 MiB.
    #[serde(default = "max_message_bytes")]
    pub max_message_bytes: u32,
    /// Properties of librdkafka that every client gets: TLS, SASL and the like. Default none.
    #[serde(default)]
    pub properties: Properties,
    /// A file with the token for SASL/OAUTHBEARER, a JWT; read again before the token's end. Default none.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Whether a writer's start checks how the topic is configured. Without it the topic's owner answers for that:
    /// for clients that cannot describe configurations. Partitions and copies are checked in any case. Default true.
    #[serde(default = "verify")]
    pub verify: bool,
}

impl KafkaSettings {
    /// The defaults for a stream on these brokers.
    pub fn new(brokers: impl Into<String>, stream: StreamName) -> Self {
        Self {
            brokers: brokers.into(),
            stream,
            replication: None,
            min_isr: None,
            message_timeout: MESSAGE_TIMEOUT,
            socket_timeout: SOCKET_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            create: true,
            max_message_bytes: MAX_MESSAGE_BYTES,
            properties: Properties::default(),
            token_file: None,
            verify: true,
        }
    }

    /// The topic that is the stream's log.
    pub fn topic(&self) -> String {
        format!("{}.commits", self.stream)
    }

    /// The compacted topic that is the stream's table.
    pub fn table_topic(&self) -> String {
        format!("{}.config", self.stream)
    }

    /// The topic whose one partition is assigned to the process that writes the table.
    pub fn lease_topic(&self) -> String {
        format!("{}.lease", self.stream)
    }

    /// The group among whose members that partition is assigned.
    pub fn lease_group(&self) -> String {
        format!("headwater.{}.projector", self.stream)
    }

    /// The id under which the table is written: who uses it last fences all others.
    pub fn transactional_id(&self) -> String {
        format!("{}.projector", self.stream)
    }

    /// The largest record that is handed to Kafka, in bytes; a larger one is refused.
    pub fn max_record_bytes(&self) -> u32 {
        self.max_message_bytes.saturating_sub(BATCH_OVERHEAD_BYTES)
    }

    /// Whether this process makes a topic that is absent: a client that shows a token cannot.
    pub(crate) fn creates(&self) -> bool {
        self.create && !self.properties.wants_token()
    }

    /// Finds what cannot work, before any broker is asked.
    pub(crate) fn check(&self) -> Result<(), String> {
        let brokers_ok = self.brokers.split(',').all(|broker| !broker.trim().is_empty());
        let short = Duration::from_millis(100);
        if !brokers_ok {
            return Err(format!("brokers is {:?}; give HOST:PORT,HOST:PORT", self.brokers));
        }
        if self.replication.is_some_and(|copies| copies < 1) {
            return Err("replication must be at least 1".into());
        }
        if self.min_isr.is_some_and(|copies| copies < 1) {
            return Err("min_isr must be at least 1".into());
        }
        if let (Some(copies), Some(min)) = (self.replication, self.min_isr)
            && min > i32::from(copies)
        {
            return Err(format!("min_isr is {min}, more than the replication of {copies}"));
        }
        if self.message_timeout < short || self.socket_timeout < short {
            return Err("message_timeout and socket_timeout must be at least 100 ms".into());
        }
        if self.max_message_bytes < LEAST_MESSAGE_BYTES {
            return Err(format!("max_message_bytes must be at least {LEAST_MESSAGE_BYTES}"));
        }
        self.properties.check()?;
        match (self.properties.wants_token(), &self.token_file) {
            (true, None) => {
                Err("the mechanism OAUTHBEARER needs kafka_token_file (--kafka-token-file)".into())
            }
            (false, Some(_)) => {
                Err("a token file is of use only with sasl.mechanism=OAUTHBEARER".into())
            }
            _ => client::try_config(self),
        }
    }
}

fn message_timeout() -> Duration {
    MESSAGE_TIMEOUT
}

fn socket_timeout() -> Duration {
    SOCKET_TIMEOUT
}

fn connect_timeout() -> Duration {
    CONNECT_TIMEOUT
}

fn create() -> bool {
    true
}

fn verify() -> bool {
    true
}

fn max_message_bytes() -> u32 {
    MAX_MESSAGE_BYTES
}

/// Durations as milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> KafkaSettings {
        KafkaSettings::new("a:1,b:2", "default".parse().unwrap())
    }

    #[test]
    fn a_file_with_brokers_and_stream_alone_gives_the_defaults() {
        let read: KafkaSettings =
            serde_json::from_str(r#"{"brokers": "a:1,b:2", "stream": "default"}"#).unwrap();
        assert_eq!(read, settings());
        assert_eq!(read.topic(), "default.commits");
    }

    #[test]
    fn settings_survive_a_file() {
        let mut written = settings();
        written.message_timeout = Duration::from_millis(1234);
        written.replication = Some(3);
        let text = serde_json::to_string(&written).unwrap();
        assert!(text.contains(r#""message_timeout_ms":1234"#), "{text}");
        assert_eq!(serde_json::from_str::<KafkaSettings>(&text).unwrap(), written);
    }

    #[test]
    fn a_typing_error_is_refused() {
        let text = r#"{"brokers": "a:1", "stream": "default", "replicas": 3}"#;
        assert!(serde_json::from_str::<KafkaSettings>(text).is_err());
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        assert_eq!(settings().check(), Ok(()));
        let wrong: [fn(&mut KafkaSettings); 10] = [
            |s| s.brokers = String::new(),
            |s| s.brokers = "a:1,,b:2".into(),
            |s| s.replication = Some(0),
            |s| (s.replication, s.min_isr) = (Some(1), Some(2)),
            |s| s.message_timeout = Duration::ZERO,
            |s| s.max_message_bytes = 1000,
            |s| s.properties.set("acks", "1"),
            |s| s.properties.set("sasl.mechanism", "OAUTHBEARER"),
            |s| s.token_file = Some("token".into()),
            |s| s.properties.set("security.protocl", "ssl"),
        ];
        for (index, break_it) in wrong.iter().enumerate() {
            let mut settings = settings();
            break_it(&mut settings);
            assert!(settings.check().is_err(), "{index}: {settings:?}");
        }
    }

    #[test]
    fn a_property_that_librdkafka_does_not_know_is_refused_in_its_words_and_without_a_secret() {
        let mut settings = settings();
        settings.properties.set("security.protocol", "hunter2");
        let told = settings.check().unwrap_err();
        assert!(told.contains("security.protocol"), "{told}");
        settings.properties.set("security.protocol", "sasl_ssl");
        settings.properties.set("sasl.pasword.secret", "hunter2");
        let told = settings.check().unwrap_err();
        assert!(told.contains("No such configuration property"), "{told}");
        assert!(told.contains("sasl.pasword.secret") && !told.contains("hunter2"), "{told}");
    }
}
