//! Servers on Kafka that start while no broker answers: what they have is served, and they connect when it does.

use std::time::Duration;

use headwater_tests::broker::{Broker, free_port};
use headwater_tests::http::{Ask, ask};
use headwater_tests::process::Headwater;
use headwater_tests::stand::{Stand, bounded, waits_for};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn with_every_broker_dead_a_server_starts_on_its_last_good_state_and_writes_when_they_are_back()
 {
    let claim = async {
        let mut broker = Broker::start();
        let mut stand = Stand::on_broker(&broker.bootstrap());
        stand.ask(Ask::put("/v1/config/app/limit", "1")).await.is(201);
        // In order, so that the state is in its cache.
        stand.server.terminate(PATIENCE);
        broker.kill9();
        stand.server.restart_unready();
        waits_for(&stand.server, &broker.bootstrap()).await;
        let read = stand.ask(Ask::get("/v1/config/app/limit")).await;
        assert_eq!(read.is(200).text(), "1", "reads go on");
        assert_eq!(stand.status().await.phase, "stale");
        let put = stand.ask(Ask::put("/v1/config/app/limit", "2")).await;
        put.is_problem(503, "log_unavailable");
        let read = stand.ask(Ask::get("/v1/config/app/limit?consistency=linearizable")).await;
        read.is_problem(503, "log_unavailable");
        broker.begin();
        stand.server.wait_until_ready(PATIENCE);
        stand.ask(Ask::put("/v1/config/app/limit", "3")).await.is(200);
        let commits: Vec<_> =
            stand.chain().await.into_iter().map(|commit| commit.revision).collect();
        assert_eq!(commits, [1, 2], "what was refused was never written");
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_state_a_server_waits_for_its_brokers_says_so_and_ends_when_asked() {
    let claim = async {
        let data = tempfile::tempdir().unwrap();
        let nobody = format!("127.0.0.1:{}", free_port());
        let data = data.path().display().to_string();
        let mut server =
            Headwater::start_unready(&["publisher", "--data", &data, "--kafka", &nobody], &[]);
        waits_for(&server, &nobody).await;
        ask(server.host(), &Ask::get("/v1/config/app/limit")).await.is_problem(503, "not_ready");
        ask(server.host(), &Ask::put("/v1/config/app/limit", "1")).await.is(503);
        assert!(server.log().contains(&nobody), "it is logged, too: {}", server.log());
        assert_eq!(server.terminate(Duration::from_secs(10)), 0);
    };
    bounded(claim).await;
}
