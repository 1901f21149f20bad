//! Requests that nobody would write, to every route: each is answered, never by an internal error, and each refusal is
//! a problem of the table.

use std::collections::BTreeSet;
use std::time::Duration;

use headwater_api::Code;
use headwater_tests::on_both_logs;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Desk;

/// No request may take longer: what it waits for is named in it, and short.
const PATIENCE: Duration = Duration::from_secs(30);
const REQUESTS: u64 = 400;

/// A path (`~` stands for a namespace, `*` for a key), its methods, its parameters.
type Route = (&'static str, &'static [&'static str], &'static [&'static str]);

const ROUTES: &[Route] = &[
    ("/v1/config/~/*", &["GET", "GET", "HEAD"], &["at", "consistency", "stream"]),
    ("/v1/config/~/*", &["PUT", "PUT", "DELETE"], &[]),
    ("/v1/config/~", &["GET", "HEAD"], &["prefix", "keys_only", "at", "limit", "cursor", "stream"]),
    ("/v1/history/~/*", &["GET", "HEAD"], &["limit", "cursor"]),
    ("/v1/diff/~", &["GET", "HEAD"], &["from", "from", "from", "to", "prefix", "limit"]),
    ("/v1/namespaces", &["GET", "HEAD"], &["limit", "cursor"]),
    (
        "/v1/commits",
        &["GET", "GET", "HEAD"],
        &[
            "after",
            "before",
            "namespace",
            "prefix",
            "actor",
            "since",
            "until",
            "order",
            "limit",
            "cursor",
        ],
    ),
    ("/v1/commits", &["POST"], &["dry_run"]),
    ("/v1/commits", &["POST"], &["dry_run"]),
    ("/v1/rollback", &["POST"], &["dry_run"]),
    ("/v1/commits/1", &["GET", "HEAD"], &["stream"]),
    ("/v1/commits/*", &["GET"], &[]),
    ("/v1/watch", &["GET", "HEAD"], &["namespaces", "prefix", "key", "after", "values", "stream"]),
    ("/v1/stream", &["GET", "HEAD"], &["after", "hash", "namespaces"]),
    ("/v1/images/latest", &["GET", "HEAD"], &[]),
    ("/v1/images/*", &["GET"], &[]),
    ("/v1/status", &["GET"], &["stream"]),
    ("/healthz", &["GET"], &[]),
    ("/readyz", &["GET"], &[]),
    ("/metrics", &["GET"], &[]),
    ("/openapi.json", &["GET"], &[]),
    ("/v1/*", &["GET"], &[]),
    ("*", &["GET"], &[]),
];
/// What any route may be asked, too.
const METHODS: &[&str] = &["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS", "FOO"];
const PARAMETERS: &[&str] = &["limit", "at", "after", "dry_run", "nonsense", "Limit", ""];
const KEYS: &[&str] = &[
    "k",
    "a/b",
    "a%2Fb",
    "gr%C3%BC%C3%9Fe",
    "",
    "/",
    "a//b",
    "..",
    "a/../b",
    "%00",
    "%",
    "%zz",
    "%FF",
    "%C0%AF",
    "%ED%A0%80",
    "a+b",
    "a?b",
    "a;b",
    "1.hwi",
    "0-0000000000000000000000000000000000000000000000000000000000000000.hwi",
];
const TEXTS: &[&str] = &[
    "",
    "0",
    "1",
    "2",
    "1000",
    "1001",
    "-1",
    "1.5",
    "1e9",
    "18446744073709551615",
    "18446744073709551616",
    "true",
    "false",
    "x",
    "%00",
    "%",
    "%FF",
    "a,b",
    "~",
    "_x",
    "A",
    "linearizable",
    "local",
    "both",
    "none",
    "asc",
    "desc",
    "2026-11-22T08:15:30Z",
    "2999-01-01T00:00:00+01:00",
    "1970-01-01T00:00:00.000Z",
    "AAAA",
    "0123456789abcdef0123456789abcdef",
];
const HEADERS: &[(&str, &[&str])] = &[
    (
        "Accept",
        &[
            "*/*",
            "text/event-stream",
            "application/json",
            "application/vnd.headwater.entry+json",
            "application/vnd.headwater.commit+avro",
            "text/html",
            ";;;",
            "*/*;q=0",
        ],
    ),
    (
        "Content-Type",
        &[
            "application/json",
            "application/json",
            "text/plain",
            "application/octet-stream",
            "x",
            "application/x-www-form-urlencoded",
            "a/b;c=\"",
            "\u{e9}",
        ],
    ),
    ("If-Match", &["*", "\"1\"", "1", "W/\"1\"", "\"", ","]),
    ("If-None-Match", &["*", "\"1\"", "1", "W/\"1\"", "\"", ","]),
    ("Idempotency-Key", &["a", "b", "", "a b", "\u{e9}"]),
    ("Headwater-Actor", &["ann", "%", "%FF", "%00", ""]),
    ("Headwater-Reason", &["because", "%0A", "%"]),
    ("Last-Event-ID", &["0", "x", "18446744073709551615"]),
    ("Range", &["bytes=0-1", "bytes=-1", "bytes=999999999-", "x"]),
    ("If-Range", &["\"1\"", "x"]),
    ("traceparent", &["x", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]),
    ("Expect", &["100-continue"]),
    ("Content-Encoding", &["gzip"]),
];
const FIELDS: &[&str] = &[
    "changes",
    "expects",
    "reason",
    "actor",
    "attributes",
    "base_revision",
    "namespace",
    "key",
    "prefix",
    "to_revision",
    "put",
    "delete",
    "expect",
    "value",
    "value_base64",
    "content_type",
    "revision",
    "absent",
    "exists",
    "nonsense",
];

struct Monkey {
    dice: StdRng,
    namespace: String,
}

impl Monkey {
    fn one_in(&mut self, many: u32) -> bool {
        self.dice.random_range(0..many) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.dice.random_range(0..of.len())]
    }

    fn key(&mut self) -> &'static str {
        if self.one_in(2) { "k" } else { self.pick(KEYS) }
    }

    fn text(&mut self) -> String {
        let text = self.pick(TEXTS);
        text.replace('~', &self.namespace)
    }

    fn target(&mut self, (path, _, parameters): Route) -> String {
        let namespace =
            if self.one_in(6) { self.pick(TEXTS).to_owned() } else { self.namespace.clone() };
        let path = path.replace('~', &namespace);
        let key = self.key();
        let mut path = path.replace('*', key);
        if self.one_in(12) {
            let at = self.dice.random_range(0..=path.len());
            path.insert_str(
                at,
                self.pick(&["/", "%", "%2F", "..", "~", "?", "&", "\"", "{", "^", "`", "\\", "#"]),
            );
        }
        let mut query: Vec<String> = Vec::new();
        while self.one_in(2) {
            let name = match (parameters, self.one_in(8)) {
                ([_, ..], false) => self.pick(parameters),
                ([], false) => continue,
                (_, true) => self.pick(PARAMETERS),
            };
            query.push(format!("{name}={}", self.text()));
        }
        if path.starts_with("/v1/config") && self.one_in(8) {
            // It must not wait for long.
            query.push(format!(
                "min_revision={}&timeout={}",
                self.text(),
                self.pick(&["0s", "10ms", "61s", "x"])
            ));
        }
        if path.contains("watch") {
            query.push(format!("wait={}", self.pick(&["0s", "10ms", "61s", "x"])));
        }
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }

    fn json(&mut self, depth: u32) -> Value {
        match self.dice.random_range(0..if depth == 0 { 6 } else { 9 }) {
            0 => Value::Null,
            1 => json!(self.dice.random::<bool>()),
            2 => json!(self.dice.random_range(0..5)),
            3 => json!(self.dice.random::<i64>()),
            4 => json!(self.dice.random::<f64>()),
            5 => json!(self.text()),
            6 => (0..self.dice.random_range(0..3)).map(|_| self.json(depth - 1)).collect(),
            _ => (0..self.dice.random_range(0..5))
                .map(|_| (self.pick(FIELDS).to_owned(), self.json(depth - 1)))
                .collect(),
        }
    }

    /// Something that is nearly a change.
    fn change(&mut self) -> Value {
        let mut change = json!({ "namespace": self.namespace, "key": self.key(), "put": { "value": self.json(2) } });
        if self.one_in(3) {
            change["put"] =
                json!({ "content_type": self.pick(HEADERS[1].1), "value": self.text() });
        }
        if self.one_in(4) {
            change = json!({ "namespace": self.namespace, "key": "k", "delete": true });
        }
        if self.one_in(4) {
            change[self.pick(FIELDS)] = self.json(2);
        }
        change
    }

    fn body(&mut self) -> Vec<u8> {
        let mut body = match self.dice.random_range(0..4) {
            0 => self.json(4),
            1 => {
                json!({ "namespace": self.namespace, "to_revision": self.dice.random_range(0..4), "reason": "r" })
            }
            _ => {
                json!({ "changes": (0..self.dice.random_range(0..3)).map(|_| self.change()).collect::<Vec<_>>() })
            }
        };
        if self.one_in(6) && body.is_object() {
            body[self.pick(FIELDS)] = self.json(2);
        }
        let mut bytes = body.to_string().into_bytes();
        if self.one_in(6) {
            let at = self.dice.random_range(0..bytes.len());
            bytes[at] = self.dice.random();
        }
        bytes
    }

    /// The method, and the bytes of a request.
    fn request(&mut self) -> (&'static str, Vec<u8>) {
        let route = self.pick(ROUTES);
        let method = if self.one_in(10) { self.pick(METHODS) } else { self.pick(route.1) };
        let mut head =
            format!("{method} {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", self.target(route));
        let mut names = BTreeSet::new();
        if method == "POST" && !self.one_in(6) {
            names.insert("Content-Type");
            head.push_str("Content-Type: application/json\r\n");
        }
        while self.one_in(2) {
            let (name, values) = self.pick(HEADERS);
            if names.insert(name) || self.one_in(9) {
                head.push_str(&format!("{name}: {}\r\n", self.pick(values)));
            }
        }
        let sends = matches!(method, "PUT" | "POST") || self.one_in(12);
        let body = if sends { self.body() } else { Vec::new() };
        if sends {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        (method, [head.as_bytes(), b"\r\n", &body].concat())
    }
}

/// The answer's status, its head in lower case, and its body. Of what never ends only the head is read.
async fn exchange(host: &str, request: &[u8]) -> (u16, String, Vec<u8>) {
    let mut socket = TcpStream::connect(host).await.unwrap();
    socket.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
            let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
            if status == 100 {
                bytes.drain(..end + 4);
                continue;
            }
            let is_endless = ["text/event-stream", "headwater.stream+avro"].iter().any(|kind| {
                head.contains(&format!("content-type: {kind}"))
                    || head.contains(&format!("content-type: application/vnd.{kind}"))
            });
            if !is_endless {
                socket.read_to_end(&mut bytes).await.unwrap();
            }
            return (status, head, bytes[end + 4..].to_vec());
        }
        assert!(socket.read_buf(&mut bytes).await.unwrap() > 0, "it closed without an answer");
    }
}

/// What an answer must be, whatever was asked; its code, if it refuses.
fn code(method: &str, status: u16, head: &str, body: &[u8]) -> Option<Code> {
    for name in ["headwater-revision: ", "headwater-stream: "] {
        assert!(head.contains(name), "no {name}");
    }
    if matches!(status, 200 | 201 | 206 | 304) {
        return None;
    }
    assert!(head.contains("content-type: application/problem+json"));
    let waits = matches!(status, 429 | 503);
    assert_eq!(head.contains("retry-after: "), waits);
    // What could not be read as a request is refused whatever its method was meant to be.
    let is_read = !String::from_utf8_lossy(body).contains("this is no HTTP/1.1 request");
    if method == "HEAD" && is_read {
        assert!(body.is_empty());
        return None;
    }
    let problem: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(problem["status"], status);
    for field in ["type", "title", "detail"] {
        assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
    }
    let code: Code = serde_json::from_value(problem["code"].clone()).unwrap();
    assert_eq!(code.status(), status);
    Some(code)
}

on_both_logs! {
    async fn whatever_is_asked_is_answered_by_the_table_and_never_by_an_internal_error(log) {
        let desk = Desk::on(log);
        desk.put("k", "1").await;
        let seed: u64 = std::env::var("HEADWATER_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
        println!("HEADWATER_SEED={seed}");
        let one = |monkey: u64| {
            let (host, namespace) = (desk.stand.server.host(), desk.namespace.clone());
            async move {
                let (mut seen, mut done) = (BTreeSet::new(), 0);
                let mut monkey = Monkey { dice: StdRng::seed_from_u64(seed ^ monkey), namespace };
                for _ in 0..REQUESTS {
                    let (method, request) = monkey.request();
                    let shown = String::from_utf8_lossy(&request).into_owned();
                    let asked = tokio::time::timeout(PATIENCE, exchange(host, &request)).await;
                    let (status, head, body) = asked.unwrap_or_else(|_| panic!("no answer to {shown}"));
                    println!("{shown}\n=> {head}\n{}\n", String::from_utf8_lossy(&body[..body.len().min(500)]));
                    assert_ne!(status, 500);
                    match code(method, status, &head, &body) {
                        Some(code) => drop(seen.insert(code.as_str())),
                        None => done += 1,
                    }
                }
                (seen, done)
            }
        };
        let (one, two, three) = tokio::join!(one(1), one(2), one(3));
        let seen: BTreeSet<_> = [one.0, two.0, three.0].into_iter().flatten().collect();
        println!("{seen:?}");
        assert!(seen.len() >= 7 && one.1 + two.1 + three.1 > 100, "it must come far enough to mean something: {seen:?}");
        assert!(!desk.stand.server.log().contains("internal error"), "{}", desk.stand.server.log());
        desk.ask(headwater_tests::http::Ask::get("/v1/status")).await.is(200);
    }
}
