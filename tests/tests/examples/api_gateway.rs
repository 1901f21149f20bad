//! A gateway of 529 routes, which change 50 times a second while it is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_api::CommitBody;
use headwater_tests::example::{Example, Service};
use headwater_tests::http::{Answer, Ask, Connection};
use headwater_tests::stand::chain;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::server::{Server, data};

const NAMESPACE: &str = "api.gateway";
const ROUTES: u64 = 529;
/// How many of them match what another one matches.
const SHADOWED: u64 = 50;
const SEED: u64 = 529;
/// How often the table changes, and how many times.
const PACE: Duration = Duration::from_millis(20);
const CHANGES: usize = 250;
/// How many routes change with each commit.
const AT_ONCE: usize = 3;
/// How many of the routes change, and are asked for, so that each does often.
const WATCHED: usize = 40;
const CLIENTS: usize = 4;

/// A route, as it stands in the configuration.
#[derive(Debug, Clone, Deserialize)]
struct Route {
    method: String,
    path: String,
    upstream: String,
}

impl Route {
    fn at(&self, upstream: &str) -> Value {
        json!({ "method": self.method, "path": self.path, "upstream": upstream })
    }

    /// Its path with something in place of every parameter.
    fn example(&self) -> String {
        let fill = |segment: &str| match segment.strip_prefix('{') {
            Some(name) if name.starts_with('*') => "any/thing".to_owned(),
            Some(_) => "something".to_owned(),
            None => segment.to_owned(),
        };
        self.path.split('/').map(fill).collect::<Vec<_>>().join("/")
    }

    /// Whether it matches the other one's request, too.
    fn answers(&self, other: &Self) -> bool {
        let request = other.example();
        let (mut asked, mut path) = (request.split('/'), self.path.split('/'));
        let same = loop {
            match (path.next(), asked.next()) {
                (None, None) => break true,
                (Some(rest), Some(_)) if rest.starts_with("{*") => break true,
                (Some(pattern), Some(segment))
                    if pattern.starts_with('{') || pattern == segment => {}
                _ => break false,
            }
        };
        same && self.method == other.method
    }
}

/// Two upstreams, blue and green, and every service behind blue.
struct Field {
    server: Server,
    _upstreams: [Example; 2],
    routes: BTreeMap<String, Route>,
}

impl Field {
    async fn start() -> Self {
        let server = Server::start();
        let text = std::fs::read_to_string(data("routes.json")).expect("the routes");
        let routes: BTreeMap<String, Route> = serde_json::from_str(&text).expect("routes");
        assert_eq!(routes.len() as u64, ROUTES);
        let mut upstreams = BTreeMap::new();
        let started = ["blue", "green"].map(|name| {
            let address = format!("127.0.0.1:{}", headwater_tests::broker::free_port());
            upstreams.insert(name.to_owned(), address.clone());
            Example::start("api-gateway-upstream", &["--name", name, "--listen", &address])
        });
        let blue = upstreams["blue"].clone();
        upstreams.extend(routes.values().map(|route| (route.upstream.clone(), blue.clone())));
        let keys: Vec<(String, Value)> = upstreams
            .iter()
            .map(|(name, address)| (format!("upstreams/{name}"), json!({ "address": address })))
            .collect();
        let puts: Vec<_> = keys
            .iter()
            .map(|(key, value)| (NAMESPACE, key.as_str(), Some(value.clone())))
            .collect();
        server.commit(&puts).await;
        server.run(&["import", NAMESPACE, &data("routes.json")]);
        let field = Self { server, _upstreams: started, routes };
        for address in [&upstreams["blue"], &upstreams["green"]] {
            while Connection::open(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        field
    }

    fn gateway(&self) -> Service {
        Service::start("api-gateway", &["--relay", &self.server.url()])
    }

    /// Some routes whose requests no other one matches: while one is gone, nobody answers.
    fn watched(&self, rng: &mut StdRng) -> Vec<(String, Route)> {
        let alone: Vec<(&String, &Route)> = self
            .routes
            .iter()
            .filter(|(_, route)| self.routes.values().filter(|it| it.answers(route)).count() == 1)
            .collect();
        let chosen = alone.sample(rng, WATCHED);
        chosen.map(|(key, route)| ((*key).clone(), (*route).clone())).collect()
    }
}

/// What a route's key said, revision by revision.
struct History(BTreeMap<String, BTreeMap<u64, Option<String>>>);

impl History {
    fn of(commits: &[CommitBody]) -> Self {
        let mut keys: BTreeMap<String, BTreeMap<u64, Option<String>>> = BTreeMap::new();
        for commit in commits {
            let commit = serde_json::to_value(commit).expect("JSON");
            let revision = commit["revision"].as_u64().expect("a revision");
            for change in commit["changes"].as_array().expect("changes") {
                let key = change["key"].as_str().expect("a key").to_owned();
                let upstream = change["value"]["upstream"].as_str().map(str::to_owned);
                keys.entry(key).or_default().insert(revision, upstream);
            }
        }
        Self(keys)
    }

    /// Which upstream a route had at a revision; none when it was not there.
    fn upstream(&self, key: &str, at: u64) -> Option<&str> {
        self.0[key].range(..=at).next_back().and_then(|(_, upstream)| upstream.as_deref())
    }
}

/// One answer of the gateway.
struct Told {
    key: String,
    revision: u64,
    /// Who answered; none where no route matched.
    upstream: Option<String>,
}

impl Told {
    fn of(key: &str, answer: &Answer) -> Self {
        assert!(matches!(answer.status, 200 | 404), "{key}: {} {}", answer.status, answer.text());
        let revision = answer.header("gateway-revision").parse().expect("a revision");
        let body: Value = answer.json();
        Self { key: key.to_owned(), revision, upstream: body["upstream"].as_str().map(Into::into) }
    }
}

/// Asks for these routes without end, each of them as often as another.
async fn ask_on(host: String, routes: Vec<(String, Route)>, stop: CancellationToken) -> Vec<Told> {
    let mut line = Connection::open(&host).await.expect("the gateway is there");
    let (mut told, mut seen) = (Vec::new(), 0);
    for (key, route) in routes.iter().cycle() {
        if stop.is_cancelled() {
            break;
        }
        let request = Ask::new(&route.method, route.example());
        let answer = line.send(&request).await.expect("the gateway answers every request");
        let answer = Told::of(key, &answer);
        assert!(answer.revision >= seen, "a connection is never shown an older table");
        seen = answer.revision;
        told.push(answer);
    }
    told
}

/// Changes some of the routes with every commit: moves them to and fro, takes them away, puts them back.
async fn change_on(server: &Server, routes: &[(String, Route)], rng: &mut StdRng) -> u64 {
    let mut pace = tokio::time::interval(PACE);
    let (mut revision, mut absent) = (0, Vec::<&String>::new());
    for _ in 0..CHANGES {
        pace.tick().await;
        let mut changes = Vec::new();
        for (key, route) in routes.sample(rng, AT_ONCE) {
            let there = !absent.contains(&key);
            let value = if there && rng.random_ratio(1, 5) {
                absent.push(key);
                None
            } else {
                absent.retain(|it| *it != key);
                Some(route.at(if rng.random() { "blue" } else { "green" }))
            };
            changes.push((NAMESPACE, key.as_str(), value));
        }
        revision = server.commit(&changes).await;
    }
    revision
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_change_fifty_times_a_second_and_every_answer_is_of_one_whole_table() {
    let field = Field::start().await;
    let gateway = field.gateway();
    let status: Value = gateway.ask(Ask::get("/-/status")).await.is(200).json();
    let counted = (&status["routes"], &status["shadowed"]);
    assert_eq!(counted, (&(ROUTES - SHADOWED).into(), &SHADOWED.into()));

    let mut rng = StdRng::seed_from_u64(SEED);
    let watched = field.watched(&mut rng);
    let stop = CancellationToken::new();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let mut routes = watched.clone();
        routes.rotate_left(client * WATCHED / CLIENTS);
        clients.spawn(ask_on(gateway.host().to_owned(), routes, stop.clone()));
    }
    let last = change_on(&field.server, &watched, &mut rng).await;
    let is_last = |answer: &Answer| answer.json::<Value>()["revision"] == last;
    gateway.until(Ask::get("/-/status"), is_last).await;
    stop.cancel();
    let told: Vec<Told> = clients.join_all().await.into_iter().flatten().collect();

    let history = History::of(&chain(field.server.process.host()).await);
    for answer in &told {
        let said = history.upstream(&answer.key, answer.revision);
        // At first every service is behind blue.
        let wanted = said.map(|it| if it == "green" { "green" } else { "blue" });
        let Told { key, revision, upstream } = answer;
        assert_eq!(upstream.as_deref(), wanted, "{key} at revision {revision}, seed {SEED}");
    }
    let mut revisions: Vec<u64> = told.iter().map(|it| it.revision).collect();
    revisions.sort_unstable();
    revisions.dedup();
    assert!(revisions.len() > CHANGES / 4, "only {} tables were asked", revisions.len());
    assert!(told.iter().any(|it| it.upstream.is_none()), "a route that is gone was asked for");
    println!("{} requests, {} tables, none wrong", told.len(), revisions.len());
}

#[tokio::test]
async fn one_bad_route_holds_back_the_table_and_is_told_by_name_until_it_is_mended() {
    let field = Field::start().await;
    let mut gateway = field.gateway();
    let put = |key: &'static str, upstream: &'static str, path: &'static str| {
        let value = json!({ "method": "GET", "path": path, "upstream": upstream });
        (NAMESPACE, key, Some(value))
    };
    let status = || Ask::get("/-/status");
    let before: Value = gateway.ask(status()).await.json();
    for bad in [
        put("routes/new", "nobody", "/new"),
        put("routes/new", "blue", "/new/{half"),
        (NAMESPACE, "routes/new", Some(json!({ "method": "GET" }))),
    ] {
        let other = put("routes/other", "green", "/other");
        let revision = field.server.commit(&[bad, other]).await;
        let by_name = format!("routes/new at revision {revision}");
        let rejected = |answer: &Answer| answer.text().contains(&by_name);
        let told: Value = gateway.until(status(), rejected).await.json();
        assert_eq!(told["revision"], before["revision"], "the table before stays: {told}");
        gateway.ask(Ask::get("/other")).await.is(404);
    }
    let revision = field.server.commit(&[put("routes/new", "blue", "/new/{name}")]).await;
    let mended = |answer: &Answer| answer.json::<Value>()["revision"] == revision;
    let told: Value = gateway.until(status(), mended).await.json();
    assert!(told["rejected"].is_null(), "{told}");
    for (path, upstream) in [("/new/you?a=b", "blue"), ("/other", "green")] {
        let answer = gateway.ask(Ask::get(path)).await.is(200);
        assert_eq!(answer.json::<Value>()["upstream"], upstream);
    }
    // An upstream that is needed cannot be taken away; one that is gone is a bad gateway.
    field.server.commit(&[(NAMESPACE, "upstreams/green", None)]).await;
    gateway.until(status(), |answer| answer.text().contains("routes/other")).await;
    gateway.ask(Ask::get("/other")).await.is(200);
    let gone = json!({ "address": "127.0.0.1:1" });
    field.server.commit(&[(NAMESPACE, "upstreams/green", Some(gone))]).await;
    gateway.until(Ask::get("/other"), |answer| answer.status == 502).await;
    assert_eq!(gateway.terminate(), 0, "{}", gateway.log());
}
