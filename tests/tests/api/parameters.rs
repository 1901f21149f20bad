//! Query parameters, on every route.

use headwater_tests::http::Ask;
use headwater_tests::on_both_logs;
use serde_json::Value;

use crate::{Desk, commit};

/// What is asked for to operate a server: it compares no stream.
const OPERATED: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/openapi.json"];

impl Desk {
    /// The lists, each up to its own parameters.
    fn lists(&self) -> [String; 5] {
        let namespace = &self.namespace;
        [
            format!("/v1/config/{namespace}?"),
            "/v1/namespaces?".into(),
            format!("/v1/history/{namespace}/k?"),
            format!("/v1/diff/{namespace}?from=0&"),
            "/v1/commits?".into(),
        ]
    }

    /// Every read that ends, each up to its own parameters. The key `k` must be there.
    pub(crate) fn reads(&self) -> Vec<String> {
        let mut reads = self.lists().to_vec();
        let alone =
            ["/v1/commits/1", "/v1/status", "/v1/images/latest"].map(|path| format!("{path}?"));
        reads.extend(alone);
        reads.push(format!("{}?", self.path("k")));
        reads
    }

    /// Every call that follows, each up to its own parameters.
    fn follows(&self) -> [String; 2] {
        ["/v1/watch", "/v1/stream"].map(|path| format!("{path}?namespaces={}&", self.namespace))
    }

    /// Every write, which takes no parameter but `dry_run`.
    fn writes(&self) -> [Ask; 4] {
        let body =
            serde_json::json!({ "namespace": self.namespace, "to_revision": 0, "reason": "r" });
        let changes = [self.change("k", &serde_json::json!(2))];
        [
            Ask::put(self.path("k"), "2"),
            Ask::delete(self.path("k")),
            commit(&changes),
            Ask::post("/v1/rollback", &body),
        ]
    }

    async fn says(&self, target: &str, status: u16, code: &str) {
        println!("GET {target}");
        self.ask(Ask::get(target)).await.is_problem(status, code);
    }
}

on_both_logs! {
    async fn a_limit_is_1_to_1000_on_every_list_and_refused_beyond_never_clamped(log) {
        let desk = Desk::on(log);
        desk.put("k", "1").await;
        for list in desk.lists() {
            for fine in ["1", "1000", "", "%31", "0001"] {
                desk.ask(Ask::get(format!("{list}limit={fine}"))).await.is(200);
            }
            for wrong in [
                "0", "1001", "-1", "1.5", "1e2", "+1", "0x1", "ten", "%31%20", "18446744073709551616", "1&limit=1", "&limit=1&limit=",
            ] {
                desk.says(&format!("{list}limit={wrong}"), 400, "invalid_request").await;
            }
            let page: Value = desk.ask(Ask::get(format!("{list}limit=1"))).await.is(200).json();
            let items = page.as_object().unwrap().values().find_map(Value::as_array).unwrap();
            assert_eq!(items.len(), 1, "{page}");
        }
    }

    async fn a_duration_is_ms_s_or_m_and_at_most_a_minute(log) {
        let desk = Desk::on(log);
        let revision = desk.put("k", "1").await;
        let value = format!("{}?min_revision={revision}&timeout=", desk.path("k"));
        let poll = format!("/v1/watch?namespaces={}&after={}&wait=", desk.namespace, revision - 1);
        let ask = |target: String| desk.ask(Ask::get(target).header("Accept", "application/json"));
        for fine in ["0s", "0ms", "5s", "60s", "1m", "60000ms", "%35s", ""] {
            for target in [&value, &poll] {
                ask(format!("{target}{fine}")).await.is(200);
            }
        }
        for wrong in [
            "61s", "60001ms", "2m", "1h", "5", "0", "1.5s", "-1s", "%2B1s", "1S", "ms", "1%20s", "5s&timeout=5s&wait=5s", "1us",
            "99999999999999999999s",
        ] {
            for target in [&value, &poll] {
                ask(format!("{target}{wrong}")).await.is_problem(400, "invalid_request");
            }
        }
        // Nothing waits where nothing is waited for.
        desk.get("k?timeout=5s").await.is(200);
        desk.get("k?min_revision=&timeout=5s").await.is(200);
        desk.get("k?timeout=61s").await.is_problem(400, "invalid_request");
    }

    async fn a_time_is_rfc_3339_with_any_offset_and_digits_are_a_revision(log) {
        let desk = Desk::on(log);
        let revision = desk.put("k", "1").await;
        let page: Value = desk.ask(Ask::get(format!("/v1/commits/{revision}"))).await.is(200).json();
        let at = page["at"].as_str().unwrap().to_owned();
        let (second, _) = at.split_once('.').unwrap();
        let day = second.split_once('T').unwrap().0;
        let key = desk.path("k");
        for same in [
            at.clone(), at.replace('Z', "%2B00:00"), at.replace('Z', "+00:00"), at.replace('Z', "-00:00"), at.replace('Z', "999Z"),
            at.to_lowercase(), revision.to_string(), format!("00{revision}"), String::new(), "9999-12-31T23:59:59.999Z".into(),
            "2999-06-30T23:59:60Z".into(), "2996-02-29T00:00:00+23:59".into(),
        ] {
            desk.ask(Ask::get(format!("{key}?at={same}"))).await.is(200);
        }
        // Before it: a day's end of long ago, in both directions of the clock.
        for before in ["1970-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "1969-12-31T23:59:59.999999999-23:59", "0"] {
            desk.says(&format!("{key}?at={before}"), 404, "key_not_found").await;
        }
        for wrong in [
            day.to_owned(), second.to_owned(), format!("{second}.Z"), format!("{day}%2000:00:00Z"), format!("{day}T24:00:00Z"),
            "2026-02-29T00:00:00Z".into(), "2026-13-01T00:00:00Z".into(), format!("{second}%2B24:00"), format!("{second}%2B01:60"),
            format!("{second}%2B0100"), "10000-01-01T00:00:00Z".into(), "18446744073709551616".into(), "-1".into(), "%2B1".into(),
            "1.0".into(), "head".into(), format!("{revision}&at={revision}"),
        ] {
            for target in [
                format!("{key}?at="), format!("/v1/config/{}?at=", desk.namespace), format!("/v1/diff/{}?from=", desk.namespace),
                format!("/v1/diff/{}?from=0&to=", desk.namespace),
            ] {
                let wrong = wrong.replace("&at=", &format!("&{}=", target.rsplit(['?', '&']).next().unwrap().trim_end_matches('=')));
                desk.says(&format!("{target}{wrong}"), 400, "invalid_request").await;
            }
        }
        for wrong in [second, "17", "yesterday"] {
            for name in ["since", "until"] {
                desk.says(&format!("/v1/commits?{name}={wrong}"), 400, "invalid_request").await;
            }
        }
        for future in ["18446744073709551615", "9223372036854775808"] {
            desk.says(&format!("{key}?at={future}"), 404, "revision_in_future").await;
        }
    }

    async fn no_call_passes_over_a_parameter_that_it_does_not_know_or_has_twice(log) {
        let desk = Desk::on(log);
        desk.put("k", "1").await;
        let operated = OPERATED.map(|path| format!("{path}?"));
        for target in desk.reads().into_iter().chain(desk.follows()).chain(operated) {
            for wrong in ["lmit=1", "lmit=", "lmit", "Limit=1", "=1", "%6Cmit=1", "lmit=%zz", "%00=1"] {
                desk.says(&format!("{target}{wrong}"), 400, "invalid_request").await;
                let head = desk.ask(Ask::new("HEAD", format!("{target}{wrong}"))).await;
                assert_eq!((head.status, head.body.len()), (400, 0), "HEAD {target}{wrong}");
            }
            desk.says(&format!("{target}stream=&stream="), 400, "invalid_request").await;
        }
        for write in desk.writes() {
            for wrong in ["lmit=1", "lmit=", "dry_run=TRUE", "dry_run=1", "dry_run=true&dry_run=true", "stream=0", "=", "limit=1"] {
                let ask = write.clone().query(wrong);
                println!("{ask:?}");
                desk.ask(ask).await.is_problem(400, "invalid_request");
            }
        }
        assert_eq!(desk.get("k").await.is(200).text(), "1");
    }

    async fn an_empty_parameter_counts_as_absent_on_every_read(log) {
        let desk = Desk::on(log);
        let revision = desk.put("k", "1").await;
        let poll = format!("/v1/watch?namespaces=&after={}&prefix=&key=&values=&wait=0s", revision - 1);
        desk.ask(Ask::get(poll).header("Accept", "application/json")).await.is(200);
        for (path, names) in [
            (desk.path("k"), "at,min_revision,timeout,consistency,stream"),
            (format!("/v1/config/{}", desk.namespace), "prefix,keys_only,at,limit,cursor,stream"),
            ("/v1/namespaces".into(), "limit,cursor"),
            (format!("/v1/history/{}/k", desk.namespace), "limit,cursor"),
            (format!("/v1/diff/{}?from=0", desk.namespace), "to,prefix,limit,cursor"),
            ("/v1/commits".into(), "after,before,namespace,prefix,actor,since,until,order,limit,cursor"),
            ("/v1/commits/1".into(), "stream"), ("/v1/status".into(), "stream"), ("/v1/images/latest".into(), "stream"),
        ] {
            let none: String = names.split(',').map(|name| format!("{name}=&")).collect();
            let join = if path.contains('?') { '&' } else { '?' };
            desk.ask(Ask::get(format!("{path}{join}{none}"))).await.is(200);
        }
        desk.says(&format!("/v1/diff/{}?from=", desk.namespace), 400, "invalid_request").await;
    }

    async fn every_read_and_follow_call_compares_the_stream_and_what_operates_a_server_does_not(log) {
        let desk = Desk::on(log);
        desk.put("k", "1").await;
        let here = desk.stand.status().await.stream_id.to_string();
        let (_, manifest) = crate::follow::latest(&desk).await;
        let image = format!("/v1/images/{}?", manifest.name);
        for target in desk.reads().into_iter().chain([image]) {
            desk.ask(Ask::get(format!("{target}stream={here}"))).await.is(200);
        }
        let absent = ["/v1/images/1.hwi?".to_owned(), format!("{}?", desk.path("absent"))];
        for target in desk.reads().into_iter().chain(desk.follows()).chain(absent) {
            for other in ["0123456789abcdef0123456789abcdef", "0", "x", &here[1..], &format!("{here}0")] {
                desk.says(&format!("{target}stream={other}"), 409, "wrong_stream").await;
                desk.ask(Ask::new("HEAD", format!("{target}stream={other}"))).await.is(409);
            }
        }
        for path in OPERATED {
            desk.says(&format!("{path}?stream={here}"), 400, "invalid_request").await;
        }
    }

    async fn a_tag_that_holds_is_no_304_for_another_stream(log) {
        let desk = Desk::on(log);
        desk.put("k", "1").await;
        let here = desk.stand.status().await.stream_id.to_string();
        let (_, manifest) = crate::follow::latest(&desk).await;
        let list = format!("/v1/config/{}", desk.namespace);
        for path in [desk.path("k"), list, format!("/v1/images/{}", manifest.name)] {
            let tag = desk.ask(Ask::get(&path)).await.is(200).header("etag").to_owned();
            let of = |stream: &str| Ask::get(format!("{path}?stream={stream}")).header("If-None-Match", &tag);
            desk.ask(of(&here)).await.is(304);
            desk.ask(of("0123456789abcdef0123456789abcdef")).await.is_problem(409, "wrong_stream");
        }
    }
}
