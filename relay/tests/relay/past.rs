//! What was: `at`, `/v1/history`, `/v1/diff`, single commits, from the tail and from history.

use std::sync::Arc;

use headwater_api::Time;
use headwater_log::MemoryLog;
use headwater_replica::history_conformance::{Dice, Model, conforms};
use headwater_replica::{History, Recent, RemoteHistory, Settings};
use headwater_schemas::{Hash, Point, StreamId};
use serde_json::{Value, json as value};

use crate::chain::{BEGIN_MS, Chain, delete, json, put};
use crate::wire;
use crate::world::World;

/// Where a world has its past from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// Its own tail.
    Tail,
    /// Another replica in its process.
    Beside,
    /// Another server.
    Http,
}

const ALL: [From; 3] = [From::Tail, From::Beside, From::Http];

/// A world that has its past from there; `write` writes it.
async fn world(from: From, mut write: impl AsyncFnMut(&mut World)) -> World {
    let mut twin = World::new().await;
    write(&mut twin).await;
    let url = format!("http://{}", twin.address);
    let history: Option<Arc<dyn History>> = match from {
        From::Tail => None,
        From::Beside => Some(Arc::new(Recent::new(twin.replica.clone()))),
        From::Http => Some(Arc::new(RemoteHistory::new(&url).unwrap())),
    };
    let tail_bytes = if from == From::Tail { 1 << 20 } else { 1 };
    let settings = Settings { tail_bytes, ..Settings::default() };
    let mut world = World::with(settings, |relay| relay.history = history).await;
    world.beside.push(twin);
    write(&mut world).await;
    world
}

#[tokio::test]
async fn every_read_answers_as_a_naive_model_of_the_log_wherever_the_past_comes_from() {
    for (from, seed) in ALL.into_iter().flat_map(|from| (0..3).map(move |seed| (from, seed))) {
        let mut dice = Dice::new(seed);
        let (step_ms, commits) = ([0, 1, 1_000][dice.roll(3)], dice.commits(40));
        let world = world(from, async |world: &mut World| {
            world.chain.step_ms = step_ms;
            for (actor, changes) in &commits {
                world.commit(actor, changes.clone()).await;
            }
        })
        .await;
        println!("seed {seed} from {from:?}");
        let records = world.log.records().into_iter().map(|record| record.bytes).collect();
        let model = Model::of(records);
        // What it answers over HTTP, whose own history may be over HTTP, too.
        let asked = RemoteHistory::new(&format!("http://{}", world.address)).unwrap();
        conforms(&asked, &model, &mut dice).await;
        conforms(&Recent::new(world.beside[0].replica.clone()), &model, &mut dice).await;
    }
}

/// Checks a claim in worlds of every kind that were written in the same way.
async fn everywhere(
    mut write: impl AsyncFnMut(&mut World),
    mut claim: impl AsyncFnMut(&mut World, From),
) {
    for from in ALL {
        let mut world = world(from, &mut write).await;
        claim(&mut world, from).await;
    }
}

/// Revision 1 puts `n/k` and `n/x`, 2 puts `n/k` anew, 3 deletes it, 4 creates it again; one second lies between two.
async fn story(world: &mut World) {
    world.commit("ann", vec![json("n", "k", "1"), put("n", "x", "text/plain", b"one")]).await;
    world.commit("bob", vec![json("n", "k", "2")]).await;
    world.commit("ann", vec![delete("n", "k")]).await;
    world.commit("bob", vec![json("n", "k", "4"), json("m", "k", "1")]).await;
}

/// The time of a revision of [`story`], and some milliseconds.
fn time(revision: i64, plus_ms: i64) -> String {
    Time(BEGIN_MS + revision * 1_000 + plus_ms).to_string()
}

#[tokio::test]
async fn at_gives_the_value_as_it_was_at_a_revision_with_the_headers_of_then() {
    everywhere(story, async |world, from| {
        let one = world.get("/v1/config/n/k?at=1").await;
        assert_eq!((one.status, &one.body[..]), (200, &b"1"[..]), "{from:?}");
        for (header, wanted) in [
            ("etag", "\"1\""),
            ("headwater-revision", "1"),
            ("headwater-stream", "07070707070707070707070707070707"),
            ("headwater-version", "1"),
            ("headwater-create-revision", "1"),
            ("content-type", "application/json"),
            ("vary", "Accept"),
        ] {
            assert_eq!(one.header(header), Some(wanted), "{from:?} {header}");
        }
        let two = world.get("/v1/config/n/x?at=2").await;
        assert_eq!(
            (two.header("headwater-revision"), two.header("etag")),
            (Some("2"), Some("\"1\""))
        );
        assert_eq!(world.get("/v1/config/n/k?at=4").await.body, b"4");
        let accept = [("accept", "application/vnd.headwater.entry+json")];
        let entry = world.get_with("/v1/config/n/k?at=2", &accept).await;
        assert_eq!(entry.header("etag"), None);
        let entry = entry.json();
        assert_eq!(
            (&entry["value"], &entry["version"], &entry["actor"]),
            (&value!(2), &value!(2), &value!("bob"))
        );
        assert_eq!(
            (&entry["updated_at"], &entry["mod_revision"]),
            (&value!(time(2, 0)), &value!(2))
        );
    })
    .await;
}

#[tokio::test]
async fn an_older_value_is_304_to_whom_has_it_and_a_head_request_has_its_headers() {
    everywhere(story, async |world, from| {
        let same = world.get_with("/v1/config/n/k?at=2", &[("if-none-match", "\"2\"")]).await;
        assert_eq!((same.status, same.header("headwater-revision")), (304, Some("2")), "{from:?}");
        let other = world.get_with("/v1/config/n/k?at=2", &[("if-none-match", "\"4\"")]).await;
        assert_eq!(other.status, 200, "{from:?}");
        let head = world.head("/v1/config/n/k?at=2").await;
        assert_eq!((head.status, head.body.len(), head.header("etag")), (200, 0, Some("\"2\"")));
    })
    .await;
}

#[tokio::test]
async fn a_time_means_the_last_commit_at_or_before_it() {
    everywhere(story, async |world, from| {
        for (revision, plus_ms, wanted) in
            [(1, 0, "1"), (1, 999, "1"), (2, 0, "2"), (4, 0, "4"), (4_000, 0, "4")]
        {
            let path = format!("/v1/config/n/k?at={}", time(revision, plus_ms));
            let answer = world.get(&path).await;
            assert_eq!(
                (answer.status, String::from_utf8_lossy(&answer.body).into_owned()),
                (200, wanted.to_owned()),
                "{from:?} {path}"
            );
            assert_eq!(answer.header("headwater-revision"), Some(wanted), "{from:?} {path}");
        }
        let gone = world.get(&format!("/v1/config/n/k?at={}", time(3, 1))).await;
        assert_eq!(gone.problem(), (404, "key_not_found".into()), "{from:?}");
        assert_eq!(gone.header("headwater-revision"), Some("3"), "{from:?}");
    })
    .await;
}

#[tokio::test]
async fn before_the_first_commit_there_is_the_empty_state() {
    everywhere(story, async |world, from| {
        for at in ["0", &time(0, 999), &time(0, 0), &time(-9_999, 0), "1970-01-01T00:00:00Z"] {
            let value = world.get(&format!("/v1/config/n/k?at={at}")).await;
            assert_eq!(value.problem(), (404, "key_not_found".into()), "{from:?} {at}");
            assert_eq!(value.header("headwater-revision"), Some("0"), "{from:?} {at}");
            let list = world.get(&format!("/v1/config/n?at={at}")).await.json();
            assert_eq!(
                (&list["revision"], &list["entries"]),
                (&value!(0), &value!([])),
                "{from:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_revision_above_the_head_is_in_the_future_unless_it_is_waited_for() {
    everywhere(story, async |world, from| {
        for path in [
            "/v1/config/n/k?at=5",
            "/v1/config/n?at=5",
            "/v1/diff/n?from=5",
            "/v1/diff/n?from=1&to=5",
            "/v1/commits/5",
            "/v1/config/n/k?at=18446744073709551615",
        ] {
            let answer = world.get(path).await;
            assert_eq!(answer.problem(), (404, "revision_in_future".into()), "{from:?} {path}");
            assert_eq!(answer.header("headwater-revision"), Some("4"), "{from:?} {path}");
        }
        let address = world.address;
        let waiting = tokio::spawn(async move {
            let path = "/v1/config/n/k?at=5&min_revision=5&timeout=30s";
            wire::call(address, "GET", path, &[]).await
        });
        world.commit("ann", vec![json("n", "k", "5")]).await;
        assert_eq!(waiting.await.unwrap().body, b"5", "{from:?}");
    })
    .await;
}

#[tokio::test]
async fn a_list_at_a_revision_shows_that_state_in_pages_whatever_is_written_meanwhile() {
    let write = async |world: &mut World| {
        world.each((0..5).map(|n| json("n", &format!("k{n}"), "1"))).await;
        world
            .commit("ann", vec![delete("n", "k1"), json("n", "k2", "2"), json("n", "k9", "1")])
            .await;
        world.each([json("m", "k", "1"), json("m", "k", "2")]).await;
    };
    everywhere(write, async |world, from| {
        let (mut path, mut seen) = ("/v1/config/n?at=5&limit=2".to_owned(), Vec::new());
        loop {
            let answer = world.get(&path).await;
            assert_eq!(answer.header("headwater-revision"), Some("5"), "{from:?}");
            let page = answer.json();
            assert_eq!(page["revision"], 5);
            let entries = page["entries"].as_array().unwrap().iter();
            seen.extend(entries.map(|entry| (entry["key"].to_string(), entry["value"].clone())));
            world.commit("ann", vec![json("n", "k3", "3"), json("n", "k0", "3")]).await;
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/v1/config/n?at=5&limit=2&cursor={next}");
        }
        let wanted: Vec<_> = (0..5).map(|n| (format!("\"k{n}\""), value!(1))).collect();
        assert_eq!(seen, wanted, "{from:?}");
        let six = world.get("/v1/config/n?at=6&prefix=k&keys_only=true").await.json();
        let keys: Vec<_> =
            six["entries"].as_array().unwrap().iter().map(|e| e["key"].clone()).collect();
        assert_eq!(keys, ["k0", "k2", "k3", "k4", "k9"].map(|key| value!(key)), "{from:?}");
        assert_eq!(six["entries"][0].get("value"), None, "{from:?}");
        let commit = world.get("/v1/commits/6").await.json();
        assert_eq!(six["hash"], commit["hash"], "{from:?}");
    })
    .await;
}

#[tokio::test]
async fn the_tag_of_an_older_list_outlives_what_is_written_after_it() {
    everywhere(story, async |world, from| {
        for path in ["/v1/config/n?at=4", "/v1/config/n?at=4&prefix=k", "/v1/config/n?at=2"] {
            let tag = world.get(path).await.header("etag").unwrap().to_owned();
            world.commit("ann", vec![json("n", "k", "5"), json("m", "z", "1")]).await;
            let again = world.get_with(path, &[("if-none-match", &tag)]).await;
            assert_eq!(again.status, 304, "{from:?} {path}");
        }
        let two = world.get("/v1/config/n?at=2").await.header("etag").unwrap().to_owned();
        let three = world.get_with("/v1/config/n?at=3", &[("if-none-match", &two)]).await;
        assert_eq!(three.status, 200, "{from:?}");
    })
    .await;
}

#[tokio::test]
async fn without_history_what_left_the_tail_is_compacted_and_the_setting_that_helps_is_named() {
    let settings = Settings { tail_bytes: 1, ..Settings::default() };
    let mut world = World::with(settings, |_| {}).await;
    story(&mut world).await;
    for path in [
        "/v1/config/n/k?at=1",
        "/v1/config/n?at=1",
        &format!("/v1/config/n/k?at={}", time(1, 0)),
        "/v1/history/n/x",
        "/v1/diff/n?from=1",
        "/v1/commits",
        "/v1/commits?order=desc&before=3",
        "/v1/commits/1",
        "/v1/commits/0",
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.problem(), (410, "revision_compacted".into()), "{path}");
        let problem = answer.json();
        assert_eq!(problem["oldest_revision"], 3, "{path}");
        assert!(problem["detail"].as_str().unwrap().contains("--history-url"), "{path}: {problem}");
    }
    assert_eq!(world.get("/v1/config/n/k?at=3").await.problem(), (404, "key_not_found".into()));
    assert_eq!(world.get("/v1/diff/n?from=3").await.json()["changes"][0]["kind"], "added");
    let list = world.get("/v1/config/n?at=3").await;
    let tag = [("if-none-match", list.header("etag").unwrap())];
    assert_eq!(world.get_with("/v1/config/n?at=3", &tag).await.status, 304);
    assert_eq!(list.json()["entries"][0]["key"], "x");
    assert_eq!(world.get("/v1/commits/4").await.json()["revision"], 4);
}

#[tokio::test]
async fn the_versions_of_a_key_come_newest_first_with_their_deletions() {
    everywhere(story, async |world, from| {
        let answer = world.get("/v1/history/n/k").await;
        assert_eq!(answer.header("headwater-revision"), Some("4"));
        let id = |revision: u64| value!(uuid::Uuid::from_u128(u128::from(revision)).to_string());
        let put = |revision: u64, number: u64, actor: &str, version: u64| {
            value!({
                "revision": revision, "at": time(i64::try_from(revision).unwrap(), 0), "actor": actor,
                "reason": "because", "commit_id": id(revision), "op": "put",
                "content_type": "application/json", "value": number, "version": version
            })
        };
        let wanted = value!({"versions": [
            put(4, 4, "bob", 1),
            {"revision": 3, "at": time(3, 0), "actor": "ann", "reason": "because", "commit_id": id(3), "op": "delete"},
            put(2, 2, "bob", 2),
            put(1, 1, "ann", 1),
        ], "next": null});
        assert_eq!(answer.json(), wanted, "{from:?}");
    })
    .await;
}

#[tokio::test]
async fn all_pages_of_versions_show_one_revision_and_a_key_that_never_was_is_not_found() {
    everywhere(story, async |world, from| {
        for path in ["/v1/history/n/never", "/v1/history/nobody/k"] {
            assert_eq!(world.get(path).await.problem(), (404, "key_not_found".into()), "{from:?}");
        }
        let (mut path, mut seen) = ("/v1/history/n/k?limit=1".to_owned(), Vec::new());
        loop {
            let answer = world.get(&path).await;
            assert_eq!(answer.header("headwater-revision"), Some("4"), "{from:?}");
            let page = answer.json();
            seen.extend(
                page["versions"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|v| v["revision"].as_u64().unwrap()),
            );
            world.commit("ann", vec![json("n", "k", "9")]).await;
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/v1/history/n/k?limit=1&cursor={next}");
        }
        assert_eq!(seen, [4, 3, 2, 1], "{from:?}");
        let next = world.get("/v1/history/n/k?limit=1").await.json()["next"].clone();
        let other = format!("/v1/history/n/x?cursor={}", next.as_str().unwrap());
        assert_eq!(world.get(&other).await.problem(), (400, "invalid_cursor".into()));
    })
    .await;
}

fn kinds(page: &Value) -> Vec<(String, String)> {
    let changes = page["changes"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    changes.map(|change| (text(&change["key"]), text(&change["kind"]))).collect()
}

#[tokio::test]
async fn a_diff_tells_what_was_added_changed_and_removed_in_either_order() {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(key, kind)| ((*key).to_owned(), (*kind).to_owned())).collect()
    };
    everywhere(story, async |world, from| {
        let page = world.get("/v1/diff/n?from=1&to=2").await;
        assert_eq!(page.header("headwater-revision"), Some("2"), "{from:?}");
        let page = page.json();
        assert_eq!(kinds(&page), pairs(&[("k", "changed")]), "{from:?}");
        let change = &page["changes"][0];
        assert_eq!(
            (&page["from"], &page["to"], &page["next"]),
            (&value!(1), &value!(2), &Value::Null)
        );
        assert_eq!((&change["old"]["value"], &change["new"]["value"]), (&value!(1), &value!(2)));
        assert_eq!(
            (&change["old"]["actor"], &change["new"]["version"]),
            (&value!("ann"), &value!(2))
        );
        for (query, wanted) in [
            ("from=0", pairs(&[("k", "added"), ("x", "added")])),
            ("from=4&to=0", pairs(&[("k", "removed"), ("x", "removed")])),
            ("from=1&to=3", pairs(&[("k", "removed")])),
            ("from=3&to=1", pairs(&[("k", "added")])),
            ("from=2&to=4", pairs(&[("k", "changed")])),
            ("from=0&prefix=x", pairs(&[("x", "added")])),
            ("from=3&to=3", pairs(&[])),
            ("from=4&to=", pairs(&[])),
        ] {
            let page = world.get(&format!("/v1/diff/n?{query}")).await.json();
            assert_eq!(kinds(&page), wanted, "{from:?} {query}");
        }
        let timed = format!("/v1/diff/n?from={}&to={}", time(2, 500), time(3, 0));
        let timed = world.get(&timed).await.json();
        assert_eq!((&timed["from"], &timed["to"]), (&value!(2), &value!(3)), "{from:?}");
        assert_eq!(
            (&timed["changes"][0]["kind"], &timed["changes"][0]["new"]),
            (&value!("removed"), &Value::Null)
        );
        for query in ["", "to=2", "from=", "from=x", "from=1&to=x", "from=1&at=2"] {
            let refused = world.get(&format!("/v1/diff/n?{query}")).await;
            assert_eq!(refused.problem(), (400, "invalid_request".into()), "{from:?} {query}");
        }
    })
    .await;
}

#[tokio::test]
async fn all_pages_of_a_diff_show_the_same_two_states() {
    let write = async |world: &mut World| {
        world.each((0..5).map(|n| json("n", &format!("k{n}"), "1"))).await;
    };
    everywhere(write, async |world, from| {
        let (mut path, mut seen) = ("/v1/diff/n?from=2&limit=1".to_owned(), Vec::new());
        loop {
            let page = world.get(&path).await.json();
            assert_eq!((&page["from"], &page["to"]), (&value!(2), &value!(5)), "{from:?}");
            seen.extend(kinds(&page).into_iter().map(|(key, _)| key));
            world.commit("ann", vec![json("n", "k9", "9"), json("n", "k4", "9")]).await;
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/v1/diff/n?from=2&limit=1&cursor={next}");
        }
        assert_eq!(seen, ["k2", "k3", "k4"], "{from:?}");
    })
    .await;
}

async fn revisions(world: &World, query: &str) -> Vec<u64> {
    let (mut path, mut seen) = (format!("/v1/commits?{query}"), Vec::new());
    loop {
        let page = world.get(&path).await.json();
        let commits = page["commits"].as_array().unwrap_or_else(|| panic!("{query}: {page}"));
        seen.extend(commits.iter().map(|commit| commit["revision"].as_u64().unwrap()));
        let Some(next) = page["next"].as_str() else { return seen };
        path = format!("/v1/commits?{query}&cursor={next}");
    }
}

#[tokio::test]
async fn every_filter_of_commits_and_both_orders() {
    everywhere(story, async |world, from| {
        for limit in ["", "&limit=1", "&limit=2"] {
            for (query, wanted) in [
                ("after=1&before=4", vec![2, 3]),
                ("before=1", vec![]),
                ("before=0", vec![]),
                ("after=9", vec![]),
                ("namespace=n", vec![1, 2, 3, 4]),
                ("namespace=m", vec![4]),
                ("namespace=nobody", vec![]),
                ("prefix=x", vec![1]),
                ("prefix=k&namespace=n&actor=ann", vec![1, 3]),
                ("actor=bob&order=desc", vec![4, 2]),
                ("order=desc", vec![4, 3, 2, 1]),
                ("order=asc&prefix=&namespace=&actor=", vec![1, 2, 3, 4]),
                (&format!("since={}", time(2, 0)), vec![2, 3, 4]),
                (&format!("since={}", time(2, 1)), vec![3, 4]),
                (&format!("until={}", time(2, 0)), vec![1, 2]),
                (&format!("until={}", time(1, 999)), vec![1]),
                (&format!("until={}", time(0, 0)), vec![]),
                (&format!("since={}&until={}&order=desc", time(2, 0), time(3, 0)), vec![3, 2]),
                (&format!("since={}&actor=bob", time(0, 0)), vec![2, 4]),
                (&format!("since={}", time(9, 0)), vec![]),
            ] {
                let found = revisions(world, &format!("{query}{limit}")).await;
                assert_eq!(found, wanted, "{from:?} {query}{limit}");
            }
        }
        for (query, refusal) in [
            ("order=up", (400, "invalid_request")),
            ("since=yesterday", (400, "invalid_request")),
            ("until=1", (400, "invalid_request")),
            ("after=-1", (400, "invalid_request")),
            ("namespace=A", (400, "invalid_name")),
            ("namespace=_schemas", (403, "reserved_namespace")),
            ("from=1", (400, "invalid_request")),
        ] {
            let (status, code) = world.get(&format!("/v1/commits?{query}")).await.problem();
            assert_eq!((status, code.as_str()), refusal, "{from:?} {query}");
        }
    })
    .await;
}

#[tokio::test]
async fn all_pages_of_commits_show_one_revision_in_either_order() {
    everywhere(story, async |world, from| {
        for (order, wanted) in [("asc", vec![1, 2, 3, 4]), ("desc", vec![4, 3, 2, 1])] {
            let head = world.chain.state.head().revision;
            let (mut path, mut seen) =
                (format!("/v1/commits?order={order}&limit=1&before=5"), Vec::new());
            loop {
                let answer = world.get(&path).await;
                let shown: u64 = answer.header("headwater-revision").unwrap().parse().unwrap();
                assert_eq!(shown, head, "{from:?}");
                let page = answer.json();
                seen.extend(
                    page["commits"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|c| c["revision"].as_u64().unwrap()),
                );
                world.commit("ann", vec![json("n", "k", "9")]).await;
                let Some(next) = page["next"].as_str() else { break };
                path = format!("/v1/commits?order={order}&limit=1&before=5&cursor={next}");
            }
            assert_eq!(seen, wanted, "{from:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_commit_is_told_as_json_or_as_the_bytes_of_its_record() {
    everywhere(story, async |world, from| {
        let listed = world.get("/v1/commits").await.json()["commits"].clone();
        let records = world.log.records();
        for revision in 1..=4usize {
            let path = format!("/v1/commits/{revision}");
            assert_eq!(world.get(&path).await.json(), listed[revision - 1], "{from:?} {path}");
            let accept = [("accept", "application/vnd.headwater.commit+avro")];
            let stored = world.get_with(&path, &accept).await;
            assert_eq!(
                stored.header("content-type"),
                Some("application/vnd.headwater.commit+avro")
            );
            assert_eq!(stored.header("vary"), Some("Accept"));
            assert_eq!(stored.body, records[revision].bytes, "{from:?} {path}");
            assert_eq!(
                Hash::of(&stored.body).to_string(),
                listed[revision - 1]["hash"].as_str().unwrap()
            );
        }
        let other = world.get_with("/v1/commits/1", &[("accept", "image/png")]).await;
        assert_eq!((other.status, other.header("content-type")), (200, Some("application/json")));
        for path in [
            "/v1/commits/x",
            "/v1/commits/-1",
            "/v1/commits/%ff",
            "/v1/commits/99999999999999999999",
            "/v1/commits/1?x=1",
        ] {
            assert_eq!(world.get(path).await.problem(), (400, "invalid_request".into()), "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn every_read_compares_the_stream_and_refuses_what_it_does_not_know() {
    let mut world = World::new().await;
    story(&mut world).await;
    let (ours, other) = ("07".repeat(16), "0".repeat(32));
    for path in [
        "/v1/config/n/k?at=1",
        "/v1/config/n?at=1",
        "/v1/namespaces?limit=1",
        "/v1/history/n/k?limit=1",
        "/v1/diff/n?from=1",
        "/v1/commits?limit=1",
        "/v1/commits/1?",
        "/v1/status?",
    ] {
        assert_eq!(world.get(&format!("{path}&stream={ours}")).await.status, 200, "{path}");
        let wrong = world.get(&format!("{path}&stream={other}")).await;
        assert_eq!(wrong.problem(), (409, "wrong_stream".into()), "{path}");
        let unknown = world.get(&format!("{path}&lmit=1")).await;
        assert_eq!(unknown.problem(), (400, "invalid_request".into()), "{path}");
        let stream = world.get(&format!("{path}&stream=")).await;
        assert_eq!(stream.status, 200, "{path}");
    }
}

#[tokio::test]
async fn history_that_is_a_moment_behind_is_waited_for_and_one_that_stays_behind_is_not_ready() {
    let mut twin = World::new().await;
    twin.commit("ann", vec![json("n", "k", "1")]).await;
    let history = Recent::new(twin.replica.clone());
    let settings = Settings { tail_bytes: 1, ..Settings::default() };
    let mut world = World::with(settings, |relay| relay.history = Some(Arc::new(history))).await;
    world.each((1..=4).map(|n| json("n", "k", &n.to_string()))).await;
    let address = world.address;
    let ask = move || async move { wire::call(address, "GET", "/v1/config/n/k?at=2", &[]).await };
    assert_eq!(ask().await.problem(), (503, "not_ready".into()));
    let waiting = tokio::spawn(ask());
    twin.each((2..=3).map(|n| json("n", "k", &n.to_string()))).await;
    assert_eq!(waiting.await.unwrap().body, b"2");
}

#[tokio::test]
async fn a_server_of_history_that_is_away_is_not_ready_and_what_the_tail_reaches_is_still_told() {
    let nobody = RemoteHistory::new("http://127.0.0.1:1").unwrap();
    let settings = Settings { tail_bytes: 1, ..Settings::default() };
    let mut world = World::with(settings, |relay| relay.history = Some(Arc::new(nobody))).await;
    story(&mut world).await;
    let answer = world.get("/v1/config/n/k?at=1").await;
    assert_eq!(answer.problem(), (503, "not_ready".into()));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(world.get("/v1/diff/n?from=3").await.status, 200);
}

#[tokio::test]
async fn a_server_that_keeps_no_history_itself_is_not_asked_for_it() {
    let mut twin = World::with(Settings::default(), |relay| relay.role = "publisher".into()).await;
    story(&mut twin).await;
    let asked = RemoteHistory::new(&format!("http://{}", twin.address)).unwrap();
    let settings = Settings { tail_bytes: 1, ..Settings::default() };
    let mut world = World::with(settings, |relay| relay.history = Some(Arc::new(asked))).await;
    story(&mut world).await;
    let answer = world.get("/v1/config/n/k?at=1").await;
    assert_eq!(answer.problem(), (503, "not_ready".into()));
    assert!(answer.json()["detail"].as_str().unwrap().contains("is a publisher"));
}

#[tokio::test]
async fn a_server_of_history_of_another_stream_or_chain_is_not_believed() {
    // Its own stream, on another chain, and another one.
    for id in [7, 8] {
        let log = MemoryLog::new();
        let chain = Chain::found(Arc::new(log.clone()), id).await;
        let mut other = World::over(log, chain, Settings::default(), |_| {}).await;
        other.commit("eve", vec![json("n", "k", "evil")]).await;
        other.each((2..=4).map(|n| json("n", "k", &n.to_string()))).await;
        let asked = RemoteHistory::new(&format!("http://{}", other.address)).unwrap();
        let settings = Settings { tail_bytes: 1, ..Settings::default() };
        let mut world = World::with(settings, |relay| relay.history = Some(Arc::new(asked))).await;
        story(&mut world).await;
        for path in ["/v1/config/n/k?at=1", "/v1/commits", "/v1/history/n/x", "/v1/diff/n?from=1"] {
            let told = world.get(path).await.problem();
            assert_eq!(told, (503, "not_ready".into()), "stream {id}: {path}");
        }
    }
}

#[tokio::test]
async fn the_states_before_a_rebuilt_stream_was_whole_are_no_longer_kept() {
    let log = MemoryLog::new();
    let from = Point { stream_id: StreamId([1; 16]), revision: 9, hash: Hash([1; 32]) };
    let mut chain = Chain::found_from(Arc::new(log.clone()), 7, Some((from, 2))).await;
    chain.commit("ann", vec![json("n", "k", "1")]).await;
    chain.commit("ann", vec![json("n", "k2", "1")]).await;
    let mut world = World::over(log, chain, Settings::default(), |_| {}).await;
    world.commit("ann", vec![json("n", "k", "3")]).await;
    for path in [
        "/v1/config/n/k?at=1",
        "/v1/config/n?at=0",
        "/v1/diff/n?from=1",
        "/v1/diff/n?from=3&to=1",
        "/v1/config/n/k?at=1970-01-01T00:00:00Z",
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.problem(), (410, "revision_compacted".into()), "{path}");
        let problem = answer.json();
        assert_eq!(problem["oldest_revision"], 2, "{path}");
        assert!(!problem["detail"].as_str().unwrap().contains("--history-url"), "{problem}");
    }
    assert_eq!(world.get("/v1/config/n/k?at=2").await.body, b"1");
    assert_eq!(world.get("/v1/diff/n?from=2").await.json()["changes"][0]["kind"], "changed");
    assert_eq!(revisions(&world, "").await, [1, 2, 3]);
}
