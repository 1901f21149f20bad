//! Equal revision means equal hash and equal digest, in every process, however it came there.

use std::time::Duration;

use headwater_tests::broker;
use headwater_tests::http::Ask;
use headwater_tests::load;
use headwater_tests::on_both_logs;
use headwater_tests::probe::Probe;
use headwater_tests::stand::{Log, Stand};

const COMMITS: u64 = 100_000;
const CONNECTIONS: usize = 96;
const PATIENCE: Duration = Duration::from_secs(60);

on_both_logs! {
    async fn a_service_started_before_and_one_started_after_100000_commits_hold_the_same(log) {
        let stand = Stand::start(log);
        let url = stand.server.url();
        let kafka = ["--kafka", if log == Log::Kafka { broker::shared() } else { "" }, "--stream", stand.stream()];
        let relay = ["--relay", &url];
        // Through a relay always, and from Kafka itself where the log is there.
        let sources: &[&[&str]] = if log == Log::Kafka { &[&relay, &kafka] } else { &[&relay] };
        let until = COMMITS.to_string();
        let start = |source: &&[&str]| Probe::start(&[source, &["--until", &until][..]].concat());

        let mut probes: Vec<Probe> = sources.iter().map(start).collect();
        for before in &mut probes {
            let status = before.connected(PATIENCE);
            assert_eq!(status["revision"], 0, "it was there before the first commit: {status}");
        }
        load::acknowledged(stand.server.host(), CONNECTIONS, COMMITS, |number| {
            Ask::put(format!("/v1/config/bulk/k{}", number * 7 % 5_000), number.to_string())
        })
        .await;
        probes.extend(sources.iter().map(start));

        let server = stand.status().await;
        assert_eq!(server.revision, COMMITS, "a commit for each write, and none beside");
        for probe in &mut probes {
            let status = probe.reached(PATIENCE);
            let told = format!("{status}\n{server:?}");
            assert_eq!(status["revision"], COMMITS, "{told}");
            assert_eq!(status["hash"], server.hash.to_string(), "{told}");
            assert_eq!(status["digest"], server.digest.to_string(), "{told}");
            assert_eq!(status["stream_id"], server.stream_id.to_string(), "{told}");
            // The server's entries, of which one is the stream's own schema.
            assert_eq!(status["entries"], server.entries, "{told}");
        }
    }

    async fn services_that_read_some_namespaces_have_the_digest_of_those(log) {
        let stand = Stand::start(log);
        let url = stand.server.url();
        let flags = ["--relay", &url, "--namespace", "even", "--until", "400"];
        let mut before = Probe::start(&flags);
        before.connected(PATIENCE);
        load::acknowledged(stand.server.host(), 16, 400, |number| {
            let namespace = if number % 2 == 0 { "even" } else { "odd" };
            Ask::put(format!("/v1/config/{namespace}/k{}", number % 50), number.to_string())
        })
        .await;
        let mut after = Probe::start(&flags);
        let (before, after) = (before.reached(PATIENCE), after.reached(PATIENCE));
        let server = stand.status().await;
        for status in [&before, &after] {
            assert_eq!(status["revision"], 400, "{status}");
            assert_eq!(status["hash"], server.hash.to_string(), "{status}");
            assert_ne!(status["digest"], server.digest.to_string(), "it holds a part only");
        }
        assert_eq!(before["digest"], after["digest"]);
    }
}
