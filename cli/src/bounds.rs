//! What a setting may be. A value outside would hang the server, lose pages or, worst, append commits that no reader
//! takes: so it is refused before anything is opened.

use headwater_schemas::{MAX_ITEMS, MAX_RECORD_BYTES};

use crate::exit::Failure;
use crate::settings::Settings;

/// Nothing here needs to be larger, and arithmetic on counts and bytes stays within its types.
const MOST: u64 = u32::MAX as u64;
/// No time-out needs to be longer than a year, in milliseconds.
const YEAR_MS: u64 = 366 * 24 * 60 * 60 * 1_000;
/// A namespace, a key, who and why always fit into a commit, and a key into a request's line.
const KIB: u64 = 1_024;

/// A setting by its name in the file, what it is, the least and the most it may be.
type Bound = (&'static str, u64, u64, u64);

/// Refuses the first setting that is out of its bounds.
pub(crate) fn check(settings: &Settings) -> Result<(), Failure> {
    let bounds = [
        kafka(settings),
        publisher(settings),
        server(settings),
        relay(settings),
        snapshotter(settings),
        table(settings),
    ];
    let wrong = bounds.iter().flatten().find(|(_, is, least, most)| !(least..=most).contains(&is));
    wrong.map_or(Ok(()), |(name, is, least, most)| {
        let why = format!("{name} is {is}: it must be from {least} to {most}");
        Err(Failure::failed(why).hint("docs/settings.md says what each setting does"))
    })
}

fn kafka(settings: &Settings) -> Vec<Bound> {
    vec![
        ("kafka_message_timeout_ms", settings.kafka_message_timeout_ms, 100, YEAR_MS),
        // What librdkafka takes.
        ("kafka_socket_timeout_ms", settings.kafka_socket_timeout_ms, 100, 300_000),
        ("kafka_connect_timeout_ms", settings.kafka_connect_timeout_ms, 100, YEAR_MS),
    ]
}

fn publisher(settings: &Settings) -> Vec<Bound> {
    let p = &settings.publisher;
    let (record, items) = (MAX_RECORD_BYTES as u64, MAX_ITEMS as u64);
    vec![
        // Readers refuse larger records for ever: a stream with one in it can never be followed past it.
        ("publisher.max_record_bytes", p.max_record_bytes as u64, 4 * KIB, record),
        ("publisher.max_value_bytes", p.max_value_bytes as u64, 1, record),
        ("publisher.max_changes", p.max_changes as u64, 1, items),
        ("publisher.max_requests", p.max_requests as u64, 1, MOST),
        ("publisher.max_request_bytes", p.max_request_bytes as u64, KIB, MOST),
        ("publisher.max_pipeline", p.max_pipeline as u64, 1, MOST),
        ("publisher.outcome_timeout_ms", p.outcome_timeout_ms, 1, YEAR_MS),
        ("publisher.linearize_timeout_ms", p.linearize_timeout_ms, 1, YEAR_MS),
        ("publisher.marker_interval_ms", p.marker_interval_ms, 0, YEAR_MS),
        ("publisher.max_tries", p.max_tries.into(), 1, MOST),
        ("publisher.fairness_ms", p.fairness_ms, 0, YEAR_MS),
        ("publisher.max_clock_ahead_ms", p.max_clock_ahead_ms, 1, YEAR_MS),
        ("publisher.idempotency_window_ms", p.idempotency_window_ms, 1, YEAR_MS),
        ("publisher.idempotency_keys", p.idempotency_keys as u64, 1, MOST),
        ("publisher.idempotency_bytes", p.idempotency_bytes as u64, KIB, MOST),
        ("publisher.remembered_deletions", p.remembered_deletions as u64, 0, MOST),
        ("publisher.drain_ms", p.drain_ms, 0, YEAR_MS),
    ]
}

fn server(settings: &Settings) -> Vec<Bound> {
    let s = &settings.server;
    let record = settings.publisher.max_record_bytes as u64;
    vec![
        ("server.max_connections", s.max_connections as u64, 1, MOST),
        ("server.max_requests", s.max_requests as u64, 1, MOST),
        ("server.max_header_bytes", s.max_header_bytes as u64, 4 * KIB, MOST),
        // The JSON of the largest commit must fit, or it would be told to try again for ever.
        ("server.max_held_body_bytes", s.max_held_body_bytes as u64, 8 * record, MOST),
        ("server.header_timeout_ms", s.header_timeout_ms, 1, YEAR_MS),
        ("server.body_timeout_ms", s.body_timeout_ms, 1, YEAR_MS),
        ("server.idle_timeout_ms", s.idle_timeout_ms, 1, YEAR_MS),
        ("server.write_timeout_ms", s.write_timeout_ms, 1, YEAR_MS),
        ("server.drain_timeout_ms", s.drain_timeout_ms, 0, YEAR_MS),
    ]
}

fn relay(settings: &Settings) -> Vec<Bound> {
    let r = &settings.relay;
    vec![
        ("relay.heartbeat_ms", r.heartbeat_ms, 1, YEAR_MS),
        ("relay.send_bytes", r.send_bytes as u64, KIB, MOST),
        ("relay.cursor_states", r.cursor_states as u64, 1, MOST),
        ("relay.cursor_seconds", r.cursor_seconds, 1, YEAR_MS / 1_000),
        ("relay.page_bytes", r.page_bytes as u64, KIB, MOST),
    ]
}

fn snapshotter(settings: &Settings) -> Vec<Bound> {
    let s = &settings.snapshotter;
    vec![
        ("snapshotter.cut_every_commits", s.cut_every_commits, 1, MOST),
        ("snapshotter.cut_every_seconds", s.cut_every_seconds, 1, YEAR_MS / 1_000),
        ("snapshotter.keep", s.keep as u64, 1, MOST),
        ("snapshotter.gather_ms", s.gather_ms, 0, YEAR_MS),
    ]
}

fn table(settings: &Settings) -> Vec<Bound> {
    let t = &settings.table;
    vec![
        ("table.gather_ms", t.gather_ms, 0, YEAR_MS),
        // The brokers have bounds of their own, 6 s to 30 min by default.
        ("table.lease_timeout_ms", t.lease_timeout_ms, 100, YEAR_MS),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables that hold numbers.
    const PARTS: [&str; 5] = ["publisher", "server", "relay", "snapshotter", "table"];

    fn names(settings: &Settings) -> Vec<&'static str> {
        let all = [
            publisher(settings),
            server(settings),
            relay(settings),
            snapshotter(settings),
            table(settings),
        ];
        all.iter().flatten().map(|(name, ..)| *name).collect()
    }

    #[test]
    fn every_number_that_can_be_set_has_bounds_and_its_default_is_within() {
        let settings = Settings::default();
        assert!(check(&settings).is_ok());
        let all = serde_json::to_value(&settings).unwrap();
        for part in PARTS {
            for (name, value) in all[part].as_object().unwrap() {
                let bounded = names(&settings).contains(&format!("{part}.{name}").as_str());
                assert!(bounded || !value.is_number(), "{part}.{name} has no bounds");
            }
        }
    }

    #[test]
    fn a_record_that_no_reader_would_take_cannot_be_allowed() {
        let mut settings = Settings::default();
        settings.publisher.max_record_bytes = MAX_RECORD_BYTES;
        assert!(check(&settings).is_ok());
        settings.publisher.max_record_bytes = MAX_RECORD_BYTES + 1;
        let refused = check(&settings).unwrap_err().to_string();
        assert!(refused.contains("publisher.max_record_bytes is 2097153"), "{refused}");
    }

    #[test]
    fn a_budget_of_bodies_that_the_largest_commit_would_never_fit_into_is_refused() {
        let mut settings = Settings::default();
        settings.publisher.max_record_bytes = 1024 * 1024;
        settings.server.max_held_body_bytes = 8 * 1024 * 1024;
        assert!(check(&settings).is_ok());
        settings.server.max_held_body_bytes -= 1;
        let refused = check(&settings).unwrap_err().to_string();
        assert!(refused.contains("server.max_held_body_bytes is 8388607"), "{refused}");
    }

    #[test]
    fn nothing_that_a_server_waits_for_can_be_nothing() {
        let mut settings = Settings::default();
        settings.publisher.max_pipeline = 0;
        assert!(check(&settings).unwrap_err().to_string().contains("publisher.max_pipeline is 0"));
    }

    #[test]
    fn the_page_of_settings_lists_each_with_its_default() {
        let page = include_str!("../../docs/settings.md");
        let all = serde_json::to_value(Settings::default()).unwrap();
        for part in PARTS {
            for (name, value) in all[part].as_object().unwrap() {
                let row = format!("| `{part}.{name}` | {value} |");
                assert!(page.contains(&row), "docs/settings.md lacks: {row}");
            }
        }
        let rows = page.matches("\n| `").count();
        let mut others: Vec<(String, &serde_json::Value)> = Vec::new();
        for (name, value) in all.as_object().unwrap() {
            match value.as_object() {
                Some(table) if PARTS.contains(&name.as_str()) => others.extend(
                    table
                        .iter()
                        .filter(|(_, value)| !value.is_number())
                        .map(|(inner, value)| (format!("{name}.{inner}"), value)),
                ),
                // Its names are librdkafka's.
                Some(table) if name != "kafka_config" => others
                    .extend(table.iter().map(|(inner, value)| (format!("{name}.{inner}"), value))),
                _ => others.push((name.clone(), value)),
            }
        }
        for (name, value) in &others {
            let default = if value.is_number() || value.is_boolean() {
                format!(" {value} |")
            } else {
                String::new()
            };
            let row = format!("\n| `{name}` |{default}");
            assert!(page.contains(&row), "docs/settings.md lacks: {row}");
        }
        assert_eq!(
            rows,
            names(&Settings::default()).len() + others.len(),
            "a row is of no setting"
        );
    }
}
