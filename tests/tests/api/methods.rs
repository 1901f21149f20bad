//! What HTTP itself says of every route: methods, hosts, answers without a body.

use headwater_tests::http::{Answer, Ask};
use headwater_tests::on_both_logs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Desk;

/// What a server says to these bytes until it closes.
async fn told(desk: &Desk, bytes: &str) -> String {
    let mut socket = TcpStream::connect(desk.stand.server.host()).await.unwrap();
    socket.write_all(bytes.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    drop(socket.read_to_end(&mut said).await);
    String::from_utf8_lossy(&said).into_owned()
}

fn allowed(answer: &Answer) -> Vec<String> {
    let mut allowed: Vec<_> =
        answer.header("allow").split(',').map(|name| name.trim().to_owned()).collect();
    allowed.sort();
    allowed
}

on_both_logs! {
    async fn a_method_that_a_route_has_not_is_405_with_all_that_it_has_in_allow(log) {
        let desk = Desk::on(log);
        let (list, history, diff) = (
            format!("/v1/config/{}", desk.namespace),
            format!("/v1/history/{}/k", desk.namespace),
            format!("/v1/diff/{}", desk.namespace),
        );
        let read = ["GET", "HEAD"];
        let key = desk.path("k");
        let mut routes: Vec<(&str, &[&str])> = vec![
            (&key, &["DELETE", "GET", "HEAD", "PUT"]),
            ("/v1/commits", &["GET", "HEAD", "POST"]),
            ("/v1/rollback", &["POST"]),
        ];
        let others = [
            &list, &history, &diff, "/v1/namespaces", "/v1/commits/1", "/v1/status", "/v1/images/latest", "/v1/images/x.hwi",
            "/v1/stream", "/v1/watch", "/healthz", "/readyz", "/metrics", "/openapi.json",
        ];
        routes.extend(others.map(|path| (path, &read[..])));
        for (path, wanted) in routes {
            for method in ["GET", "PUT", "DELETE", "POST", "PATCH", "OPTIONS", "TRACE", "FOO", "get"] {
                if wanted.contains(&method) {
                    continue;
                }
                let answer = desk.ask(Ask::new(method, path)).await;
                answer.is_problem(405, "method_not_allowed");
                assert_eq!(allowed(&answer), wanted, "{method} {path}");
                assert!(!answer.header("headwater-revision").is_empty() && !answer.header("headwater-stream").is_empty());
            }
        }
    }

    async fn head_is_get_without_its_body_on_every_route(log) {
        let desk = Desk::on(log);
        desk.put("k", "{\"n\": 1}").await;
        let (_, manifest) = crate::follow::latest(&desk).await;
        let more = [
            "/healthz".into(), "/readyz".into(), "/metrics".into(), "/openapi.json".into(), format!("/v1/images/{}", manifest.name),
            desk.path("absent"), "/v1/nowhere".into(), format!("{}?at=x", desk.path("k")), "/v1/commits/99999999".into(),
        ];
        for target in desk.reads().into_iter().chain(more) {
            let (get, head) = (desk.ask(Ask::get(&target)).await, desk.ask(Ask::new("HEAD", &target)).await);
            assert_eq!((head.status, head.body.len()), (get.status, 0), "{target}");
            for name in ["content-type", "vary", "accept-ranges", "headwater-version", "headwater-stream"] {
                assert_eq!(head.header(name), get.header(name), "{name} of {target}");
            }
            assert!(!head.header("headwater-revision").is_empty(), "{target}");
            assert!(head.header("content-length").parse::<u64>().is_ok_and(|length| length > 0), "{target}");
        }
        // Of what stands still the length is the same, too.
        let value = desk.ask(Ask::new("HEAD", desk.path("k"))).await;
        assert_eq!(value.header("content-length"), "8");
        for (target, kind) in [("/v1/watch", "text/event-stream"), ("/v1/stream", "application/vnd.headwater.stream+avro")] {
            let head = desk.ask(Ask::new("HEAD", target)).await.is(200);
            assert_eq!((head.header("content-type"), head.body.len()), (kind, 0));
        }
    }

    async fn a_304_names_what_holds_and_has_neither_body_nor_length_to_get_and_head(log) {
        let desk = Desk::on(log);
        let revision = desk.put("k", "{\"n\": 1}").await;
        let (_, manifest) = crate::follow::latest(&desk).await;
        let list = format!("/v1/config/{}", desk.namespace);
        for target in [
            desk.path("k"), format!("{}?at={revision}", desk.path("k")), list.clone(), format!("{list}?at={revision}&prefix=k"),
            format!("/v1/images/{}", manifest.name),
        ] {
            let tag = desk.ask(Ask::get(&target)).await.is(200).header("etag").to_owned();
            assert!(!tag.is_empty(), "{target}");
            for method in ["GET", "HEAD"] {
                let same = desk.ask(Ask::new(method, &target).header("If-None-Match", &tag)).await.is(304);
                assert_eq!((same.body.len(), same.header("content-length"), same.header("etag")), (0, "", &*tag), "{method} {target}");
                assert!(!same.header("headwater-revision").is_empty() && !same.header("headwater-stream").is_empty());
            }
            desk.ask(Ask::get(&target).header("If-None-Match", "unquoted")).await.is_problem(400, "invalid_request");
        }
    }

    async fn an_http_1_1_request_has_one_host_and_an_http_1_0_request_need_not(log) {
        let desk = Desk::on(log);
        let path = desk.path("k");
        for hosts in ["", "Host: a\r\nHost: b\r\n", "Host: a\r\nHost: a\r\n", "Host: a b\r\n", "Host: a/b\r\n", "Host: u@a\r\n", "Host: a:b:c\r\n"] {
            for request in [
                format!("GET /v1/status HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n"),
                format!("GET http://elsewhere/healthz HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n"),
                format!("PUT {path} HTTP/1.1\r\n{hosts}Connection: close\r\nContent-Length: 1\r\n\r\n1"),
            ] {
                let said = told(&desk, &request).await;
                assert!(said.starts_with("HTTP/1.1 400 "), "{request}: {said}");
                assert!(said.contains("\"code\":\"invalid_request\"") && said.contains("headwater-stream: "), "{said}");
            }
        }
        desk.get("k").await.is_problem(404, "key_not_found");
        for hosts in ["Host: a\r\n", "Host:\r\n", "host: [::1]:7070\r\n", "HOST: 127.0.0.1:80\r\n"] {
            let said = told(&desk, &format!("GET /v1/status HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n")).await;
            assert!(said.starts_with("HTTP/1.1 200 "), "{hosts}: {said}");
        }
        let said = told(&desk, "GET /v1/status HTTP/1.0\r\n\r\n").await;
        assert!(said.starts_with("HTTP/1.0 200 ") || said.starts_with("HTTP/1.1 200 "), "{said}");
    }
}
