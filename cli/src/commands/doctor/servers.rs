//! Servers: each by itself, and all of them beside each other.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use headwater_api::StatusBody;
use headwater_client::Client;
use headwater_log::Finding;

/// Further behind is worth a look, in revisions.
const LAG: u64 = 1_000;
/// How often servers are asked again until two of them stand at one revision.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// A server that answered.
struct Told {
    url: String,
    status: StatusBody,
}

pub(super) async fn check(clients: &[Client]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut told = Vec::new();
    for (client, status) in clients.iter().zip(ask(clients).await) {
        match status {
            Ok(status) => told.push(Told { url: client.url().to_owned(), status }),
            Err(why) => findings.push(Finding::failed(
                client.url(),
                why,
                "see that it runs there; its own log says why it does not, /readyz why it is not ready",
            )),
        }
    }
    let newest = told.iter().map(|told| told.status.revision).max().unwrap_or_default();
    findings.extend(told.iter().flat_map(|told| alone(told, newest)));
    findings.extend(together(&told));
    if told.len() > 1 {
        findings.push(agreement(clients, told).await);
    }
    findings
}

async fn ask(clients: &[Client]) -> Vec<Result<StatusBody, String>> {
    let asked = clients
        .iter()
        .map(|client| async move { client.status().await.map_err(|error| error.to_string()) });
    join_all(asked).await
}

/// What a server says of itself.
fn alone(told: &Told, newest: u64) -> Vec<Finding> {
    let (url, status) = (&told.url, &told.status);
    let mut findings = Vec::new();
    if let Some(alarm) = &status.alarm {
        let mend = format!("docs/operations.md, \"Alarms\", says what to do about {}", alarm.kind);
        findings.push(Finding::failed(url, format!("{}: {}", alarm.kind, alarm.detail), mend));
    }
    let behind = status.lag_revisions.max(newest.saturating_sub(status.revision));
    let is = format!(
        "{} {} at revision {}, {}, {behind} behind",
        status.role, status.version, status.revision, status.phase
    );
    findings.push(match status.phase.as_str() {
        "live" if behind > LAG => Finding::warning(
            url,
            is,
            "see whether its machine is busy or its way to the log slow; run this again: the lag must fall",
        ),
        "live" => Finding::ok(url, is),
        "starting" | "catching_up" => Finding::warning(url, is, "it has just started: run this again"),
        "stale" => Finding::failed(
            url,
            is,
            "it serves its last good state and cannot reach the log: its own log and /readyz say why",
        ),
        _ => Finding::failed(url, is, "it changes nothing until somebody acts: see its alarm"),
    });
    findings
}

/// Whether they are of one kind.
fn together(all: &[Told]) -> Vec<Finding> {
    let set = |of: fn(&StatusBody) -> String| {
        all.iter().map(|told| of(&told.status)).collect::<BTreeSet<_>>()
    };
    let mut findings = Vec::new();
    let streams = set(|status| format!("{} ({})", status.stream, status.stream_id));
    if streams.len() > 1 {
        findings.push(Finding::failed(
            "streams",
            format!("the servers follow different streams: {}", list(&streams)),
            "compare their --kafka and --stream",
        ));
    }
    let clusters = set(|status| status.log.cluster_id.clone().unwrap_or_default());
    if clusters.iter().filter(|id| !id.is_empty()).count() > 1 {
        findings.push(Finding::failed(
            "clusters",
            format!("the servers read from different Kafka clusters: {}", list(&clusters)),
            "compare their --kafka",
        ));
    }
    let versions = set(|status| status.version.clone());
    if versions.len() > 1 {
        findings.push(Finding::warning(
            "versions",
            format!("the servers are of different versions: {}", list(&versions)),
            "well during an upgrade; finish it",
        ));
    }
    findings
}

fn list(texts: &BTreeSet<String>) -> String {
    texts.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Whether servers at one revision hold one state.
async fn agreement(clients: &[Client], mut told: Vec<Told>) -> Finding {
    for _ in 1..TRIES {
        if at_one_revision(&told) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        let again = clients.iter().zip(ask(clients).await);
        told = again
            .filter_map(|(client, status)| {
                Some(Told { url: client.url().to_owned(), status: status.ok()? })
            })
            .collect();
    }
    compare(&told)
}

/// Whether there is anything to compare: all stand at one revision.
fn at_one_revision(told: &[Told]) -> bool {
    told.windows(2).all(|pair| pair[0].status.revision == pair[1].status.revision)
}

fn compare(all: &[Told]) -> Finding {
    const CHECK: &str = "agreement";
    let mut compared = 0;
    for (index, one) in all.iter().enumerate() {
        for other in &all[index + 1..] {
            let (a, b) = (&one.status, &other.status);
            if a.stream_id != b.stream_id || a.revision != b.revision {
                continue;
            }
            compared += 1;
            let (what, mend) = if a.hash != b.hash {
                (
                    "are on different chains",
                    "one follows a fork or an old copy of the log: its alarm says which",
                )
            } else if a.digest != b.digest {
                (
                    "hold different states",
                    "one diverged: restart the one with the alarm; if it stays, see docs/operations.md, \"divergence\"",
                )
            } else {
                continue;
            };
            let detail = format!("{} and {} {what} at revision {}", one.url, other.url, a.revision);
            return Finding::failed(CHECK, detail, mend);
        }
    }
    if compared == 0 {
        let detail = "no two servers stood at one revision when they were asked";
        return Finding::warning(CHECK, detail, "run this again when less is written");
    }
    Finding::ok(CHECK, "servers at one revision hold one state, by hash and digest")
}

#[cfg(test)]
mod tests {
    use headwater_api::{AlarmBody, LogBody, Time};
    use headwater_log::Verdict;
    use headwater_schemas::{Digest, Hash, StreamId};

    use super::*;

    fn told(url: &str) -> Told {
        let log = LogBody {
            kind: "kafka".into(),
            position: 9,
            place: None,
            cluster_id: Some("c".into()),
        };
        let status = StatusBody {
            stream: "default".into(),
            stream_id: StreamId([1; 16]),
            revision: 7,
            hash: Hash::of(b"7"),
            digest: Digest::default(),
            entries: 1,
            bytes: 1,
            log,
            role: "publisher".into(),
            version: "1.0.0".into(),
            started_at: Time(0),
            lag_revisions: 0,
            last_commit_at: None,
            phase: "live".into(),
            alarm: None,
        };
        Told { url: url.into(), status }
    }

    fn verdicts(change: impl FnOnce(&mut StatusBody)) -> Vec<Verdict> {
        let mut one = told("http://a");
        change(&mut one.status);
        alone(&one, 7).into_iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn a_server_is_judged_by_its_phase_its_alarm_and_its_lag() {
        assert_eq!(verdicts(|_| {}), [Verdict::Ok]);
        assert_eq!(verdicts(|s| s.phase = "stale".into()), [Verdict::Failed]);
        assert_eq!(verdicts(|s| s.phase = "catching_up".into()), [Verdict::Warning]);
        assert_eq!(verdicts(|s| s.lag_revisions = LAG + 1), [Verdict::Warning]);
        let alarm = AlarmBody { kind: "divergence".into(), detail: "x".into() };
        assert_eq!(verdicts(|s| s.alarm = Some(alarm)), [Verdict::Failed, Verdict::Ok]);
        assert_eq!(
            alone(&told("http://a"), 8 + LAG)[0].verdict,
            Verdict::Warning,
            "behind another"
        );
    }

    #[test]
    fn servers_of_two_streams_clusters_or_versions_are_found() {
        let pair = |change: fn(&mut StatusBody)| {
            let mut pair = [told("http://a"), told("http://b")];
            change(&mut pair[1].status);
            together(&pair).into_iter().map(|f| (f.check, f.verdict)).collect::<Vec<_>>()
        };
        assert_eq!(pair(|_| {}), []);
        let found = |check: &str, verdict| vec![(check.to_owned(), verdict)];
        assert_eq!(pair(|s| s.stream_id = StreamId([2; 16])), found("streams", Verdict::Failed));
        assert_eq!(
            pair(|s| s.log.cluster_id = Some("d".into())),
            found("clusters", Verdict::Failed)
        );
        assert_eq!(pair(|s| s.log.cluster_id = None), [], "it has not met its brokers yet");
        assert_eq!(pair(|s| s.version = "1.1.0".into()), found("versions", Verdict::Warning));
    }

    #[test]
    fn states_are_compared_at_one_revision_only() {
        let pair = |change: fn(&mut StatusBody)| {
            let mut pair = [told("http://a"), told("http://b")];
            change(&mut pair[1].status);
            compare(&pair).verdict
        };
        assert_eq!(pair(|_| {}), Verdict::Ok);
        assert_eq!(pair(|s| s.hash = Hash::of(b"fork")), Verdict::Failed);
        let other = |s: &mut StatusBody| {
            s.digest = serde_json::from_value(format!("{:064x}", 1).into()).unwrap();
        };
        assert_eq!(pair(other), Verdict::Failed);
        assert_eq!(pair(|s| (s.revision, s.hash) = (8, Hash::of(b"8"))), Verdict::Warning);
    }
}
