//! What was acknowledged stays, what was refused never shows, and a retried write lands once: over `kill -9` of the
//! server in the middle of 10,000 writes by 8 clients, five times over; and over faults of the broker.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater_api::CommitBody;
use headwater_tests::broker::Broker;
use headwater_tests::http::{Answer, Ask, Connection};
use headwater_tests::on_both_logs;
use headwater_tests::stand::{Stand, bounded};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

const WRITES: u64 = 10_000;
const CLIENTS: u64 = 8;
/// Fewer over a broker that is away for seconds.
const BROKER_WRITES: u64 = 4_000;
const PAUSE: Duration = Duration::from_secs(8);
const KILLS: u64 = 5;
/// The pause after a refusal that says so in `Retry-After`, which can only say whole seconds.
const REFUSED: Duration = Duration::from_millis(100);
/// Keys of each client.
const KEYS: u64 = 20;

on_both_logs! {
    async fn five_times_kill_9_amid_10000_writes_loses_repeats_and_invents_nothing(log) {
        let mut stand = Stand::start(log);
        for client in 0..CLIENTS {
            stand.ask(Ask::put(held(client), "0")).await.is(201);
        }
        let storm = Storm::new(stand.server.host(), WRITES);
        let fates = storm
            .run_over(KILLS, |_| {
                stand.server.kill9();
                stand.server.restart();
                storm.started_again();
            })
            .await;
        let mut commits = stand.chain().await;
        let told = assert_each_fate_is_in_the_chain(&fates, &commits);
        // Else this test shows nothing.
        assert!(told.acknowledged > WRITES * 8 / 10, "{told:?}");
        assert!(told.retried >= KILLS, "{told:?}: too few were under way when the server was killed");
        assert_the_state_is_what_was_acknowledged_last(&stand, &fates).await;

        // Twice: by the process that wrote some of them, and by one that has only read them back.
        for _ in 0..2 {
            assert_retries_are_replayed(&stand, &fates).await;
            stand.server.kill9();
            stand.server.restart();
        }
        let after = stand.chain().await;
        assert_eq!(after.len(), commits.len(), "replays make no commit");
        assert_eq!(after.last().map(|last| last.hash), commits.pop().map(|last| last.hash));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_and_a_pause_of_the_broker_amid_writes_lose_repeat_and_invent_nothing() {
    let claim = async {
        let mut broker = Broker::start();
        let bootstrap = broker.bootstrap();
        let mut stand = Stand::on_broker(&bootstrap);
        for client in 0..CLIENTS {
            stand.ask(Ask::put(held(client), "0")).await.is(201);
        }
        let storm = Storm::new(stand.server.host(), BROKER_WRITES);
        let faults = |number| {
            if number == 2 {
                // Longer than the appends' own time: their outcome is open.
                broker.pause();
                std::thread::sleep(PAUSE);
                broker.resume();
            } else {
                broker.kill9();
                broker.restart();
            }
        };
        let fates = storm.run_over(3, faults).await;
        await_writable(&stand).await;
        let commits = stand.chain().await;
        let told = assert_each_fate_is_in_the_chain(&fates, &commits);
        assert!(told.acknowledged > BROKER_WRITES / 3, "{told:?}");
        assert!(told.refused > 0, "{told:?}: the faults were not felt");
        stand.server.kill9();
        stand.server.restart();
        assert_retries_are_replayed(&stand, &fates).await;
    };
    bounded(claim).await;
}

/// Writes go on by themselves once the broker is back.
async fn await_writable(stand: &Stand) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let answer = stand.ask(Ask::put("/v1/config/after/k", "0")).await;
        if matches!(answer.status, 200 | 201) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{}", answer.text());
        tokio::time::sleep(REFUSED).await;
    }
}

/// A key that is always there.
fn held(client: u64) -> String {
    format!("/v1/config/held/c{client}")
}

/// One write: what is asked, by number. Its value is its number.
fn write(client: u64, number: u64) -> Ask {
    let value = json!({ "op": number });
    let ask = match number % 10 {
        // A batch of three keys.
        5 => {
            let change = |key: &str| json!({ "namespace": "batch", "key": format!("c{client}/{key}"), "put": { "value": value } });
            let reason = json!("a batch");
            Ask::post(
                "/v1/commits",
                &json!({ "changes": [change("a"), change("b"), change("c")], "reason": reason }),
            )
        }
        // One that must be refused: the key is there.
        9 => Ask::put(held(client), value.to_string()).header("If-None-Match", "*"),
        _ => Ask::put(
            format!("/v1/config/single/c{client}/k{}", number / 10 % KEYS),
            value.to_string(),
        ),
    };
    ask.keyed(format!("write-{number}"))
}

/// What became of a write.
#[derive(Debug)]
enum Fate {
    /// It was acknowledged with this answer, after so many tries without one.
    Acknowledged { answer: Answer, unanswered: u32 },
    /// It was refused for good, or given up after a refusal that says that nothing was done.
    Refused,
}

#[derive(Debug)]
struct Landed {
    client: u64,
    number: u64,
    fate: Fate,
}

/// The clients, and what they share.
#[derive(Clone)]
struct Storm {
    host: String,
    writes: u64,
    next: Arc<AtomicU64>,
    /// How many writes have their fate.
    done: Arc<watch::Sender<u64>>,
    /// How many times the server was started again.
    starts: Arc<watch::Sender<u64>>,
}

impl Storm {
    fn new(host: &str, writes: u64) -> Self {
        let next = Arc::new(AtomicU64::new(0));
        let (done, starts) = (watch::Sender::new(0), watch::Sender::new(0));
        Self { host: host.to_owned(), writes, next, done: Arc::new(done), starts: Arc::new(starts) }
    }

    /// Lets the clients write, with so many faults spread over the writes.
    async fn run_over(&self, faults: u64, mut fault: impl FnMut(u64)) -> Vec<Landed> {
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(self.clone().client(client));
        }
        let mut done = self.done.subscribe();
        for number in 1..=faults {
            let due = self.writes * number / (faults + 1);
            done.wait_for(|done| *done >= due).await.unwrap();
            fault(number);
        }
        let fates: Vec<Landed> = clients.join_all().await.into_iter().flatten().collect();
        assert_eq!(fates.len() as u64, self.writes);
        fates
    }

    /// The server is there again.
    fn started_again(&self) {
        self.starts.send_modify(|starts| *starts += 1);
    }

    async fn client(self, client: u64) -> Vec<Landed> {
        let (mut fates, mut line) = (Vec::new(), None);
        let mut newest = 0;
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.writes {
                return fates;
            }
            let fate = self.decide(&write(client, number), &mut line).await;
            if let Fate::Acknowledged { answer, .. } = &fate {
                let revision = answer.revision();
                assert!(revision > newest, "{revision} was acknowledged after {newest}");
                newest = revision;
            }
            fates.push(Landed { client, number, fate });
            self.done.send_modify(|done| *done += 1);
        }
    }

    /// Asks until there is an answer that decides.
    async fn decide(&self, ask: &Ask, line: &mut Option<(u64, Connection)>) -> Fate {
        let mut unanswered = 0;
        loop {
            let start = *self.starts.borrow();
            match self.ask(ask, line, start).await {
                Some(answer) => match answer.status {
                    200 | 201 => return Fate::Acknowledged { answer, unanswered },
                    412 => return Fate::Refused,
                    // Nothing was done: this one is never sent again, and the next one a moment later.
                    429 | 503 => {
                        tokio::time::sleep(REFUSED).await;
                        return Fate::Refused;
                    }
                    // Its outcome is not known, or it is still under way: the same again.
                    409 | 504 => unanswered += 1,
                    _ => panic!("{ask:?}: {}", answer.text()),
                },
                None => {
                    unanswered += 1;
                    *line = None;
                    self.starts.subscribe().wait_for(|starts| *starts > start).await.unwrap();
                }
            }
        }
    }

    /// Asks the server as started for the `start`th time; none when it is gone.
    async fn ask(
        &self,
        ask: &Ask,
        line: &mut Option<(u64, Connection)>,
        start: u64,
    ) -> Option<Answer> {
        if line.as_ref().is_none_or(|(of, _)| *of != start) {
            *line = Some((start, Connection::open(&self.host).await.ok()?));
        }
        line.as_mut()?.1.send(ask).await.ok()
    }
}

/// The numbers of the writes whose values a commit holds.
fn numbers(commit: &CommitBody) -> Vec<u64> {
    let value = |value: &str| serde_json::from_str::<serde_json::Value>(value).unwrap();
    let values = commit.changes.iter().filter_map(|change| change.value.as_ref());
    values.filter_map(|json| value(json.get())["op"].as_u64()).collect()
}

/// What a storm came to.
#[derive(Debug, Default)]
struct Told {
    acknowledged: u64,
    /// Those of them that were sent more than once.
    retried: u64,
    refused: u64,
}

fn assert_each_fate_is_in_the_chain(fates: &[Landed], commits: &[CommitBody]) -> Told {
    let mut revisions: HashMap<u64, Vec<u64>> = HashMap::new();
    for commit in commits {
        let mut numbers = numbers(commit);
        assert!(matches!(numbers.len(), 0 | 1 | 3), "{commit:?} is torn");
        numbers.dedup();
        assert!(numbers.len() <= 1, "{commit:?} is a mixture");
        if let Some(number) = numbers.first() {
            revisions.entry(*number).or_default().push(commit.revision);
        }
    }
    let mut told = Told::default();
    for Landed { number, fate, .. } in fates {
        let found = revisions.remove(number).unwrap_or_default();
        match fate {
            Fate::Refused => {
                assert!(found.is_empty(), "the refused write {number} shows");
                told.refused += 1;
            }
            Fate::Acknowledged { answer, unanswered } => {
                let revision = answer.revision();
                assert_eq!(found, [revision], "write {number}, acknowledged at {revision}");
                let commit = &commits[usize::try_from(revision - 1).unwrap()];
                let receipt: serde_json::Value = answer.json();
                assert_eq!(receipt["hash"], commit.hash.to_string(), "revision {revision}");
                assert_eq!(receipt["commit_id"], commit.commit_id.to_string());
                let changes = if number % 10 == 5 { 3 } else { 1 };
                assert_eq!(commit.changes.len(), changes, "write {number} is whole");
                told.acknowledged += 1;
                told.retried += u64::from(*unanswered > 0);
            }
        }
    }
    assert!(revisions.is_empty(), "nobody asked for {revisions:?}");
    told
}

async fn assert_the_state_is_what_was_acknowledged_last(stand: &Stand, fates: &[Landed]) {
    let mut last: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for Landed { client, number, fate } in fates {
        let Fate::Acknowledged { answer, .. } = fate else { continue };
        let receipt: serde_json::Value = answer.json();
        let revision = answer.revision();
        for change in receipt["changes"].as_array().unwrap() {
            let (namespace, key) = (change["namespace"].as_str().unwrap(), &change["key"]);
            let key = key.as_str().unwrap();
            assert!(key.starts_with(&format!("c{client}/")), "{key} is not client {client}'s");
            let newest = last.entry(format!("/v1/config/{namespace}/{key}")).or_default();
            *newest = (*newest).max((revision, *number));
        }
    }
    assert_eq!(last.len() as u64, CLIENTS * (KEYS + 3), "every key was written");
    let mut line = stand.connect().await.unwrap();
    for (target, (revision, number)) in last {
        let answer = line.send(&Ask::get(&target)).await.unwrap().is(200);
        assert_eq!(answer.header("etag"), format!("\"{revision}\""), "{target}");
        assert_eq!(answer.text(), json!({ "op": number }).to_string(), "{target}");
    }
    for client in 0..CLIENTS {
        let answer = line.send(&Ask::get(held(client))).await.unwrap().is(200);
        assert_eq!(answer.text(), "0", "a refused write changed {}", held(client));
    }
}

/// Sends every write that was ever retried again, and a sample of the others.
async fn assert_retries_are_replayed(stand: &Stand, fates: &[Landed]) {
    let mut line = stand.connect().await.unwrap();
    for Landed { client, number, fate } in fates {
        let Fate::Acknowledged { answer: first, unanswered } = fate else { continue };
        if *unanswered == 0 && number % 37 != 0 {
            continue;
        }
        let again = line.send(&write(*client, *number)).await.unwrap();
        assert_eq!(again.status, first.status, "write {number}: {}", again.text());
        assert_eq!(again.body, first.body, "write {number}");
        assert_eq!(again.header("idempotent-replayed"), "true", "write {number}");
    }
}
