//! What a server process can be told: defaults, then the settings file, then the environment, then flags.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use headwater_image_store::{S3Settings, Store};
use headwater_schemas::StreamName;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::exit::Failure;

/// Where a server listens: only this machine, until somebody decides otherwise.
const LISTEN: &str = "127.0.0.1:7070";
/// How long the HTTP server, and behind it the writer, may take to finish what is under way: together with the rest
/// less than the 10 s after which supervisors kill.
const DRAIN_MS: u64 = 3_000;

/// Flags of every server process. Each has an environment variable and a place in the settings file.
#[derive(Debug, Args, Serialize)]
pub(crate) struct ServerFlags {
    /// A settings file (TOML). Flags and the environment win over it.
    #[arg(long, env = "HEADWATER_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:7070]. There is no authentication: put what is not this machine behind
    /// a proxy that has it.
    #[arg(long, env = "HEADWATER_LISTEN", value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<String>,
    /// Where everything is kept [default: ./data]
    #[arg(long, env = "HEADWATER_DATA", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<PathBuf>,
    /// Keep the log on Kafka instead of under --data: HOST:PORT,…
    #[arg(long, env = "HEADWATER_KAFKA", value_name = "HOST:PORT,…")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kafka: Option<String>,
    /// The stream, which names its topics [default: default]
    #[arg(long, env = "HEADWATER_STREAM", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<StreamName>,
    /// Share images where all readers get them, and start from there where the disk is empty: s3://BUCKET/PREFIX or
    /// file:///DIR; a publisher may also read https://HOST/PATH
    #[arg(long, env = "HEADWATER_IMAGE_STORE", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    image_store: Option<String>,
    /// A registry of Avro schemas (Confluent's API): the table's values are then in its wire format
    #[arg(long, env = "HEADWATER_SCHEMA_REGISTRY", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_registry: Option<String>,
    /// How the log on standard error is written [default: text]. HEADWATER_LOG says what: info,headwater_relay=debug
    #[arg(long, env = "HEADWATER_LOG_FORMAT", value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_format: Option<LogFormat>,
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
    pub(crate) stream: StreamName,
    pub(crate) image_store: Option<String>,
    pub(crate) schema_registry: Option<String>,
    pub(crate) log_format: LogFormat,
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
        Self {
            listen: LISTEN.to_owned(),
            data: PathBuf::from("data"),
            kafka: None,
            stream: StreamName::parse("default").expect("a name"),
            image_store: None,
            schema_registry: None,
            log_format: LogFormat::Text,
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
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = &flags.config {
            // A file that was named and is not there is a mistake, not an empty one.
            figment = figment.merge(Toml::file_exact(file));
        }
        let nested =
            Env::prefixed("HEADWATER_").filter(|name| name.as_str().contains("__")).split("__");
        let settings: Self =
            figment.merge(nested).merge(Serialized::defaults(flags)).extract().map_err(refused)?;
        if settings.kafka.as_deref() == Some("") {
            return Err(Failure::failed(
                "kafka is empty: name a broker as HOST:PORT, or leave it out",
            ));
        }
        bounds::check(&settings)?;
        Ok(settings)
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
        ServerFlags {
            config: None,
            listen: None,
            data: None,
            kafka: None,
            stream: None,
            image_store: None,
            schema_registry: None,
            log_format: None,
        }
    }

    fn with_file(text: &str) -> Result<Settings, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("headwater.toml");
        std::fs::write(&file, text).unwrap();
        Settings::load(&ServerFlags { config: Some(file), ..flags() })
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
        let settings =
            Settings::load(&ServerFlags { config: Some(file), listen, ..flags() }).unwrap();
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
        let config = Some(PathBuf::from("/nonexistent/headwater.toml"));
        assert!(Settings::load(&ServerFlags { config, ..flags() }).is_err());
    }
}
