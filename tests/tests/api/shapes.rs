//! The JSON of every answer: these fields, by these names, and no others.

use headwater_tests::http::Ask;
use headwater_tests::on_both_logs;
use serde_json::{Value, json};

use crate::{Desk, commit};

const ENTRY: &str =
    "actor content_type create_revision key mod_revision namespace size updated_at value version";
const COMMIT: &str = "actor at attributes changes commit_id hash parent reason revision";
const PUT: &str = "content_type key namespace op value version";
const DELETION: &str = "key namespace op";

/// The names of an object's fields, sorted.
#[track_caller]
fn has(value: &Value, fields: &str) {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    let mut names: Vec<_> = object.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names.join(" "), fields, "{value}");
}

fn without(fields: &str, name: &str) -> String {
    fields.split(' ').filter(|field| *field != name).collect::<Vec<_>>().join(" ")
}

/// RFC 3339 in UTC with milliseconds.
#[track_caller]
fn is_time(value: &Value) {
    let text = value.as_str().unwrap();
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{value}");
}

/// Lower-case hex of so many digits.
#[track_caller]
fn is_hex(value: &Value, digits: usize) {
    let text = value.as_str().unwrap();
    assert!(
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
        "{value}"
    );
}

impl Desk {
    async fn read(&self, target: String) -> Value {
        self.ask(Ask::get(target)).await.is(200).json()
    }
}

on_both_logs! {
    async fn an_entry_and_its_list_have_the_fields_of_the_api(log) {
        let desk = Desk::on(log);
        let revision = desk.put("k", "1").await;
        desk.ask(Ask::put(desk.path("z"), vec![0xFF]).header("Content-Type", "image/png")).await.is(201);
        let entry = Ask::get(desk.path("k")).header("Accept", "application/vnd.headwater.entry+json");
        let entry: Value = desk.ask(entry).await.is(200).json();
        has(&entry, ENTRY);
        is_time(&entry["updated_at"]);
        assert!(entry["mod_revision"] == revision && entry["size"] == 1 && entry["version"] == 1);
        let list = desk.read(format!("/v1/config/{}", desk.namespace)).await;
        has(&list, "entries hash namespace next revision");
        is_hex(&list["hash"], 64);
        has(&list["entries"][0], ENTRY);
        has(&list["entries"][1], &ENTRY.replace("value version", "value_base64 version"));
        let keys = desk.read(format!("/v1/config/{}?keys_only=true", desk.namespace)).await;
        has(&keys["entries"][0], &without(ENTRY, "value"));
        let page = desk.read("/v1/namespaces".into()).await;
        has(&page, "namespaces next revision");
        has(&page["namespaces"][0], "bytes digest entries mod_revision name");
        is_hex(&page["namespaces"][0]["digest"], 64);
    }

    async fn a_receipt_a_commit_and_what_was_have_the_fields_of_the_api(log) {
        let desk = Desk::on(log);
        let put = desk.ask(Ask::put(desk.path("k"), "1")).await.is(201);
        let receipt: Value = put.json();
        has(&receipt, "at changes commit_id hash revision version");
        has(&receipt["changes"][0], "key namespace op version");
        is_hex(&receipt["hash"], 64);
        is_time(&receipt["at"]);
        let gone: Value = desk.ask(Ask::delete(desk.path("k"))).await.is(200).json();
        has(&gone, "at changes commit_id hash revision");
        has(&gone["changes"][0], DELETION);
        let set: Value = desk.ask(commit(&[desk.change("k", &json!(2))])).await.is(200).json();
        has(&set, "at changes commit_id hash revision");
        for (receipt, change) in [(&receipt, PUT), (&gone, DELETION)] {
            let told = desk.read(format!("/v1/commits/{}", receipt["revision"])).await;
            has(&told, COMMIT);
            has(&told["changes"][0], change);
            for field in ["hash", "commit_id", "at", "revision"] {
                assert_eq!(told[field], receipt[field], "{field}");
            }
            is_hex(&told["parent"], 64);
            assert_eq!((&told["reason"], &told["attributes"]), (&Value::Null, &json!({})));
        }
        let page = desk.read("/v1/commits?limit=1".into()).await;
        has(&page, "commits next");
        has(&page["commits"][0], COMMIT);
        let page = desk.read(format!("/v1/history/{}/k", desk.namespace)).await;
        has(&page, "next versions");
        has(&page["versions"][0], "actor at commit_id content_type op reason revision value version");
        has(&page["versions"][1], "actor at commit_id op reason revision");
        let page = desk.read(format!("/v1/diff/{}?from=0", desk.namespace)).await;
        has(&page, "changes from next to");
        has(&page["changes"][0], "key kind new old");
        has(&page["changes"][0]["new"], ENTRY);
        assert_eq!(page["changes"][0]["old"], Value::Null);
    }

    async fn a_dry_run_a_rollback_and_a_refusal_have_the_fields_of_the_api(log) {
        let desk = Desk::on(log);
        let first = desk.put("k", "1").await;
        let back = json!({ "namespace": desk.namespace, "to_revision": first, "reason": "r" });
        let nothing: Value = desk.ask(Ask::post("/v1/rollback", &back)).await.is(200).json();
        has(&nothing, "at changes commit_id hash revision");
        assert_eq!((&nothing["commit_id"], &nothing["changes"]), (&Value::Null, &json!([])));
        desk.put("k", "2").await;
        let body = json!({ "changes": [desk.change("k", &json!(3))], "expects": [{ "namespace": desk.namespace, "key": "o", "exists": true }] });
        for ask in [Ask::post("/v1/commits?dry_run=true", &body), Ask::post("/v1/rollback?dry_run=true", &back)] {
            let dry: Value = desk.ask(ask).await.is(200).json();
            has(&dry, "changes failures revision would_succeed");
            has(&dry["changes"][0], "key kind namespace new old");
            has(&dry["changes"][0]["old"], ENTRY);
            has(&dry["changes"][0]["new"], ENTRY);
        }
        let conflict = desk.ask(Ask::post("/v1/commits", &body)).await.is_problem(409, "conflict");
        has(&conflict, "code detail failures status title type");
        has(&conflict["failures"][0], "current_revision expected index key namespace");
        assert_eq!(conflict["failures"][0]["index"], Value::Null);
        let refused = desk.ask(Ask::put(desk.path("k"), "1").header("If-None-Match", "*")).await;
        has(&refused.is_problem(412, "precondition_failed"), "code current_revision detail status title type");
        let wrong = desk.ask(Ask::put(desk.path("k"), "{")).await.is_problem(400, "invalid_json");
        has(&wrong, "code column detail line status title type");
        has(&desk.get("absent").await.is_problem(404, "key_not_found"), "code detail status title type");
    }

    async fn a_status_a_manifest_a_poll_and_a_heartbeat_have_the_fields_of_the_api(log) {
        let desk = Desk::on(log);
        let revision = desk.put("k", "1").await;
        let status = desk.read("/v1/status".into()).await;
        has(&status, "bytes digest entries hash lag_revisions last_commit_at log phase revision role started_at stream stream_id version");
        assert!(status["log"]["kind"].is_string() && status["log"]["position"].is_u64(), "{status}");
        is_hex(&status["stream_id"], 32);
        is_hex(&status["digest"], 64);
        is_time(&status["started_at"]);
        let (answer, _) = crate::follow::latest(&desk).await;
        let manifest: Value = answer.json();
        has(&manifest, "blake3 blocks bytes created_at digest entries hash log_position name revision stream_id");
        has(&manifest["blocks"][0], "blake3 bytes first_key offset");
        is_time(&manifest["created_at"]);
        let poll = format!("/v1/watch?namespaces={}&after={}&wait=1s&values=", desk.namespace, revision - 1);
        let poll = |values: &str| desk.ask(Ask::get(format!("{poll}{values}")).header("Accept", "application/json"));
        for (values, fields) in [("new", PUT.to_owned()), ("both", "content_type key namespace old op value version".to_owned()), ("none", without(PUT, "value"))] {
            let polled: Value = poll(values).await.is(200).json();
            has(&polled, "commits revision");
            has(&polled["commits"][0], COMMIT);
            has(&polled["commits"][0]["changes"][0], &fields);
        }
        let events = crate::watch::beginning(desk.stand, &format!("/v1/watch?after={revision}"), &[], "\n\n").await;
        let (_, data) = events.split_once("event: heartbeat\n").unwrap().1.split_once("data: ").unwrap();
        has(&serde_json::from_str(data.lines().next().unwrap()).unwrap(), "digest hash revision");
        let part = format!("/v1/watch?namespaces={}&prefix=k", desk.namespace);
        let events = crate::watch::beginning(desk.stand, &part, &[], "\n\n").await;
        let (_, data) = events.split_once("data: ").unwrap();
        has(&serde_json::from_str(data.lines().next().unwrap()).unwrap(), "hash revision");
    }

    async fn a_page_has_100_items_unless_told(log) {
        let desk = Desk::on(log);
        let changes: Vec<_> = (0..101).map(|n| desk.change(&format!("k{n:03}"), &json!(n))).collect();
        let revision = desk.ask(commit(&changes)).await.is(200).revision();
        for target in [format!("/v1/config/{}", desk.namespace), format!("/v1/diff/{}?from={}", desk.namespace, revision - 1)] {
            let page = desk.read(target.clone()).await;
            let items = page.as_object().unwrap().values().find_map(Value::as_array).unwrap();
            assert_eq!(items.len(), 100, "{target}");
            let join = if target.contains('?') { '&' } else { '?' };
            let next = page["next"].as_str().unwrap();
            // A cursor goes with any limit.
            let rest = desk.read(format!("{target}{join}limit=1000&cursor={next}")).await;
            let items = rest.as_object().unwrap().values().find_map(Value::as_array).unwrap();
            assert_eq!((items.len(), &rest["next"]), (1, &Value::Null));
        }
    }
}
