//! The rows of "Read" about what was: `at`, history, diff, commits, single commits.

use headwater_api::{CommitBody, Value as Shown, header};
use headwater_client::Client;
use headwater_replica::RemoteHistory;
use headwater_replica::history_conformance::{Dice, Model, conforms};
use headwater_schemas::{Change, Hash};
use headwater_tests::http::{Answer, Ask};
use headwater_tests::on_both_logs;
use headwater_tests::stand::Stand;
use serde_json::{Value, json};
use std::time::Duration;

use crate::{Desk, commit};

const PATIENCE: Duration = Duration::from_secs(30);

/// A change as `POST /v1/commits` takes it.
fn posted(change: &Change) -> Value {
    let (namespace, key) = (change.namespace().as_str(), change.key().as_str());
    match change {
        Change::Delete { .. } => json!({ "namespace": namespace, "key": key, "delete": true }),
        Change::Put { content_type, value, .. } => {
            let Shown { value, value_base64 } = Shown::show(content_type, value);
            let mut put = json!({ "content_type": &**content_type });
            match (value, value_base64) {
                (Some(value), _) => put["value"] = serde_json::from_str(value.get()).unwrap(),
                (_, base64) => put["value_base64"] = json!(base64),
            }
            json!({ "namespace": namespace, "key": key, "put": put })
        }
    }
}

/// Writes the random commits that have changes: only the system makes others.
async fn write(stand: &Stand, dice: &mut Dice) {
    for (actor, changes) in dice.commits(60) {
        if changes.is_empty() {
            continue;
        }
        let changes: Vec<_> = changes.iter().map(posted).collect();
        let body = json!({ "changes": changes, "actor": actor, "reason": "because" });
        let _ = stand.ask(Ask::post("/v1/commits", &body)).await.is(200);
    }
}

/// The model of the whole log, as the server's records tell it.
async fn model(stand: &Stand) -> Model {
    let client = Client::builder().server(stand.server.url()).build().unwrap();
    let mut records = Vec::new();
    for revision in 0..=stand.status().await.revision {
        records.push(client.record_at(revision).await.unwrap());
    }
    Model::of(records)
}

impl Desk {
    async fn json(&self, target: &str) -> Value {
        self.told(target).await.is(200).json()
    }

    /// Asks for `target`, in which `~` stands for the namespace: a cursor may hold any letters, but no `~`.
    async fn told(&self, target: &str) -> Answer {
        self.ask(Ask::get(target.replace('~', &self.namespace))).await
    }

    /// Puts 1, puts 2, deletes, puts 4: the four revisions.
    async fn story(&self) -> [u64; 4] {
        let one = self.put("k", "1").await;
        let two = self.put("k", "2").await;
        let gone = self.ask(Ask::delete(self.path("k"))).await.is(200).revision();
        [one, two, gone, self.put("k", "4").await]
    }

    async fn time_of(&self, revision: u64) -> String {
        self.json(&format!("/v1/commits/{revision}")).await["at"].as_str().unwrap().to_owned()
    }
}

fn numbers(page: &Value, list: &str) -> Vec<u64> {
    page[list].as_array().unwrap().iter().map(|one| one["revision"].as_u64().unwrap()).collect()
}

on_both_logs! {
    async fn every_read_of_the_past_answers_as_a_naive_model_of_the_log_before_and_after_a_restart(log) {
        let (mut stand, mut dice) = (Stand::start(log), Dice::new(7));
        write(&stand, &mut dice).await;
        let asked = RemoteHistory::new(&stand.server.url()).unwrap();
        let model = model(&stand).await;
        conforms(&asked, &model, &mut dice).await;
        // Now the tail is empty, and everything comes out of the rows.
        assert_eq!(stand.server.terminate(PATIENCE), 0);
        stand.server.restart();
        conforms(&asked, &model, &mut dice).await;
    }

    async fn a_value_at_a_revision_or_time_is_as_it_was_then(log) {
        let desk = Desk::on(log);
        let [one, two, gone, four] = desk.story().await;
        for (revision, wanted) in [(one, "1"), (two, "2"), (four, "4")] {
            let answer = desk.get(&format!("k?at={revision}")).await.is(200);
            assert_eq!(answer.text(), wanted);
            assert_eq!(answer.header("etag"), format!("\"{revision}\""));
            assert_eq!(answer.header("headwater-revision"), revision.to_string());
            let same = Ask::get(desk.path(&format!("k?at={revision}"))).header("If-None-Match", format!("\"{revision}\""));
            let _ = desk.ask(same).await.is(304);
        }
        let absent = desk.get(&format!("k?at={gone}")).await;
        absent.is_problem(404, "key_not_found");
        assert_eq!(absent.header("headwater-revision"), gone.to_string());
        // Others write, too: the state of that time is of this commit or a later one of the same millisecond.
        let time = desk.time_of(four).await;
        assert_eq!(desk.get(&format!("k?at={time}")).await.is(200).text(), "4");
        desk.get("k?at=1970-01-01T00:00:00.000Z").await.is_problem(404, "key_not_found");
        desk.get("k?at=0").await.is_problem(404, "key_not_found");
    }

    async fn every_answer_of_the_past_names_the_revision_of_its_state(log) {
        let desk = Desk::on(log);
        let [one, two, gone, four] = desk.story().await;
        let stream = desk.stand.status().await.stream_id.to_string();
        let value = |at: u64| desk.path(&format!("k?at={at}"));
        let list = |at: u64| format!("/v1/config/{}?at={at}", desk.namespace);
        let entry = "application/vnd.headwater.entry+json";
        for (ask, status, at) in [
            (Ask::get(value(one)), 200, one), (Ask::new("HEAD", value(two)), 200, two), (Ask::get(value(one)).header("Accept", entry), 200, one),
            (Ask::get(value(gone)), 404, gone), (Ask::new("HEAD", value(gone)), 404, gone), (Ask::get(value(0)), 404, 0),
            (Ask::get(value(one)).header("If-None-Match", format!("\"{one}\"")), 304, one),
            (Ask::get(value(one)).header("If-Match", "\"0\""), 412, one),
            (Ask::get(list(gone)), 200, gone), (Ask::get(list(0)), 200, 0), (Ask::get(list(two)).header("If-None-Match", "*"), 304, two),
            (Ask::get(format!("/v1/diff/{}?from={four}&to={two}", desk.namespace)), 200, two),
        ] {
            let answer = desk.ask(ask.clone()).await.is(status);
            assert_eq!((answer.header("headwater-revision"), answer.header("headwater-stream")), (&*at.to_string(), &*stream), "{ask:?}");
        }
        // Not the key's own revision.
        let later = Desk::on(log).put("k", "1").await;
        assert_eq!(desk.get(&format!("k?at={later}")).await.is(200).header("headwater-revision"), later.to_string());
        assert_eq!(desk.get(&format!("k?at={later}")).await.header("etag"), format!("\"{four}\""));
        let future = desk.get(&format!("k?at={}", later + 1_000_000)).await;
        future.is_problem(404, "revision_in_future");
        assert!(future.header("headwater-revision").parse::<u64>().unwrap() >= later);
    }

    async fn a_list_at_a_revision_shows_that_state_on_every_page(log) {
        let desk = Desk::on(log);
        let changes: Vec<_> = (0..5).map(|n| desk.change(&format!("k{n}"), &json!(n))).collect();
        let then = desk.ask(commit(&changes)).await.is(200).revision();
        desk.put("k9", "9").await;
        let _ = desk.ask(Ask::delete(desk.path("k3"))).await.is(200);
        let (mut seen, mut next) = (Vec::new(), Some(String::new()));
        while let Some(cursor) = next {
            let page = desk.json(&format!("/v1/config/~?at={then}&limit=2&cursor={cursor}")).await;
            assert_eq!(page["revision"], then);
            seen.extend(page["entries"].as_array().unwrap().iter().map(|entry| entry["value"].clone()));
            next = page["next"].as_str().map(str::to_owned);
            desk.put("k0", "100").await;
        }
        assert_eq!(seen, (0..5).map(|n| json!(n)).collect::<Vec<_>>());
        let listed = desk.told(&format!("/v1/config/~?at={then}")).await.is(200);
        let again = Ask::get(format!("/v1/config/{}?at={then}", desk.namespace)).header("If-None-Match", listed.header("etag"));
        let _ = desk.ask(again).await.is(304);
    }

    async fn the_history_of_a_key_tells_each_version_newest_first(log) {
        let desk = Desk::on(log);
        let [one, two, gone, four] = desk.story().await;
        let page = desk.json("/v1/history/~/k").await;
        assert_eq!(numbers(&page, "versions"), [four, gone, two, one]);
        let ops: Vec<_> = page["versions"].as_array().unwrap().iter().map(|version| version["op"].clone()).collect();
        assert_eq!(ops, ["put", "delete", "put", "put"].map(|op| json!(op)));
        let (newest, deletion) = (&page["versions"][0], &page["versions"][1]);
        assert_eq!((&newest["value"], &newest["version"], &newest["actor"]), (&json!(4), &json!(1), &json!("anonymous")));
        assert!(deletion.get("value").is_none() && deletion.get("version").is_none(), "{deletion}");
        let first = desk.json("/v1/history/~/k?limit=3").await;
        let rest = format!("/v1/history/~/k?limit=3&cursor={}", first["next"].as_str().unwrap());
        assert_eq!(numbers(&desk.json(&rest).await, "versions"), [one]);
        desk.told("/v1/history/~/never").await.is_problem(404, "key_not_found");
        desk.told("/v1/history/_schemas/k").await.is_problem(403, "reserved_namespace");
    }

    async fn a_diff_tells_what_became_of_each_key_in_either_order(log) {
        let desk = Desk::on(log);
        let [one, two, gone, four] = desk.story().await;
        for (from, to, kind) in [
            (one, two, "changed"), (two, gone, "removed"), (gone, two, "added"), (gone, four, "added"), (0, one, "added"),
        ] {
            let page = desk.json(&format!("/v1/diff/~?from={from}&to={to}")).await;
            assert_eq!((&page["from"], &page["to"], &page["next"]), (&json!(from), &json!(to), &Value::Null));
            assert_eq!((&page["changes"][0]["key"], &page["changes"][0]["kind"]), (&json!("k"), &json!(kind)), "{from} {to}");
        }
        let since = desk.json(&format!("/v1/diff/~?from={two}")).await;
        assert_eq!((&since["changes"][0]["old"]["value"], &since["changes"][0]["new"]["value"]), (&json!(2), &json!(4)));
        assert_eq!(desk.json(&format!("/v1/diff/~?from={four}")).await["changes"], json!([]));
        desk.told("/v1/diff/~").await.is_problem(400, "invalid_request");
        desk.told("/v1/diff/~?from=18446744073709551615").await.is_problem(404, "revision_in_future");
    }

    async fn commits_are_filtered_by_every_parameter_in_either_order(log) {
        let desk = Desk::on(log);
        let [one, two, gone, four] = desk.story().await;
        let (since, until) = (desk.time_of(two).await, desk.time_of(gone).await);
        for (query, wanted) in [
            (String::new(), vec![one, two, gone, four]),
            ("&order=desc".into(), vec![four, gone, two, one]),
            (format!("&after={one}&before={four}"), vec![two, gone]),
            ("&prefix=k".into(), vec![one, two, gone, four]),
            ("&prefix=x".into(), vec![]),
            ("&actor=nobody".into(), vec![]),
            (format!("&after={one}&since={since}&until={until}&before={four}&order=desc&actor=anonymous"), vec![gone, two]),
        ] {
            let (mut found, mut next) = (Vec::new(), Some(String::new()));
            while let Some(cursor) = next {
                let page = desk.json(&format!("/v1/commits?namespace=~{query}&limit=2&cursor={cursor}")).await;
                found.extend(numbers(&page, "commits"));
                next = page["next"].as_str().map(str::to_owned);
            }
            assert_eq!(found, wanted, "{query}");
        }
        desk.told("/v1/commits?namespace=_schemas").await.is_problem(403, "reserved_namespace");
        desk.told("/v1/commits?order=up").await.is_problem(400, "invalid_request");
    }

    async fn a_single_commit_is_told_as_json_and_as_the_bytes_whose_hash_it_has(log) {
        let desk = Desk::on(log);
        let revision = desk.put("k", "1").await;
        let body: CommitBody = desk.told(&format!("/v1/commits/{revision}")).await.is(200).json();
        assert_eq!((body.revision, body.changes.len()), (revision, 1));
        let stored = |revision: u64| desk.ask(Ask::get(format!("/v1/commits/{revision}")).header("Accept", header::COMMIT_AVRO));
        let record = stored(revision).await.is(200);
        assert_eq!((record.header("content-type"), Hash::of(&record.body)), (header::COMMIT_AVRO, body.hash));
        // The genesis is no commit of anybody's, but the first link of the chain.
        let first: CommitBody = desk.told("/v1/commits/1").await.is(200).json();
        assert_eq!(Hash::of(&stored(0).await.is(200).body), first.parent);
        let genesis: CommitBody = desk.told("/v1/commits/0").await.is(200).json();
        assert_eq!((genesis.revision, genesis.hash, genesis.parent), (0, first.parent, Hash::default()));
        desk.told(&format!("/v1/commits/{}", u64::MAX)).await.is_problem(404, "revision_in_future");
        for wrong in ["first", "-1", "1.0", "18446744073709551616", "%zz", "%31x"] {
            desk.told(&format!("/v1/commits/{wrong}")).await.is_problem(400, "invalid_request");
        }
        for same in ["1", "01", "%31"] {
            assert_eq!(desk.told(&format!("/v1/commits/{same}")).await.is(200).json::<CommitBody>().revision, 1);
        }
        assert_eq!(record.header("vary"), "Accept");
    }

    async fn every_read_of_the_past_compares_the_stream(log) {
        let desk = Desk::on(log);
        let revision = desk.put("k", "1").await;
        let (here, other) = (desk.stand.status().await.stream_id, "0123456789abcdef0123456789abcdef");
        for target in [
            format!("/v1/config/~/k?at={revision}"), format!("/v1/config/~?at={revision}"), "/v1/history/~/k?limit=1".into(),
            format!("/v1/diff/~?from={revision}"), "/v1/commits?limit=1".into(), format!("/v1/commits/{revision}?"),
        ] {
            let _ = desk.told(&format!("{target}&stream={here}")).await.is(200);
            desk.told(&format!("{target}&stream={other}")).await.is_problem(409, "wrong_stream");
            desk.told(&format!("{target}&strem={here}")).await.is_problem(400, "invalid_request");
        }
    }
}
