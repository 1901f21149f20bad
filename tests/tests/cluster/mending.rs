//! What an operator does after a loss or a wrong commit, and that everybody else follows without a hand.

use std::time::Duration;

use headwater::{Client, Handle};
use headwater_schemas::{Change, Codec, Commit, CommitId, Digest, FORMAT, Head, encode_commit};
use headwater_tests::field::Field;
use headwater_tests::http::Ask;
use headwater_tests::stand::{chain, status};
use headwater_tests::topic;

use crate::in_turn;

const PATIENCE: Duration = Duration::from_secs(60);

async fn service(field: &Field, namespaces: &[&str]) -> Client {
    let builder = field.sdk().startup_timeout(PATIENCE).namespaces(namespaces.iter().copied());
    builder.connect().await.expect("a service starts")
}

/// Waits until a handle holds a value.
async fn holds(handle: &Handle<u64>, value: u64, client: &Client) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while *handle.load() != value {
        let status = client.status();
        assert!(
            tokio::time::Instant::now() < deadline,
            "{} is not {value}: {status:?}",
            *handle.load()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_restored_from_an_older_copy_stops_everybody_and_one_that_is_adopted_is_followed_by_all()
 {
    in_turn(async |cluster| {
        let mut field = cluster.field(2, 1);
        let kept = field.fill(0..60).await;
        field.agreed().await;
        let backup = tokio::task::block_in_place(|| cluster.back_up());
        field.writable().await;
        let lost = field.fill(60..100).await;
        field.agreed().await;
        let (some, all) = (service(&field, &["app"]).await, service(&field, &[]).await);
        let one: Handle<u64> = some.handle("k9").expect("a handle");
        assert_eq!(*one.load(), 99);
        all.wait_for(lost).await.expect("the service follows");

        // The brokers come back without what was acknowledged behind the copy.
        tokio::task::block_in_place(|| cluster.restore(&backup));
        field.stand_still("truncated").await;
        for server in field.publishers.iter().chain(&field.snapshotters) {
            let deadline = tokio::time::Instant::now() + PATIENCE;
            loop {
                let told = status(server.host()).await;
                assert_eq!(told.revision, lost, "it serves its last good state: {told:?}");
                if told.phase == "read_only" {
                    break;
                }
                assert!(tokio::time::Instant::now() < deadline, "{told:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        assert_eq!(field.ask(0, Ask::get("/v1/config/app/k9")).await.is(200).text(), "99");
        // One that starts anew from its cache acknowledges nothing, either.
        field.publishers[1].kill9();
        field.publishers[1].restart_unready();
        let (code, told) = field.mend(&["show", "--json"]);
        assert_eq!(code, 0, "{told}");
        let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        let end = told["revision"].as_u64().expect("a revision");
        assert!(end >= kept && end < lost, "{told}");
        let (code, refused) = field.mend(&["adopt", "--revision", &lost.to_string()]);
        assert!(code == 1 && refused.contains(&format!("ends at revision {end}")), "{refused}");

        let (code, done) = field.mend(&["adopt", "--revision", &end.to_string(), "-m", "restored"]);
        assert_eq!(code, 0, "{done}");
        field.publishers[1].wait_until_ready(PATIENCE);
        field.writable().await;
        let value = field.fill(1_009..1_010).await;
        field.agreed().await;
        let commits = field.chain().await;
        assert_eq!(commits.len() as u64, value, "one dense chain");
        let word = &commits[usize::try_from(end).expect("small")];
        assert_eq!((&*word.actor, word.reason.as_deref()), ("ops", Some("restored")));
        // Nobody touched the services: they followed by an image, and told their listeners.
        holds(&one, 1_009, &some).await;
        // What was lost is lost in the services, too.
        let other: Handle<u64> = all.namespace("app").expect("a name").handle("k8").expect("k8");
        holds(&other, 58, &all).await;
        // And again from the log: what the servers keep is of the chain that counts.
        for server in [0, 1] {
            field.publishers[server].kill9();
            field.publishers[server].restart();
        }
        field.writable().await;
        field.agreed().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_founded_anew_from_what_a_server_kept_and_all_follow() {
    in_turn(async |cluster| {
        let field = cluster.field(2, 1);
        let last = field.fill(0..2_500).await;
        field.agreed().await;
        let some = service(&field, &["app"]).await;
        let one: Handle<u64> = some.handle("k9").expect("a handle");
        let before = status(field.publishers[0].host()).await;
        topic::delete(&cluster.bootstrap(), &field.topic()).await;
        field.stand_still("log_unavailable").await;
        // A cache is at most a moment behind; a server that ends leaves all.
        let from = field.data("publisher", 0).display().to_string();
        let (code, done) = field.mend(&["rebuild", "--from", &from, "-m", "the topic was deleted"]);
        assert_eq!(code, 0, "{done}");
        field.writable().await;
        let agreed = field.agreed().await;
        assert_ne!(agreed[0].stream_id, before.stream_id);
        assert!(agreed[0].revision < last, "its revisions begin anew");
        let read = field.ask(1, Ask::get("/v1/config/app/k9")).await.is(200);
        assert_eq!((read.text(), read.header("headwater-version")), ("2499".to_owned(), "1"));
        field.put(1, "/v1/config/app/k9", "7").await;
        holds(&one, 7, &some).await;
        assert_eq!(field.mend(&["rebuild", "--from", &from]).0, 1, "a second one is refused");
    })
    .await;
}

/// A commit behind the head of a stream, as a writer with bad memory would append it: it says that it leads to nothing.
async fn wrong(field: &Field) -> Vec<u8> {
    let told = status(field.publishers[0].host()).await;
    let head =
        Head { stream_id: told.stream_id, revision: told.revision, hash: told.hash, at_ms: 0 };
    let change = Change::Put {
        namespace: "app".parse().expect("a name"),
        key: "wrong".parse().expect("a key"),
        content_type: "application/json".into(),
        value: "1".into(),
        version: 1,
    };
    let at_ms = told.last_commit_at.map_or(0, |at| at.0);
    let commit = Commit {
        stream_id: head.stream_id,
        format: FORMAT,
        revision: head.revision + 1,
        parent: head.hash,
        commit_id: CommitId::nil(),
        at_ms,
        actor: "bad".into(),
        reason: None,
        idempotency: None,
        expects: Vec::new(),
        changes: vec![change],
        digest: Digest::default(),
        attributes: std::collections::BTreeMap::new(),
    };
    encode_commit(&commit).to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_commit_stops_all_writers_until_an_operator_accepts_it() {
    in_turn(async |cluster| {
        let mut field = cluster.field(2, 1);
        field.fill(0..20).await;
        field.agreed().await;
        let record = wrong(&field).await;
        topic::produce(&cluster.bootstrap(), &field.topic(), &[Some(&record)]).await;
        field.stand_still("headwater stream resume").await;
        // The fold counts: what it wrote is read everywhere.
        assert_eq!(field.ask(1, Ask::get("/v1/config/app/wrong")).await.is(200).text(), "1");
        // A start anew meets it again.
        field.publishers[1].kill9();
        field.publishers[1].restart();
        field.stand_still("headwater stream resume").await;
        let (code, done) = field.mend(&["resume", "-m", "looked at it"]);
        assert!(code == 0 && done.contains("counts"), "{done}");
        field.writable().await;
        field.publishers[0].kill9();
        field.publishers[0].restart();
        field.writable().await;
        field.agreed().await;
        field.chain().await;
        let (code, nothing) = field.mend(&["resume"]);
        assert!(code == 1 && nothing.contains("nothing stands still"), "{nothing}");
        image_of(&field).await;
    })
    .await;
}

/// The snapshotter announces an image of the head.
async fn image_of(field: &Field) {
    let host = field.snapshotters[0].host();
    let head = status(host).await.revision;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(90);
    loop {
        let answer = headwater_tests::http::ask(host, &Ask::get("/v1/images/latest")).await;
        let manifest: serde_json::Value = answer.json();
        if answer.status == 200 && manifest["revision"].as_u64() >= Some(head) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "no image: {manifest}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_nobody_can_read_stops_everybody_until_an_operator_has_it_skipped() {
    in_turn(async |cluster| {
        let mut field = cluster.field(2, 1);
        field.fill(0..20).await;
        field.agreed().await;
        let (some, all) = (service(&field, &["app"]).await, service(&field, &[]).await);
        let one: Handle<u64> = some.handle("k9").expect("a handle");
        let mut record = wrong(&field).await;
        // Another schema, which this log does not carry.
        record[2] ^= 0xFF;
        assert!(Codec::default().decode(&record).is_err());
        topic::produce(&cluster.bootstrap(), &field.topic(), &[Some(&record)]).await;
        field.stand_still("does not carry").await;
        field.ask(1, Ask::get("/v1/config/app/wrong")).await.is(404);
        let (code, done) = field.mend(&["resume", "-m", "written by a build nobody has"]);
        assert!(code == 0 && done.contains("could not be read"), "{done}");
        field.writable().await;
        let revision = field.put(1, "/v1/config/app/k9", "9").await;
        field.agreed().await;
        holds(&one, 9, &some).await;
        all.wait_for(revision).await.expect("it follows past it");
        let skipped = field.chain().await.into_iter().find(|commit| commit.revision == 21);
        let skipped = skipped.expect("it stands in the chain");
        assert!(skipped.changes.is_empty() && skipped.reason.is_some(), "{skipped:?}");
        // Whoever reads the whole log comes by it, too.
        field.publishers[1].kill9();
        std::fs::remove_dir_all(field.data("publisher", 1)).expect("its data can go");
        field.publishers[1].restart();
        field.writable().await;
        let later = field.start("snapshotter", 7);
        let theirs = chain(later.host()).await;
        assert!(theirs.len() as u64 > revision);
    })
    .await;
}
