//! Lists: entries, namespaces, commits, and their pages.

use headwater_tests::http::Ask;
use headwater_tests::on_both_logs;
use serde_json::{Value, json};

use crate::{Desk, commit};

impl Desk {
    /// Sets all these keys, each to its own name, at one revision.
    async fn fill(&self, keys: &[&str]) -> u64 {
        let changes: Vec<_> = keys.iter().map(|key| self.change(key, &json!(key))).collect();
        self.ask(commit(&changes)).await.is(200).revision()
    }

    /// A page of this namespace's entries.
    async fn page(&self, query: &str) -> Value {
        self.ask(Ask::get(format!("/v1/config/{}?{query}", self.namespace))).await.is(200).json()
    }
}

fn keys(page: &Value) -> Vec<String> {
    let entries = page["entries"].as_array().unwrap().iter();
    entries.map(|entry| entry["key"].as_str().unwrap().to_owned()).collect()
}

on_both_logs! {
    async fn entries_come_in_byte_order_of_keys_and_by_prefix(log) {
        let desk = Desk::on(log);
        let revision = desk.fill(&["db/pool", "db", "dbx", "é", "a", "Z", "db-1", "db/a"]).await;
        let all = desk.page("").await;
        assert_eq!(keys(&all), ["Z", "a", "db", "db-1", "db/a", "db/pool", "dbx", "é"]);
        assert_eq!((&all["namespace"], &all["next"]), (&json!(desk.namespace), &Value::Null));
        assert!(all["revision"].as_u64() >= Some(revision) && all["hash"].is_string());
        assert_eq!(keys(&desk.page("prefix=db").await), ["db", "db-1", "db/a", "db/pool", "dbx"]);
        assert_eq!(keys(&desk.page("prefix=db%2F").await), ["db/a", "db/pool"]);
        assert_eq!(keys(&desk.page("prefix=nothing").await), [""; 0]);
        let entry = &desk.page("prefix=db/a").await["entries"][0];
        assert_eq!((&entry["value"], &entry["mod_revision"], &entry["size"]), (&json!("db/a"), &json!(revision), &json!(6)));
        let bare = &desk.page("prefix=db/a&keys_only=true").await["entries"][0];
        assert_eq!((bare.get("value"), &bare["size"]), (None, &json!(6)), "{bare}");
    }

    async fn a_namespace_that_nobody_wrote_to_is_empty(log) {
        let desk = Desk::on(log);
        let page = desk.page("").await;
        assert_eq!((&page["entries"], &page["next"]), (&json!([]), &Value::Null));
    }

    async fn all_pages_of_a_cursor_show_one_revision_whatever_is_written_meanwhile(log) {
        let desk = Desk::on(log);
        let names: Vec<String> = (0..250).map(|key| format!("k{key:03}")).collect();
        desk.fill(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let mut page = desk.page("limit=20").await;
        let (revision, hash) = (page["revision"].clone(), page["hash"].clone());
        let mut seen = keys(&page);
        let mut round = 0;
        while let Some(cursor) = page["next"].as_str().map(str::to_owned) {
            // Behind the cursor, before it, and between: set, deleted, new.
            round += 1;
            let ahead = format!("k{:03}", 249 - round);
            desk.put(&ahead, "\"changed\"").await;
            desk.ask(Ask::delete(desk.path(&format!("k{:03}", 200 - round)))).await.is(200);
            desk.put(&format!("k000-{round}"), "1").await;
            desk.put(&format!("k{:03}-new", 230 - round), "1").await;
            page = desk.page(&format!("limit=20&cursor={cursor}")).await;
            assert_eq!((&page["revision"], &page["hash"]), (&revision, &hash));
            let entries = page["entries"].as_array().unwrap();
            assert!(entries.iter().all(|entry| entry["value"] == entry["key"]), "a later value shows");
            seen.extend(keys(&page));
        }
        assert!(round > 10);
        assert_eq!(seen, names, "every key of that revision, and no other");
    }

    async fn a_page_ends_early_where_it_grows_too_large_and_only_null_is_the_end(log) {
        let desk = Desk::on(log);
        let large = "x".repeat(200 * 1024);
        for key in 0..30 {
            let put = Ask::put(desk.path(&format!("k{key:02}")), large.clone());
            desk.ask(put.header("Content-Type", "text/plain")).await.is(201);
        }
        let first = desk.ask(Ask::get(format!("/v1/config/{}", desk.namespace))).await.is(200);
        assert!(first.body.len() < 5 * 1024 * 1024, "{} bytes", first.body.len());
        let first: Value = first.json();
        let rest = desk.page(&format!("cursor={}", first["next"].as_str().expect("there is more"))).await;
        assert_eq!(keys(&first).len() + keys(&rest).len(), 30);
        assert_eq!(rest["next"], Value::Null);
    }

    async fn a_list_is_304_when_nothing_under_it_changed(log) {
        let desk = Desk::on(log);
        desk.fill(&["a/1", "b/1"]).await;
        let ask = |query: &str| Ask::get(format!("/v1/config/{}?{query}", desk.namespace));
        let (all, some) = (desk.ask(ask("")).await.is(200), desk.ask(ask("prefix=a/")).await.is(200));
        let (all, some) = (all.header("etag").to_owned(), some.header("etag").to_owned());
        assert!(!all.is_empty() && !some.is_empty());
        let answer = desk.ask(ask("").header("If-None-Match", &all)).await.is(304);
        assert_eq!(answer.body.len(), 0);
        // Elsewhere in the stream, then elsewhere in the namespace, then under the prefix.
        Desk::on(log).put("other", "1").await;
        desk.ask(ask("").header("If-None-Match", &all)).await.is(304);
        desk.put("b/1", "2").await;
        desk.ask(ask("").header("If-None-Match", &all)).await.is(200);
        desk.ask(ask("prefix=a/").header("If-None-Match", &some)).await.is(304);
        desk.ask(Ask::delete(desk.path("a/1"))).await.is(200);
        desk.ask(ask("prefix=a/").header("If-None-Match", &some)).await.is(200);
    }

    async fn a_cursor_belongs_to_its_list(log) {
        let desk = Desk::on(log);
        desk.fill(&["a", "b", "c"]).await;
        let cursor = desk.page("limit=1").await["next"].as_str().unwrap().to_owned();
        let other = Desk::on(log);
        for target in [
            format!("/v1/config/{}?cursor={cursor}", other.namespace),
            format!("/v1/config/{}?prefix=b&cursor={cursor}", desk.namespace),
            format!("/v1/commits?cursor={cursor}"),
            format!("/v1/namespaces?cursor={cursor}"),
            format!("/v1/config/{}?cursor=nonsense", desk.namespace),
            format!("/v1/config/{}?cursor={}x", desk.namespace, cursor),
        ] {
            desk.ask(Ask::get(target)).await.is_problem(400, "invalid_cursor");
        }
    }

    async fn namespaces_tell_what_they_hold(log) {
        let desk = Desk::on(log);
        let revision = desk.fill(&["a", "bb"]).await;
        let (mut found, mut names, mut next) = (None, Vec::new(), Some(String::new()));
        while let Some(cursor) = next {
            let target = format!("/v1/namespaces?limit=3&cursor={cursor}");
            let page: Value = desk.ask(Ask::get(target)).await.is(200).json();
            for namespace in page["namespaces"].as_array().unwrap() {
                names.push(namespace["name"].as_str().unwrap().to_owned());
                if namespace["name"] == desk.namespace {
                    found = Some(namespace.clone());
                }
            }
            next = page["next"].as_str().map(str::to_owned);
        }
        assert!(names.is_sorted(), "{names:?}");
        let found = found.expect("it is listed");
        assert_eq!((&found["entries"], &found["bytes"]), (&json!(2), &json!(7)), "{found}");
        assert_eq!((&found["mod_revision"], found["digest"].as_str().map(str::len)), (&json!(revision), Some(64)));
    }

    async fn commits_are_listed_ascending_after_a_revision_and_by_actor(log) {
        let desk = Desk::on(log);
        let mut revisions = Vec::new();
        for number in 0..25 {
            let actor = if number % 2 == 0 { &desk.namespace } else { "somebody" };
            let put = Ask::put(desk.path("k"), number.to_string()).header("Headwater-Actor", actor);
            revisions.push(desk.ask(put).await.revision());
        }
        let (mut listed, mut next) = (Vec::new(), Some(String::new()));
        while let Some(cursor) = next {
            let target = format!("/v1/commits?actor={}&limit=4&cursor={cursor}", desk.namespace);
            let page: Value = desk.ask(Ask::get(target)).await.is(200).json();
            for commit in page["commits"].as_array().unwrap() {
                assert_eq!(commit["actor"], desk.namespace);
                listed.push(commit["revision"].as_u64().unwrap());
            }
            next = page["next"].as_str().map(str::to_owned);
        }
        let own: Vec<u64> = revisions.iter().copied().step_by(2).collect();
        assert_eq!(listed, own);
        let after = format!("/v1/commits?after={}&actor={}", own[9], desk.namespace);
        let page: Value = desk.ask(Ask::get(after)).await.is(200).json();
        let rest = page["commits"].as_array().unwrap().iter().map(|commit| commit["revision"].as_u64().unwrap());
        assert_eq!(rest.collect::<Vec<_>>(), own[10..]);
    }
}
