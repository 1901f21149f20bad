//! Of what age the brokers are. The protocol names no release, but each release speaks more of it: librdkafka tells
//! in its debug log which versions of a request a broker understands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headwater_log::Finding;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;

use crate::client::{Context, blocking, bury, config};
use crate::settings::KafkaSettings;

const CHECK: &str = "broker versions";
/// The newest version of Fetch that a release was the first to speak (Kafka's `FetchRequest.json`), newest first.
const RELEASES: [(u16, &str); 8] = [
    (18, "4.1"),
    (17, "3.9"),
    (16, "3.7"),
    (15, "3.5"),
    (13, "3.1"),
    (12, "2.7"),
    (11, "2.3"),
    (4, "0.11"),
];
/// Older brokers are out of their makers' care, and nothing here was tried with them.
const OLDEST: u16 = 15;

/// So many words are heard: about a hundred a broker.
const WORDS: usize = 2_000;

/// Asks the brokers that the settings name.
pub(super) async fn check(settings: &KafkaSettings) -> Finding {
    let settings = settings.clone();
    match blocking(move || ask(&settings)).await {
        Ok(told) => judge(&told),
        Err(error) => Finding::warning(
            CHECK,
            format!("not known: {error}"),
            "kafka-broker-api-versions.sh tells them",
        ),
    }
}

fn judge(told: &BTreeMap<String, u16>) -> Finding {
    let all: Vec<_> =
        told.iter().map(|(broker, fetch)| format!("{broker} {}", name(*fetch))).collect();
    let all = all.join(", ");
    match told.values().min() {
        None => Finding::warning(
            CHECK,
            "not known: no broker said what it speaks",
            "kafka-broker-api-versions.sh tells them",
        ),
        Some(oldest) if *oldest < OLDEST => Finding::warning(
            CHECK,
            all,
            format!(
                "upgrade the brokers: Headwater is tested with those of {} and later",
                name(OLDEST)
            ),
        ),
        Some(_) => Finding::ok(CHECK, all),
    }
}

/// The first release that speaks so much.
fn name(fetch: u16) -> String {
    let release = RELEASES.iter().find(|(first, _)| *first <= fetch);
    release.map_or("before Kafka 0.11".into(), |(_, release)| format!("Kafka {release} or later"))
}

fn ask(settings: &KafkaSettings) -> Result<BTreeMap<String, u16>, KafkaError> {
    let mut config = config(settings, "versions");
    config.set("debug", "feature").set_log_level(RDKafkaLogLevel::Debug);
    let told = Arc::new(Mutex::default());
    let ear = Ear { context: Context::new(settings), told: Arc::clone(&told) };
    let client: BaseConsumer<Ear> = config.create_with_context(ear)?;
    // A fresh token may be wanted first.
    drop(client.poll(Duration::ZERO));
    let answered = client.fetch_metadata(None, settings.connect_timeout);
    // What it says waits in its queue.
    (0..WORDS).for_each(|_| drop(client.poll(Duration::ZERO)));
    bury(client, drop);
    answered?;
    let told = told.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(told.clone())
}

/// Listens to librdkafka's own words.
struct Ear {
    context: Context,
    told: Arc<Mutex<BTreeMap<String, u16>>>,
}

impl ConsumerContext for Ear {}

impl ClientContext for Ear {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = Context::ENABLE_REFRESH_OAUTH_TOKEN;

    fn generate_oauth_token(
        &self,
        config: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.context.generate_oauth_token(config)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if let Some((broker, fetch)) = fetch_of(message) {
            self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(broker, fetch);
        } else if !matches!(level, RDKafkaLogLevel::Debug) {
            self.context.log(level, facility, message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

/// Who said so, and the newest version of Fetch: `[thrd:…]: HOST:PORT/1:   ApiKey Fetch (1) Versions 4..17`.
fn fetch_of(message: &str) -> Option<(String, u16)> {
    let (before, versions) = message.split_once("ApiKey Fetch (1) Versions ")?;
    let newest = versions.trim().split_once("..")?.1.parse().ok()?;
    let broker = before.rsplit_once("]: ")?.1.trim().trim_end_matches(':');
    Some((broker.split('/').next()?.to_owned(), newest))
}

#[cfg(test)]
mod tests {
    use headwater_log::Verdict;

    use super::*;

    #[test]
    fn the_age_of_a_broker_is_taken_from_librdkafkas_words() {
        let line = "[thrd:a:9092/bootstrap]: a:9092/1:   ApiKey Fetch (1) Versions 4..17";
        assert_eq!(fetch_of(line), Some(("a:9092".into(), 17)));
        for other in
            ["", "ApiKey Fetch (1) Versions 4..17", "[x]: a:   ApiKey Produce (0) Versions 0..11"]
        {
            assert_eq!(fetch_of(other), None, "{other}");
        }
        assert_eq!(name(14), "Kafka 3.1 or later");
        assert_eq!(name(99), "Kafka 4.1 or later");
        assert_eq!(name(3), "before Kafka 0.11");
    }

    #[test]
    fn one_old_broker_is_enough_for_a_warning() {
        let verdict = |told: &[(&str, u16)]| {
            let told = told.iter().map(|(broker, fetch)| ((*broker).to_owned(), *fetch));
            judge(&told.collect()).verdict
        };
        assert_eq!(verdict(&[("a", 17), ("b", 17)]), Verdict::Ok);
        assert_eq!(verdict(&[("a", 17), ("b", 11)]), Verdict::Warning);
        assert_eq!(verdict(&[]), Verdict::Warning);
    }
}
