//! The demo on the cluster: a gateway answers all the time while one broker, one publisher and one snapshotter are killed
//! in turn.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater_tests::broker::free_port;
use headwater_tests::field::Field;
use headwater_tests::http::{Ask, Connection};
use headwater_tests::process::{Headwater, binary};
use headwater_tests::storm::Storm;
use tokio_util::sync::CancellationToken;

use crate::in_turn;

const PATIENCE: Duration = Duration::from_secs(60);
/// How long each stays away, and how long it is back before the next one goes.
const AWAY: Duration = Duration::from_secs(4);

/// The example's gateway, following every server of a field. Dropped: gone.
struct Gateway {
    process: Child,
    host: String,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Gateway {
    async fn start(field: &Field) -> Self {
        let host = format!("127.0.0.1:{}", free_port());
        let servers = field.snapshotters.iter().chain(&field.publishers);
        let relays: Vec<String> = servers.map(Headwater::url).collect();
        let process = Command::new(binary().with_file_name("llm-gateway"))
            .args(["--relay", &relays.join(","), "--listen", &host])
            .stderr(Stdio::null())
            .spawn()
            .expect("`make build` builds the gateway, too");
        let gateway = Self { process, host };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while Connection::open(&gateway.host).await.is_err() {
            assert!(tokio::time::Instant::now() < deadline, "the gateway does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        gateway
    }

    async fn price(&self, model: &str) -> String {
        let mut line = Connection::open(&self.host).await.expect("the gateway is there");
        let answer = line.send(&Ask::get(format!("/models/{model}"))).await.expect("an answer");
        answer.is(200).text()
    }

    /// Asks for a model without end; gives how often it was answered.
    fn asked_until(
        &self,
        stop: CancellationToken,
    ) -> (Arc<AtomicU64>, tokio::task::JoinHandle<()>) {
        let (host, answered) = (self.host.clone(), Arc::new(AtomicU64::new(0)));
        let count = answered.clone();
        let asking = tokio::spawn(async move {
            let mut line = Connection::open(&host).await.expect("the gateway is there");
            while !stop.is_cancelled() {
                let answer = line.send(&Ask::get("/models/gpt-4o")).await;
                answer.expect("the gateway answers every request").is(200);
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        (answered, asking)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_fails_no_request_while_a_broker_a_publisher_and_a_snapshotter_are_killed_in_turn()
 {
    in_turn(async |cluster| {
        let mut field = cluster.field(2, 2);
        let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/models.json");
        let url = field.publishers[0].url();
        let (code, said) =
            headwater_tests::field::headwater(&["import", "llm.models", models, "--server", &url]);
        assert_eq!(code, 0, "{said}");
        let gateway = Gateway::start(&field).await;
        let stop = CancellationToken::new();
        let (answered, asking) = gateway.asked_until(stop.clone());
        let storm = Storm::on(&field.hosts(), 2);

        tokio::time::sleep(Duration::from_secs(2)).await;
        let leader = cluster.leader(&field.topic()).expect("a leader");
        cluster.node(leader).kill9();
        tokio::time::sleep(AWAY).await;
        tokio::task::block_in_place(|| cluster.heal());
        tokio::time::sleep(AWAY).await;
        field.publishers[0].kill9();
        tokio::time::sleep(AWAY).await;
        tokio::task::block_in_place(|| field.publishers[0].restart());
        tokio::time::sleep(AWAY).await;
        field.snapshotters[0].kill9();
        tokio::time::sleep(AWAY).await;
        tokio::task::block_in_place(|| field.snapshotters[0].restart());

        // A price that changes now is in the gateway's next answers.
        let price = r#"{"provider": "p", "mode": "chat", "context": {"input": 8, "output": null}, "prices": {"input_cost_per_token": 7.5}}"#;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let put = Ask::put("/v1/config/llm.models/gpt-4o", price);
            let answer = field.ask(1, put.header("Content-Type", "application/json")).await;
            if answer.status == 200 {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "{}", answer.text());
        }
        while !gateway.price("gpt-4o").await.contains("7.5") {
            assert!(tokio::time::Instant::now() < deadline, "the gateway stands still");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
        asking.await.expect("no request of the gateway failed");
        assert!(answered.load(Ordering::Relaxed) > 1_000, "it was asked all the time");
        let fates = storm.end().await;
        field.agreed().await;
        // No acknowledged write is lost, and there is one dense chain.
        fates.assert_told_truly(&field.chain().await);
    })
    .await;
}
