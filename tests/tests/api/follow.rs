//! The binary stream and the images.

use std::time::Duration;

use headwater_api::{Frame, ManifestBody};
use headwater_client::{Client, FrameStream};
use headwater_schemas::Hash;
use headwater_tests::http::{Answer, Ask};
use headwater_tests::on_both_logs;
use headwater_tests::stand::{Log, Stand};
use serde_json::Value;

use crate::Desk;

const PATIENCE: Duration = Duration::from_secs(30);

fn client(stand: &Stand) -> Client {
    Client::builder().server(stand.server.url()).build().unwrap()
}

async fn next(stream: &mut FrameStream) -> Frame {
    tokio::time::timeout(PATIENCE, stream.next()).await.expect("a frame in time").unwrap()
}

/// A server of one's own with some commits, and its revisions' hashes: who follows all wants to be alone.
async fn alone(log: Log, commits: u64) -> (Stand, Vec<Hash>) {
    let stand = Stand::start(log);
    let mut hashes = Vec::new();
    for number in 1..=commits {
        hashes.push(put(&stand, &format!("app/k{}", number % 5), number).await);
    }
    (stand, hashes)
}

async fn put(stand: &Stand, key: &str, value: u64) -> Hash {
    let answer = stand.ask(Ask::put(format!("/v1/config/{key}"), value.to_string())).await;
    let receipt: Value = answer.json();
    Hash::from_hex(receipt["hash"].as_str().unwrap_or_else(|| panic!("{receipt}"))).unwrap()
}

on_both_logs! {
    async fn a_stream_begins_with_a_heartbeat_and_gives_every_record_as_stored(log) {
        let (stand, hashes) = alone(log, 12).await;
        let mut stream = client(&stand).stream(2, hashes[1], None).await.unwrap();
        let status = stand.status().await;
        match next(&mut stream).await {
            Frame::Heartbeat { stream_id, revision, hash, digest, .. } => {
                let server = (status.stream_id, status.revision, status.hash, status.digest);
                assert_eq!((stream_id, revision, hash, digest), server);
            }
            other => panic!("{other:?}"),
        }
        let mut expected = hashes[2..].to_vec();
        for value in 100..105 {
            expected.push(put(&stand, "other/k", value).await);
        }
        for (expected, revision) in expected.iter().zip(3..) {
            loop {
                match next(&mut stream).await {
                    Frame::Commit { record, .. } => {
                        assert_eq!(Hash::of(&record), *expected, "revision {revision}");
                        break;
                    }
                    Frame::Heartbeat { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    async fn a_filtered_stream_gives_only_what_was_asked_for_and_says_where_it_is(log) {
        let (stand, hashes) = alone(log, 3).await;
        let wanted = ["mine".parse().unwrap()];
        let mut stream = client(&stand).stream(3, hashes[2], Some(&wanted)).await.unwrap();
        assert!(matches!(next(&mut stream).await, Frame::Heartbeat { .. }));
        let silent = put(&stand, "app/k", 1).await;
        let mine = put(&stand, "mine/k", 2).await;
        let (mut at, mut given) = (3, Vec::new());
        while at < 5 {
            match next(&mut stream).await {
                Frame::Filtered { previous, hash, .. } => {
                    assert_eq!(previous, at, "nothing was skipped unsaid");
                    at = 5;
                    given.push(hash);
                }
                Frame::Progress { previous, revision, hash, .. } => {
                    assert_eq!((previous, revision, hash), (at, 4, silent));
                    at = 4;
                }
                Frame::Heartbeat { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(given, [mine]);
    }

    async fn a_stream_of_another_chain_is_409_and_one_above_the_head_waits(log) {
        let (stand, hashes) = alone(log, 4).await;
        let wrong = format!("/v1/stream?after=3&hash={}", hashes[3]);
        stand.ask(Ask::get(wrong)).await.is_problem(409, "wrong_chain");
        let other = format!("/v1/stream?after=4&hash={}&stream=0123456789abcdef0123456789abcdef", hashes[3]);
        stand.ask(Ask::get(other)).await.is_problem(409, "wrong_stream");
        let media = Ask::get(format!("/v1/stream?after=4&hash={}", hashes[3])).header("Accept", "text/event-stream");
        stand.ask(media).await.is_problem(406, "not_acceptable");
        let mut stream = client(&stand).stream(4, hashes[3], None).await.unwrap();
        assert!(matches!(next(&mut stream).await, Frame::Heartbeat { revision: 4, .. }));
        let five = put(&stand, "app/k", 5).await;
        match next(&mut stream).await {
            Frame::Commit { record, .. } => assert_eq!(Hash::of(&record), five),
            other => panic!("{other:?}"),
        }
    }

    async fn a_server_that_ends_says_so_on_its_streams(log) {
        let (mut stand, hashes) = alone(log, 1).await;
        let mut stream = client(&stand).stream(1, hashes[0], None).await.unwrap();
        assert!(matches!(next(&mut stream).await, Frame::Heartbeat { .. }));
        assert_eq!(stand.server.terminate(Duration::from_secs(10)), 0);
        match next(&mut stream).await {
            Frame::End { problem } => assert_eq!(problem.code.as_str(), "shutting_down"),
            other => panic!("{other:?}"),
        }
    }

    async fn an_image_is_what_its_manifest_says_and_comes_by_ranges(log) {
        let desk = Desk::on(log);
        desk.put("k", "1").await;
        let (answer, manifest) = latest(&desk).await;
        assert_eq!(answer.header("cache-control"), "no-cache");
        let tag = answer.header("etag").to_owned();
        assert!(tag.starts_with('"'), "{tag}");
        assert_eq!(manifest.name, format!("{}-{}.hwi", manifest.revision, manifest.hash));
        let target = format!("/v1/images/{}", manifest.name);
        let whole = desk.ask(Ask::get(&target)).await.is(200);
        assert_eq!(whole.body.len() as u64, manifest.bytes);
        assert_eq!(Hash::of(&whole.body), manifest.blake3);
        assert_eq!(whole.header("cache-control"), "public, max-age=31536000, immutable");
        let head = desk.ask(Ask::new("HEAD", &target)).await.is(200);
        assert_eq!((head.body.len(), head.header("content-length")), (0, &*manifest.bytes.to_string()));

        let size = whole.body.len();
        for (range, from, until) in [
            ("bytes=0-9".to_owned(), 0, 10),
            (format!("bytes=10-{}", size + 50), 10, size),
            ("bytes=-16".to_owned(), size - 16, size),
            ("bytes=7-".to_owned(), 7, size),
        ] {
            let part = desk.ask(Ask::get(&target).header("Range", &range)).await.is(206);
            assert_eq!(part.body, whole.body[from..until], "{range}");
            assert_eq!(part.header("content-range"), format!("bytes {from}-{}/{size}", until - 1));
        }
        let outside = desk.ask(Ask::get(&target).header("Range", format!("bytes={size}-"))).await;
        outside.is_problem(416, "range_not_satisfiable");
        assert_eq!(outside.header("content-range"), format!("bytes */{size}"));
        // Several ranges, other units and what is no range ask for all of it, and so does every HEAD.
        for range in ["bytes=0-1,3-4", "items=0-1", "bytes=2-1", "bytes=x-y", "bytes=-", "bytes="] {
            assert_eq!(desk.ask(Ask::get(&target).header("Range", range)).await.is(200).body.len(), size, "{range}");
        }
        for range in ["bytes=0-0", &format!("bytes={size}-")] {
            let head = desk.ask(Ask::new("HEAD", &target).header("Range", range)).await.is(200);
            assert_eq!((head.header("content-length"), head.header("content-range")), (&*size.to_string(), ""));
        }
        for none in [format!("bytes={size}-"), "bytes=-0".into(), format!("bytes={}-", u64::MAX), "bytes=99999999999999999999999-".into()] {
            desk.ask(Ask::get(&target).header("Range", none)).await.is_problem(416, "range_not_satisfiable");
        }
        let own = whole.header("etag").to_owned();
        let weak = Ask::get(&target).header("Range", "bytes=0-3").header("If-Range", format!("W/{own}"));
        desk.ask(weak).await.is(200);
        assert_eq!(whole.header("headwater-revision"), manifest.revision.to_string());
        let part = Ask::get(&target).header("Range", "bytes=0-3");
        desk.ask(part.clone().header("If-Range", &own)).await.is(206);
        desk.ask(part.header("If-Range", "\"another\"")).await.is(200);
        desk.ask(Ask::get(&target).header("If-None-Match", &own)).await.is(304);
        // Each block, decompressed, has the hash that the manifest tells; here: they fill the file in order.
        let ends = manifest.blocks.iter().map(|block| block.offset + block.bytes);
        let starts = manifest.blocks.iter().map(|block| block.offset);
        assert!(ends.zip(starts.skip(1)).all(|(end, start)| end == start));
    }

    async fn a_stream_from_before_the_servers_memory_is_410_with_the_oldest_revision_it_has(log) {
        let (mut stand, hashes) = alone(log, 5).await;
        assert_eq!(stand.server.terminate(PATIENCE), 0);
        stand.server.restart();
        for target in ["/v1/stream?after=2".to_owned(), format!("/v1/stream?after=2&hash={}", hashes[1])] {
            let problem = stand.ask(Ask::get(&target)).await.is_problem(410, "revision_compacted");
            assert_eq!(problem["oldest_revision"], 5, "{problem}");
        }
        // Which of two chains it is on is told first, once history has caught up behind the restart.
        let in_history = async {
            while stand.ask(Ask::get("/v1/commits/2")).await.status != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, in_history).await.expect("history catches up");
        let other = format!("/v1/stream?after=2&hash={}", hashes[2]);
        stand.ask(Ask::get(other)).await.is_problem(409, "wrong_chain");
        let head = format!("/v1/stream?after=5&hash={}", hashes[3]);
        stand.ask(Ask::get(head)).await.is_problem(409, "wrong_chain");
        for (query, status, code) in [
            ("after=5&hash=x", 400, "invalid_request"), (&*format!("hash={}", hashes[4]), 400, "invalid_request"),
            ("namespaces=A", 400, "invalid_name"), ("namespaces=_x", 403, "reserved_namespace"), ("after=-1", 400, "invalid_request"),
        ] {
            stand.ask(Ask::get(format!("/v1/stream?{query}"))).await.is_problem(status, code);
        }
    }

    async fn no_name_leads_out_of_the_shelf(log) {
        let desk = Desk::on(log);
        let hash = "0".repeat(64);
        for name in [
            "latest.json", "..%2Flatest.json", "..%2F..%2Fstore%2FCURRENT", "x.hwi", &format!("1-{hash}.hwi"),
            &format!("01-{hash}.hwi"), &format!("1-{hash}.hwi%00"), "%2Fetc%2Fpasswd",
        ] {
            let answer = desk.ask(Ask::get(format!("/v1/images/{name}"))).await;
            assert!(matches!(answer.status, 400 | 404), "{name}: {} {}", answer.status, answer.text());
        }
    }
}

/// The newest manifest; the first image is cut in the background.
pub(crate) async fn latest(desk: &Desk) -> (Answer, ManifestBody) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = desk.ask(Ask::get("/v1/images/latest")).await;
        if answer.status == 200 {
            let manifest = answer.json();
            return (answer, manifest);
        }
        answer.is_problem(404, "not_found");
        assert!(tokio::time::Instant::now() < deadline, "no image was cut");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
