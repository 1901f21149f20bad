//! A change posted over HTTP is live in a running service; the server ends in order, and goes on where it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use headwater_tests::http::{Ask, Connection};
use headwater_tests::on_both_logs;
use headwater_tests::process::Headwater;
use headwater_tests::stand::{Log, Stand, bounded, chain, status};
use headwater_tests::{broker, load, topic};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);
/// What supervisors wait before they kill.
const DRAIN: Duration = Duration::from_secs(10);

on_both_logs! {
    async fn a_change_posted_over_http_is_swapped_into_the_handle_of_a_running_service(log) {
        let stand = Stand::start(log);
        put(&stand, "/v1/config/app/db/pool", r#"{"max_connections":10}"#).await;
        let service = stand.sdk().namespaces(["app"]).connect().await.unwrap();
        let pool = service.handle::<Value>("db/pool").unwrap();
        let limit = service.bind("db/limit").default(100_u32).validate(|limit: &u32| *limit > 0).build();
        assert_eq!((&pool.load()["max_connections"], *limit.load()), (&json!(10), 100));

        let mut changes = pool.subscribe();
        let revision = put(&stand, "/v1/config/app/db/pool", r#"{"max_connections":20}"#).await;
        tokio::time::timeout(PATIENCE, changes.changed()).await.expect("it arrives").unwrap();
        assert_eq!(pool.load()["max_connections"], 20);
        assert_eq!(pool.load().revision(), revision);

        // A value that does not pass its check changes nothing, and is told.
        let revision = put(&stand, "/v1/config/app/db/limit", "0").await;
        tokio::time::timeout(PATIENCE, service.wait_for(revision)).await.expect("in time").unwrap();
        assert_eq!(*limit.load(), 100);
        let told = service.status().handles.into_iter().find(|handle| handle.key == "db/limit");
        assert!(told.is_some_and(|handle| handle.rejected.is_some()));

        // A deletion arrives like any other change.
        let answer = stand.ask(Ask::delete("/v1/config/app/db/limit")).await.is(200);
        tokio::time::timeout(PATIENCE, service.wait_for(answer.revision())).await.expect("in time").unwrap();
        assert_eq!(*limit.load(), 100);
        assert_eq!(service.get::<u32>("db/limit").unwrap(), None);
        service.close().await;
    }

    async fn a_commit_of_1000_changes_is_seen_whole_or_not_at_all(log) {
        let stand = Stand::start(log);
        let service = stand.sdk().namespaces(["atomic"]).connect().await.unwrap();
        let (stop, watching) = (Arc::new(AtomicBool::new(false)), service.clone());
        let stopped = stop.clone();
        // A reader that looks as often as it can, while commits of 1,000 keys arrive.
        let reader = std::thread::spawn(move || {
            let mut seen = std::collections::BTreeSet::new();
            while !stopped.load(Ordering::Relaxed) {
                let view = watching.view();
                let rounds: Vec<Option<u64>> =
                    (0..1_000).step_by(111).map(|key| view.get(&format!("k{key}")).unwrap()).collect();
                assert!(rounds.windows(2).all(|pair| pair[0] == pair[1]), "torn: {rounds:?}");
                seen.insert(rounds[0]);
            }
            seen
        });
        let mut last = 0;
        for round in 1..=5 {
            let put = |key| json!({ "namespace": "atomic", "key": format!("k{key}"), "put": { "value": round } });
            let body = json!({ "changes": (0..1_000).map(put).collect::<Vec<_>>() });
            let receipt = stand.ask(Ask::post("/v1/commits", &body)).await.is(200);
            assert_eq!(receipt.json::<Value>()["changes"].as_array().map(Vec::len), Some(1_000));
            assert_eq!(receipt.revision(), round);
            last = round;
            tokio::time::timeout(PATIENCE, service.wait_for(round)).await.expect("in time").unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        let seen = reader.join().unwrap();
        assert!(seen.len() > 1, "the reader saw {seen:?} only");
        assert_eq!(service.get::<u64>("k999").unwrap(), Some(last));
        let commits = stand.chain().await;
        assert!(commits.iter().all(|commit| commit.changes.len() == 1_000));
        service.close().await;
    }

    async fn a_restart_goes_on_where_it_was(log) {
        let mut stand = Stand::start(log);
        for number in 1..=30 {
            put(&stand, &format!("/v1/config/app/k{}", number % 7), &number.to_string()).await;
        }
        stand.ask(Ask::delete("/v1/config/app/k1")).await.is(200);
        let before = stand.status().await;
        for ending in ["SIGTERM", "kill -9"] {
            if ending == "SIGTERM" {
                assert_eq!(stand.server.terminate(DRAIN), 0);
            }
            stand.server.restart();
            let after = stand.status().await;
            assert_eq!(
                (after.stream_id, after.revision, after.hash, after.digest, after.entries),
                (before.stream_id, before.revision, before.hash, before.digest, before.entries),
                "after {ending}"
            );
            stand.ask(Ask::get("/v1/config/app/k1")).await.is_problem(404, "key_not_found");
            let read = stand.ask(Ask::get("/v1/config/app/k2")).await.is(200);
            assert_eq!((read.text().as_str(), read.header("headwater-version")), ("30", "5"));
        }
        assert_eq!(put(&stand, "/v1/config/app/k1", "31").await, before.revision + 1);
        stand.chain().await;
    }

    async fn a_restart_without_its_derived_data_comes_to_the_same_state(log) {
        let mut stand = Stand::start(log);
        load::acknowledged(stand.server.host(), 8, 500, |number| {
            Ask::put(format!("/v1/config/app/k{}", number % 70), number.to_string())
        })
        .await;
        let before = stand.status().await;
        for derived in [&["replica"][..], &["store"], &["images"], &["replica", "store", "images"]] {
            assert_eq!(stand.server.terminate(DRAIN), 0);
            for folder in derived {
                std::fs::remove_dir_all(stand.data().join(folder)).unwrap();
            }
            stand.server.restart();
            let after = stand.status().await;
            assert_eq!(
                (after.revision, after.hash, after.digest),
                (before.revision, before.hash, before.digest),
                "without {derived:?}"
            );
            assert_eq!(stand.chain().await.len(), 500, "without {derived:?}");
        }
    }

    async fn sigterm_under_load_drains_and_exits_0_within_10_seconds(log) {
        let mut stand = Stand::start(log);
        let newest = Arc::new(AtomicU64::new(0));
        let service = stand.sdk().namespaces(["app"]).connect().await.unwrap();
        let writers: Vec<_> = (0..8)
            .map(|writer| tokio::spawn(write_until_refused(stand.server.host().to_owned(), writer, newest.clone())))
            .collect();
        while newest.load(Ordering::Relaxed) < 200 {
            tokio::task::yield_now().await;
        }
        let began = Instant::now();
        assert_eq!(stand.server.terminate(DRAIN), 0, "{}", stand.server.log());
        assert!(began.elapsed() < DRAIN);
        let mut acknowledged = Vec::new();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        stand.server.restart();
        let commits = stand.chain().await;
        for (revision, value) in &acknowledged {
            let commit = &commits[usize::try_from(revision - 1).unwrap()];
            let held = commit.changes[0].value.as_ref().map(|value| value.get().to_owned());
            assert_eq!(held.as_ref(), Some(value), "revision {revision}");
        }
        // Nobody was cut off without an answer: all there is was acknowledged.
        assert_eq!(commits.len(), acknowledged.len());
        service.close().await;
    }
}

/// Writes until the server goes; what was acknowledged.
async fn write_until_refused(
    host: String,
    writer: u64,
    newest: Arc<AtomicU64>,
) -> Vec<(u64, String)> {
    let mut line = Connection::open(&host).await.unwrap();
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let value = format!("\"{writer} {number}\"");
        let ask = Ask::put(format!("/v1/config/app/w{writer}"), value.clone());
        match line.send(&ask).await {
            Ok(answer) if matches!(answer.status, 200 | 201) => {
                newest.fetch_max(answer.revision(), Ordering::Relaxed);
                acknowledged.push((answer.revision(), value));
            }
            Ok(answer) => {
                answer.is_problem(503, "shutting_down");
                assert!(!answer.header("retry-after").is_empty());
                break;
            }
            // The connection was closed between two requests.
            Err(_) => break,
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_started_at_once_on_one_kafka_stream_make_one_genesis_and_one_chain() {
    let claim = async {
        let (stream, kafka) = (topic::fresh_name("twins"), broker::shared());
        let data = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let paths = [0, 1].map(|one: usize| data[one].path().display().to_string());
        let mut servers = [0, 1].map(|one: usize| {
            let flags = ["serve", "--data", &paths[one], "--kafka", kafka, "--stream", &stream];
            Headwater::start_unready(&flags, &[])
        });
        for server in &mut servers {
            server.wait_until_ready(PATIENCE);
        }
        let writes = servers.each_ref().map(|server| {
            let port = server.host().rsplit(':').next().unwrap_or_default().to_owned();
            let host = server.host().to_owned();
            async move {
                load::acknowledged(&host, 8, 500, move |number| {
                    // Half of the keys are everybody's.
                    let key =
                        if number % 2 == 0 { "shared".to_owned() } else { format!("of-{port}") };
                    Ask::put(format!("/v1/config/app/{key}/{}", number % 9), number.to_string())
                })
                .await
            }
        });
        let [one, two] = writes;
        let again = tokio::join!(one, two);
        println!("sent again, being contended: {again:?}");

        let newest =
            status(servers[0].host()).await.revision.max(status(servers[1].host()).await.revision);
        for server in &servers {
            let wait = format!("/v1/config/app/shared/0?min_revision={newest}&timeout=20s");
            headwater_tests::http::ask(server.host(), &Ask::get(wait)).await.is(200);
        }
        let [one, two] = [status(servers[0].host()).await, status(servers[1].host()).await];
        assert_eq!(one.stream_id, two.stream_id, "one genesis");
        assert_eq!((one.revision, one.hash, one.digest), (two.revision, two.hash, two.digest));
        let (theirs, others) = (chain(servers[0].host()).await, chain(servers[1].host()).await);
        assert_eq!(theirs.iter().filter(|commit| !commit.changes.is_empty()).count(), 1_000);
        assert!(theirs.iter().zip(&others).all(|(one, two)| one.hash == two.hash));
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_of_one_server_reflects_what_another_acknowledged_when_it_asks_for_it() {
    let claim = async {
        let one = Stand::start(Log::Kafka);
        let two = one.another();
        for number in 0..50 {
            let written = one.ask(Ask::put("/v1/config/app/k", number.to_string())).await;
            assert!(matches!(written.status, 200 | 201), "{}", written.text());
            let read = two.ask(Ask::get("/v1/config/app/k?consistency=linearizable")).await.is(200);
            assert_eq!(read.text(), number.to_string());
        }
        assert_eq!(one.chain().await.len(), 50, "asking leaves no commit");
    };
    bounded(claim).await;
}

async fn put(stand: &Stand, target: &str, value: &str) -> u64 {
    let answer = stand.ask(Ask::put(target, value.to_owned())).await;
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    answer.revision()
}
