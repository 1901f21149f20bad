//! Why a log on Kafka does not open.

use std::time::Duration;

use crate::policy::Fault;

/// Why a log on Kafka does not open.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KafkaOpenError {
    /// Correct the settings.
    #[error("the Kafka settings cannot work: {0}")]
    Settings(String),
    /// Try again later, or correct the addresses.
    #[error(
        "no Kafka broker of {brokers} answered within {} ms ({detail}); check the addresses, that the brokers \
         run, and that the names in their advertised.listeners can be reached from here", waited.as_millis()
    )]
    Unreachable {
        /// Where it looked.
        brokers: String,
        /// What the client said last.
        detail: String,
        /// How long it waited.
        waited: Duration,
    },
    /// Mend the certificates, the password or the token, on this side or theirs.
    #[error(
        "the Kafka brokers of {brokers} and this client do not trust each other ({detail}); check security.protocol, \
         ssl.ca.location and the sasl.* properties in kafka_config"
    )]
    Distrust {
        /// Where it looked.
        brokers: String,
        /// What the client said.
        detail: String,
    },
    /// Allow this client to describe, read and (where it writes) write the topic.
    #[error(
        "the brokers do not show the topic {topic} to this client ({detail}): allow it Describe and Read on it, and \
         Write where it writes"
    )]
    Denied {
        /// The topic.
        topic: String,
        /// What the brokers said.
        detail: String,
    },
    /// Create the topic, or let this process do so.
    #[error(
        "the topic {topic} does not exist, and this process may not create it; create it with:\n  {command}"
    )]
    NoTopic {
        /// The topic.
        topic: String,
        /// The command that creates it as it must be.
        command: String,
    },
    /// The brokers did not create the topic: the detail says why.
    #[error(
        "the topic {topic} was not created: {detail}; mend that, or create it with:\n  {command}"
    )]
    Create {
        /// The topic.
        topic: String,
        /// What the brokers said.
        detail: String,
        /// The command that creates it as it must be.
        command: String,
    },
    /// The brokers did not tell how the topic is configured: allow DescribeConfigs and Describe on it.
    #[error(
        "the brokers did not tell how the topic {topic} is configured ({detail}); without that its records are \
         not known to be safe: allow this client Describe and DescribeConfigs on it, or check \
         them yourself and set kafka_verify_topic = false"
    )]
    Describe {
        /// The topic.
        topic: String,
        /// What the brokers said.
        detail: String,
    },
    /// Mend the topic: the commands stand in the faults.
    #[error("the topic {topic} is not safe for a stream:{}", list(faults))]
    WrongTopic {
        /// The topic.
        topic: String,
        /// Everything that is wrong with it.
        faults: Vec<Fault>,
    },
    /// A client could not be made: out of memory or threads.
    #[error("no Kafka client could be made: {0}")]
    Client(String),
}

impl KafkaOpenError {
    /// Whether trying again later can help without anybody mending anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Client(_))
    }
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("\n- {fault}")).collect()
}
