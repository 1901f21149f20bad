//! A pool of PostgreSQL connections that changes while queries run.

use std::time::Duration;

use headwater_tests::example::Service;
use headwater_tests::http::{Ask, Connection};
use headwater_tests::postgres::Postgres;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::server::Server;

const NAMESPACE: &str = "payments.prod";
const KEY: &str = "db/pool";
const CLIENTS: usize = 6;

/// The key's value, by database and size.
fn pool(postgres: &Postgres, database: &str, size: u64) -> Value {
    json!({
        "database": {
            "host": "127.0.0.1", "port": postgres.port(), "name": database,
            "user": postgres.user(), "password_file": postgres.password_file(),
        },
        "max_connections": size,
        "times": { "wait_ms": 20_000 },
    })
}

fn with_times(mut pool: Value, times: Value) -> Value {
    pool["times"] = times;
    pool
}

/// Two databases with the same table, and who owns account 1 in each.
fn databases() -> Postgres {
    let postgres = Postgres::start();
    for (name, owner) in [("blue", "ada"), ("green", "grace")] {
        let table = "create table accounts (id int primary key, owner text not null)";
        postgres.database(name, &format!("{table}; insert into accounts values (1, '{owner}')"));
    }
    postgres
}

/// What the service says of its pool.
async fn told(service: &Service) -> Value {
    service.ask(Ask::get("/pool")).await.is(200).json()
}

/// Waits until the pool is as this revision says.
async fn reached(service: &Service, revision: u64) -> Value {
    let is = |pool: &Value| pool["revision"].as_u64() >= Some(revision);
    service.until(Ask::get("/pool"), |answer| is(&answer.json())).await.json()
}

/// Queries without end, short ones and long ones, none of which may fail. Gives how many there were, by database.
fn queries(host: &str, stop: &CancellationToken) -> JoinHandle<[usize; 2]> {
    let (host, stop) = (host.to_owned(), stop.clone());
    tokio::spawn(async move {
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (host, stop) = (host.clone(), stop.clone());
            clients.spawn(async move {
                let mut line = Connection::open(&host).await.expect("the service is there");
                let target = if client == 0 { "/report" } else { "/accounts/1" };
                let mut answered = [0; 2];
                while !stop.is_cancelled() {
                    let answer = line.send(&Ask::get(target)).await.expect("an answer");
                    let answer: Value = answer.is(200).json();
                    let green = answer["database"] == "green";
                    if client > 0 {
                        assert_eq!(answer["owner"], if green { "grace" } else { "ada" });
                    }
                    answered[usize::from(green)] += 1;
                }
                answered
            });
        }
        let answered = clients.join_all().await;
        answered.iter().fold([0; 2], |sum, it| [sum[0] + it[0], sum[1] + it[1]])
    })
}

fn connections(postgres: &Postgres, database: &str) -> u64 {
    let statement = format!(
        "select count(*) from pg_stat_activity where application_name = 'db-pool' and datname = '{database}'"
    );
    postgres.ask("postgres", &statement).parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_is_resized_retimed_and_moved_to_another_database_and_no_query_fails() {
    let (server, postgres) = (Server::start(), databases());
    server.put(NAMESPACE, KEY, &pool(&postgres, "blue", 2)).await;
    let service = Service::start("db-pool", &["--relay", &server.url()]);
    let stop = CancellationToken::new();
    let running = queries(service.host(), &stop);

    // A larger pool is used, a smaller one shrinks.
    let revision = server.put(NAMESPACE, KEY, &pool(&postgres, "blue", 6)).await;
    assert_eq!(reached(&service, revision).await["max_connections"], 6);
    service.until(Ask::get("/pool"), |answer| answer.json::<Value>()["connections"] == 6).await;
    let revision = server.put(NAMESPACE, KEY, &pool(&postgres, "blue", 3)).await;
    reached(&service, revision).await;
    service.until(Ask::get("/pool"), |answer| answer.json::<Value>()["connections"] == 3).await;

    // Other times cost no connection.
    let pids = || {
        let all = "select array_agg(pid order by pid) from pg_stat_activity where datname = 'blue'";
        postgres.ask("postgres", all)
    };
    let before = pids();
    let times = json!({ "wait_ms": 19_000, "connect_ms": 1_000, "statement_ms": 10_000 });
    let retimed = with_times(pool(&postgres, "blue", 3), times.clone());
    let revision = server.put(NAMESPACE, KEY, &retimed).await;
    assert_eq!(reached(&service, revision).await["times"], times);
    assert_eq!(pids(), before);

    // Another database, and the first one is let go.
    let revision = server.put(NAMESPACE, KEY, &pool(&postgres, "green", 4)).await;
    assert_eq!(reached(&service, revision).await["database"]["name"], "green");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while connections(&postgres, "blue") > 0 {
        assert!(tokio::time::Instant::now() < deadline, "connections to the old database stay");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(connections(&postgres, "green") > 0);

    stop.cancel();
    let [blue, green] = running.await.expect("no query failed");
    assert!(blue > 0 && green > 0, "{blue} queries before, {green} after:\n{}", service.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_does_not_answer_is_refused_and_the_pool_goes_on_and_times_are_kept() {
    let (server, postgres) = (Server::start(), databases());
    server.put(NAMESPACE, KEY, &pool(&postgres, "blue", 2)).await;
    let mut service = Service::start("db-pool", &["--relay", &server.url()]);
    let good = told(&service).await["revision"].clone();
    for bad in [pool(&postgres, "nowhere", 2), pool(&postgres, "blue", 0), json!("postgres://")] {
        server.put(NAMESPACE, KEY, &bad).await;
        let refused = |pool: &Value| {
            let handle = &pool["config"][0];
            handle["rejected"].is_string() || handle["hooks"].to_string().contains("nowhere")
        };
        let answer = service.until(Ask::get("/pool"), |answer| refused(&answer.json())).await;
        let told: Value = answer.json();
        assert_eq!((&told["revision"], &told["database"]["name"]), (&good, &"blue".into()));
        service.ask(Ask::get("/accounts/1")).await.is(200);
    }

    // A statement that takes longer than it may is ended by the database, and the next one runs.
    let hasty = with_times(pool(&postgres, "blue", 2), json!({ "statement_ms": 100 }));
    let revision = server.put(NAMESPACE, KEY, &hasty).await;
    reached(&service, revision).await;
    service.ask(Ask::get("/report")).await.is(503);
    service.ask(Ask::get("/accounts/1")).await.is(200);
    service.ask(Ask::get("/accounts/2")).await.is(404);
    assert!(service.log().contains("statement timeout"), "{}", service.log());
    let patient = with_times(pool(&postgres, "blue", 2), json!({ "statement_ms": 5_000 }));
    let revision = server.put(NAMESPACE, KEY, &patient).await;
    reached(&service, revision).await;
    service.ask(Ask::get("/report")).await.is(200);
    assert_eq!(service.terminate(), 0, "{}", service.log());
}
