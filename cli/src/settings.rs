//! What a server process can be told: defaults, then the settings file, then the environment, then flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use headwater_image_store::{S3Settings, Store};
use headwater_log_kafka::{KafkaSettings, Properties};
use headwater_replica::RemoteHistory;
use headwater_schemas::{Namespace, StreamName};
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::exit::Failure;
use crate::kafka::KafkaFlags;

/// Where a server listens: only this machine, until somebody decides otherwise.
const LISTEN: &str = "127.0.0.1:7070";
/// How long the HTTP server, and behind it the writer, may take to finish what is under way: together with the rest
/// less than the 10 s after which supervisors kill.
const DRAIN_MS: u64 = 3_000;

/// Flags of every server process. Each has an environment variable and a place in the settings file.
#[derive(Debug, Default, Args, Serialize)]
pub(crate) struct ServerFlags {
    /// Where to listen [default: 127.0.0.1:7070]. There is no authentication: put what is not this machine behind
    /// a proxy that has it.
    #[arg(long, env = "HEADWATER_LISTEN", value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<String>,
    /// Where everything is kept [default: ./data]
    #[arg(long, env = "HEADWATER_DATA", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<PathBuf>,
    /// Share images where all readers get them, and start from there where the disk is empty: s3://BUCKET/PREFIX or
    /// file:///DIR; a publisher may also read https://HOST/PATH
    #[arg(long, env = "HEADWATER_IMAGE_STORE", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    image_store: Option<String>,
    /// Ask the server at this URL, one with a snapshotter, about the past: history, diffs, older states and commits
    #[arg(long, env = "HEADWATER_HISTORY_URL", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    history_url: Option<String>,
    /// A registry of Avro schemas (Confluent's API): the table's values are then in its wire format
    #[arg(long, env = "HEADWATER_SCHEMA_REGISTRY", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_registry: Option<String>,
    /// How the log on standard error is written [default: text]. HEADWATER_LOG says what: info,headwater_relay=debug
    #[arg(long, env = "HEADWATER_LOG_FORMAT", value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_format: Option<LogFormat>,
    /// Follow the key headwater.logs in this namespace: its value is what is logged, as in HEADWATER_LOG
    #[arg(long, env = "HEADWATER_SELF_CONFIG", value_name = "NAMESPACE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    self_config: Option<String>,
    /// Send traces to a collector by OTLP over HTTP, such as http://127.0.0.1:4318
    #[arg(long, env = "HEADWATER_OTLP_ENDPOINT", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    otlp_endpoint: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    kafka: KafkaFlags,
}

impl ServerFlags {
    /// Whether a data directory was named.
    pub(crate) fn names_data(&self) -> bool {
        self.data.is_some()
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Settings of a server process: one struct a part, each owned by its crate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) listen: String,
    pub(crate) data: PathBuf,
    pub(crate) kafka: Option<String>,
    pub(crate) kafka_config: Properties,
    pub(crate) kafka_config_file: Option<PathBuf>,
    pub(crate) kafka_token_file: Option<PathBuf>,
    pub(crate) kafka_message_timeout_ms: u64,
    pub(crate) kafka_socket_timeout_ms: u64,
    pub(crate) kafka_connect_timeout_ms: u64,
    pub(crate) kafka_replication: Option<i16>,
    pub(crate) kafka_min_isr: Option<i32>,
    pub(crate) kafka_create_topic: bool,
    pub(crate) kafka_verify_topic: bool,
    pub(crate) stream: StreamName,
    pub(crate) image_store: Option<String>,
    pub(crate) history_url: Option<String>,
    pub(crate) schema_registry: Option<String>,
    pub(crate) log_format: LogFormat,
    pub(crate) self_config: Option<Namespace>,
    pub(crate) otlp_endpoint: Option<String>,
    pub(crate) server: headwater_server::ServerSettings,
    pub(crate) publisher: headwater_publisher::Settings,
    pub(crate) relay: headwater_relay::Settings,
    pub(crate) snapshotter: Snapshots,
    pub(crate) s3: S3Settings,
    pub(crate) table: headwater_publisher::table::TableSettings,
}

/// The part of a snapshotter's settings that does not follow from the data directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Snapshots {
    /// An image is cut when so many commits came after the last one.
    pub(crate) cut_every_commits: u64,
    /// An image is cut when the last one is so old, in seconds, and anything is new.
    pub(crate) cut_every_seconds: u64,
    /// How many images stay on the shelf, beside those younger than an hour.
    pub(crate) keep: usize,
    /// How long commits gather before they are written together, in milliseconds.
    pub(crate) gather_ms: u64,
}

impl Default for Snapshots {
    fn default() -> Self {
        let defaults = headwater_snapshotter::Settings::default();
        Self {
            cut_every_commits: defaults.cut_every_commits,
            cut_every_seconds: defaults.cut_every_seconds,
            keep: defaults.keep,
            gather_ms: defaults.gather_ms,
        }
    }
}

impl Default for Settings {
    #[expect(clippy::expect_used, reason = "a constant that every start parses")]
    fn default() -> Self {
        let stream = StreamName::parse("default").expect("a name");
        let kafka = KafkaSettings::new("", stream.clone());
        Self {
            listen: LISTEN.to_owned(),
            data: PathBuf::from("data"),
            kafka: None,
            kafka_config: kafka.properties,
            kafka_config_file: None,
            kafka_token_file: kafka.token_file,
            kafka_message_timeout_ms: millis(kafka.message_timeout),
            kafka_socket_timeout_ms: millis(kafka.socket_timeout),
            kafka_connect_timeout_ms: millis(kafka.connect_timeout),
            kafka_replication: kafka.replication,
            kafka_min_isr: kafka.min_isr,
            kafka_create_topic: kafka.create,
            kafka_verify_topic: kafka.verify,
            stream,
            image_store: None,
            history_url: None,
            schema_registry: None,
            log_format: LogFormat::Text,
            self_config: None,
            otlp_endpoint: None,
            server: headwater_server::ServerSettings {
                drain_timeout_ms: DRAIN_MS,
                ..headwater_server::ServerSettings::default()
            },
            publisher: headwater_publisher::Settings {
                drain_ms: DRAIN_MS,
                ..headwater_publisher::Settings::default()
            },
            relay: headwater_relay::Settings::default(),
            snapshotter: Snapshots::default(),
            s3: S3Settings::default(),
            table: headwater_publisher::table::TableSettings::default(),
        }
    }
}

impl Settings {
    /// Composes them. Settings without a flag have an environment variable, too: `HEADWATER_PUBLISHER__MAX_CHANGES`.
    pub(crate) fn load(flags: &ServerFlags) -> Result<Self, Failure> {
        Self::compose(&flags.kafka, flags)
    }

    /// The log on Kafka, for a command that needs nothing else.
    pub(crate) fn of_kafka(flags: &KafkaFlags) -> Result<KafkaSettings, Failure> {
        Self::compose(flags, flags)?.kafka_log().ok_or_else(|| {
            Failure::failed("no broker was named")
                .hint("name one: --kafka HOST:PORT, or HEADWATER_KAFKA")
        })
    }

    fn compose(kafka: &KafkaFlags, flags: &impl Serialize) -> Result<Self, Failure> {
        let mut given = Figment::new();
        if let Some(file) = &kafka.config {
            // A file that was named and is not there is a mistake, not an empty one.
            given = given.merge(Toml::file_exact(file));
        }
        // Properties of Kafka are texts, and taken as they are: see below.
        let nested = Env::prefixed("HEADWATER_")
            .filter(|name| name.as_str().contains("__") && !name.starts_with("kafka_config__"))
            .split("__");
        given = given.merge(nested).merge(Serialized::defaults(flags));
        let defaults = Self::behind(given.extract_inner("kafka_message_timeout_ms").ok());
        let mut settings: Self =
            given.join(Serialized::defaults(defaults)).extract().map_err(refused)?;
        settings.kafka_config = kafka.properties(
            settings.kafka_config,
            settings.kafka_config_file.as_deref(),
            std::env::vars_os(),
        )?;
        if settings.kafka.as_deref() == Some("") {
            return Err(Failure::failed(
                "kafka is empty: name a broker as HOST:PORT, or leave it out",
            ));
        }
        bounds::check(&settings)?;
        Ok(settings)
    }

    /// The defaults behind a log that lets a record wait so long, in milliseconds: its fate is open a second longer.
    fn behind(message_timeout_ms: Option<u64>) -> Self {
        let mut defaults = Self::default();
        if let Some(timeout_ms) = message_timeout_ms {
            defaults.publisher.outcome_timeout_ms = timeout_ms.saturating_add(1_000);
        }
        defaults
    }

    /// Where the embedded log lives.
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.data.join("log")
    }

    /// The image shelf.
    pub(crate) fn image_dir(&self) -> PathBuf {
        self.data.join("images")
    }

    /// Where images are shared, if anywhere. Nothing is asked of it yet.
    pub(crate) fn image_store(&self) -> Result<Option<Store>, Failure> {
        let open = |url: &String| Store::open(url, &self.s3);
        let opened = self.image_store.as_ref().map(open).transpose();
        opened.map_err(|error| Failure::failed(format_args!("image_store: {error}")))
    }

    /// The history that another server keeps, if one is named. Nothing is asked of it yet.
    pub(crate) fn history(&self) -> Result<Option<RemoteHistory>, Failure> {
        let named = self.history_url.as_deref().map(RemoteHistory::new).transpose();
        named.map_err(|error| Failure::failed(format_args!("history_url: {error}")))
    }

    /// The replica's own settings.
    pub(crate) fn replica(&self) -> headwater_replica::Settings {
        headwater_replica::Settings::of_server(&self.data)
    }

    /// The snapshotter's own settings.
    pub(crate) fn snapshotter(&self) -> headwater_snapshotter::Settings {
        headwater_snapshotter::Settings {
            dir: self.data.join("store"),
            image_dir: self.image_dir(),
            cut_every_commits: self.snapshotter.cut_every_commits,
            cut_every_seconds: self.snapshotter.cut_every_seconds,
            keep: self.snapshotter.keep,
            gather_ms: self.snapshotter.gather_ms,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn refused(error: figment::Error) -> Failure {
    let told: Vec<String> = error.into_iter().map(|one| told(&one)).collect();
    Failure::failed(format_args!("the settings cannot be used: {}", told.join("; ")))
        .hint("docs/settings.md lists the settings and their environment variables")
}

/// Where a mistake is, as the person who made it wrote it, and what it is.
fn told(error: &figment::Error) -> String {
    let source = error.metadata.as_ref().and_then(|made| made.source.as_ref());
    let place = match source.and_then(|source| source.file_path()) {
        Some(file) if error.path.is_empty() => file.display().to_string(),
        Some(file) => format!("{}: {}", file.display(), error.path.join(".")),
        None => format!("HEADWATER_{}", error.path.join("__").to_uppercase()),
    };
    // Names come in backquotes, and lists of them in one more pair.
    format!("{place}: {}", error.kind.to_string().trim_end())
        .replace("`one of `", "one of `")
        .replace("``", "`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> ServerFlags {
        ServerFlags::default()
    }

    fn of_file(file: PathBuf) -> ServerFlags {
        ServerFlags { kafka: KafkaFlags { config: Some(file), ..KafkaFlags::default() }, ..flags() }
    }

    fn with_file(text: &str) -> Result<Settings, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("headwater.toml");
        std::fs::write(&file, text).unwrap();
        Settings::load(&of_file(file))
    }

    #[test]
    fn without_anything_the_server_binds_to_this_machine_only() {
        let settings = Settings::load(&flags()).unwrap();
        assert!(settings.listen.starts_with("127.0.0.1:"));
        assert_eq!(settings.kafka, None);
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("headwater.toml");
        std::fs::write(
            &file,
            "listen = \"127.0.0.1:1\"\nstream = \"a\"\n[publisher]\nmax_changes = 5\n",
        )
        .unwrap();
        let listen = Some("127.0.0.1:2".to_owned());
        let settings = Settings::load(&ServerFlags { listen, ..of_file(file) }).unwrap();
        assert_eq!(settings.listen, "127.0.0.1:2");
        assert_eq!(settings.stream.as_str(), "a");
        assert_eq!(settings.publisher.max_changes, 5);
        assert_eq!(
            settings.publisher.max_tries,
            headwater_publisher::Settings::default().max_tries
        );
    }

    #[test]
    fn a_typing_error_in_the_file_is_refused_by_name() {
        let error = with_file("lissten = \"127.0.0.1:1\"").unwrap_err();
        assert!(error.to_string().contains("lissten"), "{error}");
        let error = with_file("[publisher]\nmax_chances = 5").unwrap_err();
        assert!(error.to_string().contains("headwater.toml: publisher.max_chances: "), "{error}");
    }

    #[test]
    fn a_setting_that_cannot_work_is_refused() {
        let error = with_file("[publisher]\nmax_pipeline = 0").unwrap_err();
        assert!(error.to_string().contains("publisher.max_pipeline is 0"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_is_refused() {
        assert!(Settings::load(&of_file("/nonexistent/headwater.toml".into())).is_err());
    }

    #[test]
    fn a_write_is_open_for_a_second_longer_than_the_log_lets_a_record_wait_unless_told_otherwise() {
        assert_eq!(Settings::default().kafka_message_timeout_ms, 10_000);
        assert_eq!(Settings::default().publisher.outcome_timeout_ms, 11_000);
        let set = with_file("kafka_message_timeout_ms = 2500").unwrap();
        assert_eq!(set.publisher.outcome_timeout_ms, 3_500);
        let told = "kafka_message_timeout_ms = 2500\n[publisher]\noutcome_timeout_ms = 9000";
        assert_eq!(with_file(told).unwrap().publisher.outcome_timeout_ms, 9_000);
    }

    #[test]
    fn the_settings_file_has_a_table_of_kafkas_properties_which_no_debug_text_shows() {
        let text =
            "kafka = 'a:1'\n[kafka_config]\n'sasl.username' = 'alice'\nsasl.password = 'hunter2'";
        let settings = with_file(text).unwrap();
        let names: Vec<_> = settings.kafka_config.names().collect();
        assert_eq!(names, ["sasl.password", "sasl.username"]);
        let log = settings.kafka_log().unwrap();
        assert!(!format!("{settings:?} {log:?}").contains("hunter2"));
    }
}
