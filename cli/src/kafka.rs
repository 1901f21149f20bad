//! What a command can be told of Kafka: shared by servers and by the commands that talk to brokers.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use headwater_log_kafka::{KafkaSettings, Properties};
use headwater_schemas::StreamName;
use serde::Serialize;

use crate::exit::Failure;
use crate::settings::Settings;

/// Variables that begin so are properties: `HEADWATER_KAFKA_CONFIG__SASL_PASSWORD` is `sasl.password`.
const VARIABLES: &str = "HEADWATER_KAFKA_CONFIG__";

/// Which log, and how to reach it. Each has a place in the settings file.
#[derive(Debug, Clone, Default, Args, Serialize)]
pub(crate) struct KafkaFlags {
    /// A settings file (TOML). Flags and the environment win over it.
    #[arg(long, env = "HEADWATER_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
    /// Keep the log on Kafka instead of under --data: HOST:PORT,…
    #[arg(long, env = "HEADWATER_KAFKA", value_name = "HOST:PORT,…")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka: Option<String>,
    /// The stream, which names its topics [default: default]
    #[arg(long, env = "HEADWATER_STREAM", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<StreamName>,
    /// A property of librdkafka, such as security.protocol=sasl_ssl; repeatable. A secret is better kept in
    /// --kafka-config-file or in HEADWATER_KAFKA_CONFIG__SASL_PASSWORD: others on this machine see the command line.
    #[arg(long, value_name = "NAME=VALUE", value_parser = Pair::take, help_heading = "Kafka")]
    #[serde(skip)]
    pub(crate) kafka_config: Vec<Pair>,
    /// A file of such properties, NAME=VALUE a line
    #[arg(long, env = "HEADWATER_KAFKA_CONFIG_FILE", value_name = "FILE", help_heading = "Kafka")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_config_file: Option<PathBuf>,
    /// A file with the token (JWT) for sasl.mechanism=OAUTHBEARER; read again before the token ends
    #[arg(long, env = "HEADWATER_KAFKA_TOKEN_FILE", value_name = "FILE", help_heading = "Kafka")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_token_file: Option<PathBuf>,
    /// How long a record may wait for its acknowledgement before its fate is open [default: 10000]
    #[arg(
        long,
        env = "HEADWATER_KAFKA_MESSAGE_TIMEOUT_MS",
        value_name = "MS",
        help_heading = "Kafka"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_message_timeout_ms: Option<u64>,
    /// How long one request to a broker may take [default: 3000]
    #[arg(
        long,
        env = "HEADWATER_KAFKA_SOCKET_TIMEOUT_MS",
        value_name = "MS",
        help_heading = "Kafka"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_socket_timeout_ms: Option<u64>,
    /// How long one try to reach a broker takes at the start [default: 5000]
    #[arg(
        long,
        env = "HEADWATER_KAFKA_CONNECT_TIMEOUT_MS",
        value_name = "MS",
        help_heading = "Kafka"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_connect_timeout_ms: Option<u64>,
    /// Copies of the topic [default: 3, or as many as there are brokers]
    #[arg(long, env = "HEADWATER_KAFKA_REPLICATION", value_name = "N", help_heading = "Kafka")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_replication: Option<i16>,
    /// Copies that must have a record before it is acknowledged [default: 2 of 3, else 1]
    #[arg(long, env = "HEADWATER_KAFKA_MIN_ISR", value_name = "N", help_heading = "Kafka")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_min_isr: Option<i32>,
    /// Whether the topic is created when it is absent [default: true]
    #[arg(long, env = "HEADWATER_KAFKA_CREATE_TOPIC", value_name = "BOOL", help_heading = "Kafka")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_create_topic: Option<bool>,
    /// Whether the start checks how the topic is configured [default: true]
    #[arg(long, env = "HEADWATER_KAFKA_VERIFY_TOPIC", value_name = "BOOL", help_heading = "Kafka")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kafka_verify_topic: Option<bool>,
}

/// `NAME=VALUE` of the command line: never printed.
#[derive(Clone)]
pub(crate) struct Pair(String);

impl Pair {
    /// Takes anything: a mistake is told later, without the text, which may hold a secret.
    #[expect(clippy::unnecessary_wraps, reason = "clap asks for a result")]
    fn take(text: &str) -> Result<Self, std::convert::Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.split_once('=').map_or("…", |(name, _)| name))
    }
}

impl KafkaFlags {
    /// The properties of all places but the settings file, whose own `table` they win over: the file of properties,
    /// then the environment, then flags.
    pub(crate) fn properties(
        &self,
        table: Properties,
        file: Option<&Path>,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Properties, Failure> {
        let mut all = table;
        if let Some(file) = file {
            let told = |error: &dyn fmt::Display| {
                Failure::failed(format_args!("kafka_config_file {}: {error}", file.display()))
            };
            let text = std::fs::read_to_string(file).map_err(|error| told(&error))?;
            all.extend(Properties::parse(&text).map_err(|error| told(&error))?);
        }
        for (name, value) in environment {
            let Some(name) = name.to_str().and_then(|name| name.strip_prefix(VARIABLES)) else {
                continue;
            };
            let value = value
                .into_string()
                .map_err(|_| Failure::failed(format_args!("{VARIABLES}{name}: it is not UTF-8")))?;
            all.set(name.to_lowercase().replace('_', "."), value);
        }
        for (pair, number) in self.kafka_config.iter().zip(1..) {
            all.set_pair(&pair.0).map_err(|error| {
                Failure::failed(format_args!("--kafka-config, number {number}: {error}"))
            })?;
        }
        Ok(all)
    }
}

impl Settings {
    /// The log on Kafka, if that is where it is.
    pub(crate) fn kafka_log(&self) -> Option<KafkaSettings> {
        let brokers = self.kafka.as_deref()?;
        Some(KafkaSettings {
            replication: self.kafka_replication,
            min_isr: self.kafka_min_isr,
            message_timeout: Duration::from_millis(self.kafka_message_timeout_ms),
            socket_timeout: Duration::from_millis(self.kafka_socket_timeout_ms),
            connect_timeout: Duration::from_millis(self.kafka_connect_timeout_ms),
            create: self.kafka_create_topic,
            verify: self.kafka_verify_topic,
            properties: self.kafka_config.clone(),
            token_file: self.kafka_token_file.clone(),
            ..KafkaSettings::new(brokers, self.stream.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(properties: &Properties) -> Vec<&str> {
        properties.names().collect()
    }

    fn environment(vars: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
        let vars: Vec<_> =
            vars.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        vars.into_iter()
    }

    #[test]
    fn a_flag_wins_over_the_environment_that_over_a_file_and_that_over_the_settings_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("client.properties");
        std::fs::write(&file, "b=file\nc=file\nd=file\n").unwrap();
        let table = Properties::from_iter(["a", "b", "c", "d"].map(|name| (name, "table")));
        let flags =
            KafkaFlags { kafka_config: vec![Pair("d=flag".into())], ..KafkaFlags::default() };
        let vars = environment(&[
            ("HEADWATER_KAFKA_CONFIG__C", "variable"),
            ("HEADWATER_KAFKA_CONFIG__D", "variable"),
            ("HEADWATER_KAFKA_CONFIG_FILE", "elsewhere"),
        ]);
        let all = flags.properties(table, Some(&file), vars).unwrap();
        let wanted = [("a", "table"), ("b", "file"), ("c", "variable"), ("d", "flag")];
        assert_eq!(all, Properties::from_iter(wanted));
    }

    #[test]
    fn a_variable_names_a_property_in_capitals_and_its_value_is_taken_as_it_is() {
        let vars = environment(&[("HEADWATER_KAFKA_CONFIG__SASL_PASSWORD", "007")]);
        let all = KafkaFlags::default().properties(Properties::default(), None, vars).unwrap();
        assert_eq!(names(&all), ["sasl.password"]);
        assert_eq!(all, Properties::from_iter([("sasl.password", "007")]));
    }

    #[test]
    fn a_mistake_in_a_pair_and_its_debug_text_show_no_value() {
        let flags =
            KafkaFlags { kafka_config: vec![Pair("hunter2".into())], ..KafkaFlags::default() };
        let told = flags.properties(Properties::default(), None, environment(&[])).unwrap_err();
        assert!(
            told.to_string().contains("number 1") && !told.to_string().contains("hunter2"),
            "{told}"
        );
        assert_eq!(format!("{:?}", Pair("sasl.password=hunter2".into())), "sasl.password");
        assert!(!format!("{flags:?}").contains("hunter2"));
    }
}
