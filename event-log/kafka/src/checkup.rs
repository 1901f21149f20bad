//! A check-up of a stream on Kafka, from the outside in: settings, brokers, topics, records, clocks. It writes nothing,
//! unless it is asked to try that, too.

mod trial;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use headwater_log::{Finding, Identity, LogReader as _, ReadError, Seek};
use headwater_schemas::{Position, Record};

use crate::asker::{Asker, Seen};
use crate::client::refused;
use crate::error::KafkaOpenError;
use crate::log::asker_of;
use crate::policy::{self, Wanted};
use crate::reader::KafkaReader;
use crate::settings::KafkaSettings;
use crate::topic;

/// How far back a search for the newest record goes: behind it may stand what transactions and deletions left.
const LOOK_BACK: u64 = 64;
/// How long one read for it waits.
const READ_WAIT: Duration = Duration::from_millis(500);
const READ_BYTES: usize = 1024 * 1024;
/// Clocks that are nearer are as good as equal.
const SKEW_MS: i64 = 1_000;
/// A publisher whose clock is further ahead stops writing.
const MOST_SKEW_MS: i64 = 60_000;
/// A cluster whose topics survive the loss of a broker.
const BROKERS: usize = 3;

/// What a check-up looks at beside the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Whether the stream has a table: its topics are looked at, too.
    pub table: bool,
    /// Whether the right to write is tried, with a marker: some bytes in the log that are nobody's commit.
    pub write: bool,
}

/// Checks the stream that `settings` name. `now_ms` is this machine's clock, milliseconds since the Unix epoch. What
/// cannot be checked because of an earlier failure is left out.
pub async fn checkup(
    settings: &KafkaSettings,
    scope: Scope,
    now_ms: impl Fn() -> i64,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let asker = match settings.check().and_then(|()| asker(settings)) {
        Ok(asker) => asker,
        Err(why) => {
            let mend = "correct it; docs/settings.md lists what can be set";
            return vec![Finding::failed("kafka settings", why, mend)];
        }
    };
    let seen = match topic::look(settings, &asker).await {
        Ok(seen) => seen,
        Err(error) => return vec![unseen(&error)],
    };
    findings.push(brokers(settings, &seen));
    findings.push(versions::check(settings).await);
    if scope.table {
        findings.extend(topic("table", &Wanted::table(settings)).await);
        findings.extend(topic("lease", &Wanted::lease(settings)).await);
    }
    let log = Wanted::log(settings);
    if seen.topic.is_none() {
        findings.push(absent("topic", &log, &seen));
        return findings;
    }
    findings.extend(policy_of("topic", &log, &seen).await);
    findings.push(copies(settings, &seen));
    match newest(settings, &asker, &seen).await {
        Ok((end, newest, reader)) => {
            let name = settings.topic();
            let detail = format!("{name} can be read and ends at position {}", end.0);
            findings.push(Finding::ok("records", detail));
            findings.push(clock(newest.as_ref(), now_ms()));
            if scope.write {
                findings.push(trial::check(settings, reader, end).await);
            }
        }
        Err(error) => findings.push(Finding::failed(
            "records",
            error.to_string(),
            format!(
                "allow this client Read and Describe on the topic {}, and see that its partition has a leader",
                settings.topic()
            ),
        )),
    }
    findings
}

/// A topic of the stream beside its log.
async fn topic(check: &str, wanted: &Wanted<'_>) -> Vec<Finding> {
    let settings = wanted.settings;
    let seen = match asker_of(settings, wanted.topic.clone()) {
        Ok(asker) => topic::look(settings, &asker).await,
        Err(error) => Err(error),
    };
    match seen {
        Err(error) => vec![unseen(&error)],
        Ok(seen) if seen.topic.is_none() => vec![absent(check, wanted, &seen)],
        Ok(seen) => policy_of(check, wanted, &seen).await,
    }
}

fn asker(settings: &KafkaSettings) -> Result<Arc<Asker>, String> {
    Asker::new(settings, settings.topic()).map(Arc::new).map_err(|error| refused(settings, &error))
}

fn unseen(error: &KafkaOpenError) -> Finding {
    let (check, mend) = match error {
        KafkaOpenError::Distrust { .. } => (
            "trust",
            "see that the authority, the name in the certificate, the user and the password fit",
        ),
        KafkaOpenError::Denied { .. } => (
            "acls",
            "kafka-acls.sh --add --allow-principal User:… --operation Describe --operation Read --topic …",
        ),
        _ => (
            "brokers",
            "see that the brokers run, that a firewall lets them be reached, and that security.protocol fits",
        ),
    };
    Finding::failed(check, error.to_string(), mend)
}

fn brokers(settings: &KafkaSettings, seen: &Seen) -> Finding {
    let ids: Vec<_> = seen.brokers.iter().map(i32::to_string).collect();
    let cluster = seen.cluster_id.as_deref().unwrap_or("unknown");
    let detail = format!("{} of cluster {cluster} (ids {})", ids.len(), ids.join(", "));
    if ids.len() >= BROKERS {
        return Finding::ok("brokers", detail);
    }
    let mend = format!(
        "with fewer than {BROKERS} brokers the loss of one stops writing, and may lose commits; name others in {}? \
         The cluster tells its own",
        settings.brokers
    );
    Finding::warning("brokers", detail, mend)
}

fn absent(check: &str, wanted: &Wanted<'_>, seen: &Seen) -> Finding {
    let copies = policy::copies(wanted.settings, seen.brokers.len());
    let command = policy::create_command(wanted, copies);
    let detail = format!("{} does not exist", wanted.topic);
    if wanted.settings.create {
        let mend = format!("the first publisher creates it; or, by hand:\n{command}");
        Finding::warning(check, detail, mend)
    } else {
        Finding::failed(check, detail, format!("create it:\n{command}"))
    }
}

async fn policy_of(check: &str, wanted: &Wanted<'_>, seen: &Seen) -> Vec<Finding> {
    let settings = wanted.settings;
    match topic::verify(wanted, seen).await {
        Ok(()) if settings.verify => {
            let detail = format!("{} is configured as it must be", wanted.topic);
            vec![Finding::ok(check, detail)]
        }
        Ok(()) => vec![Finding::warning(
            check,
            format!(
                "how {} is configured was not asked: kafka_verify_topic is false",
                wanted.topic
            ),
            "run this once with credentials that may describe it, and kafka_verify_topic = true",
        )],
        Err(KafkaOpenError::WrongTopic { faults, .. }) => faults
            .into_iter()
            .map(|fault| {
                let (setting, found, wanted) = (fault.setting, fault.found, fault.wanted);
                let detail = format!("{setting} is {found}, must be {wanted}: {}", fault.why);
                Finding::failed(check, detail, fault.mend)
            })
            .collect(),
        Err(error) => vec![Finding::failed(
            "acls",
            error.to_string(),
            format!(
                "kafka-acls.sh --bootstrap-server {} --add --allow-principal User:… --operation DescribeConfigs --topic {}",
                settings.brokers, wanted.topic
            ),
        )],
    }
}

fn copies(settings: &KafkaSettings, seen: &Seen) -> Finding {
    let (_, copies) = seen.topic.unwrap_or_default();
    let detail = format!("{} of {copies} copies of {} are in step", seen.in_step, settings.topic());
    let mend = "see which broker is down or slow: kafka-topics.sh --describe --topic … names them";
    if !seen.has_leader {
        Finding::failed(
            "copies",
            "the partition has no leader: nothing can be read or written",
            mend,
        )
    } else if seen.in_step < copies {
        Finding::warning("copies", detail, mend)
    } else {
        Finding::ok("copies", detail)
    }
}

/// The log's end, its newest record, and the reader that found it.
async fn newest(
    settings: &KafkaSettings,
    asker: &Arc<Asker>,
    seen: &Seen,
) -> Result<(Position, Option<Record>, KafkaReader), ReadError> {
    let place = format!("{}@{}", settings.topic(), settings.brokers);
    let identity = Identity { kind: "kafka", place, cluster_id: seen.cluster_id.clone() };
    let mut reader =
        KafkaReader::open(identity, Arc::new(settings.clone()), Arc::clone(asker)).await?;
    let (first, end) = (reader.seek(Seek::Oldest).await?, reader.end().await?);
    let from = Position(end.0.saturating_sub(LOOK_BACK)).max(first);
    reader.seek(Seek::At(from)).await?;
    let mut newest = None;
    loop {
        let mut batch = reader.read(READ_WAIT, READ_BYTES).await?;
        newest = batch.records.pop().or(newest);
        if batch.next >= end || batch.at_end {
            return Ok((end, newest, reader));
        }
    }
}

fn clock(newest: Option<&Record>, now_ms: i64) -> Finding {
    const CHECK: &str = "clock";
    let Some(newest) = newest else {
        return Finding::ok(CHECK, "the log has no record to compare this clock with");
    };
    let behind_ms = newest.appended_at_ms.saturating_sub(now_ms);
    let mend = "set this machine's clock by NTP, and see that the brokers' is";
    let told = format!("this clock is at least {} ms behind the log's", behind_ms);
    if behind_ms > MOST_SKEW_MS {
        Finding::failed(CHECK, told, mend)
    } else if behind_ms > SKEW_MS {
        Finding::warning(CHECK, told, mend)
    } else {
        let ago = (-behind_ms).max(0) / 1_000;
        Finding::ok(
            CHECK,
            format!(
                "this clock is not behind the log's, which took its newest record {ago} s ago; one that is ahead only \
                 a publisher finds, which stops writing and says so"
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use headwater_log::Verdict;

    use super::*;

    fn at(appended_at_ms: i64) -> Record {
        Record { position: Position(0), appended_at_ms, bytes: bytes::Bytes::new() }
    }

    #[test]
    fn a_clock_behind_the_log_is_found_and_one_after_it_is_well() {
        let verdict = |appended, now| clock(Some(&at(appended)), now).verdict;
        assert_eq!(verdict(1_000, 100_000), Verdict::Ok);
        assert_eq!(verdict(101_000, 100_000), Verdict::Ok, "a second is nothing");
        assert_eq!(verdict(105_000, 100_000), Verdict::Warning);
        assert_eq!(verdict(200_000, 100_000), Verdict::Failed);
        assert_eq!(clock(None, 0).verdict, Verdict::Ok);
    }

    #[test]
    fn copies_that_are_not_in_step_and_a_partition_without_a_leader_are_found() {
        let settings = KafkaSettings::new("a:1", "default".parse().unwrap());
        let seen = |in_step, has_leader| Seen {
            cluster_id: None,
            brokers: vec![1, 2, 3],
            topic: Some((1, 3)),
            in_step,
            has_leader,
        };
        assert_eq!(copies(&settings, &seen(3, true)).verdict, Verdict::Ok);
        assert_eq!(copies(&settings, &seen(2, true)).verdict, Verdict::Warning);
        assert_eq!(copies(&settings, &seen(2, false)).verdict, Verdict::Failed);
    }

    #[tokio::test]
    async fn settings_that_cannot_work_and_brokers_that_are_not_there_end_a_check_up_early() {
        let mut settings = KafkaSettings::new("127.0.0.1:1", "default".parse().unwrap());
        settings.connect_timeout = Duration::from_millis(200);
        let scope = Scope { table: true, write: true };
        let found = checkup(&settings, scope, || 0).await;
        assert_eq!((found.len(), found[0].check.as_str()), (1, "brokers"), "{found:?}");
        settings.properties.set("acks", "1");
        let found = checkup(&settings, scope, || 0).await;
        assert_eq!((found.len(), found[0].check.as_str()), (1, "kafka settings"), "{found:?}");
    }
}
