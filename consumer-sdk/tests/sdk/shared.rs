use headwater::{Client, Phase};
use headwater_replica::{Follow, Replica, Settings};
use tokio_util::sync::CancellationToken;

use crate::stream::{SOON, Stream, soon};

#[tokio::test]
async fn a_client_reads_a_copy_that_its_process_keeps_already() {
    let stream = Stream::found().await;
    let log = std::sync::Arc::new(stream.log.clone());
    let (replica, keeper) = Replica::new(Settings::default(), Follow::Log(log), None);
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(keeper.run(stop.clone()));
    stream.put("app", "n", "1").await;
    let builder = Client::builder().replica(replica.clone()).namespaces(["app"]);
    let hw = builder.startup_timeout(SOON).connect().await.unwrap();
    let n = hw.bind("n").default(0u32).build();
    for value in 2..20u32 {
        let revision = stream.put("app", "n", &value.to_string()).await;
        soon(hw.wait_for(revision)).await.unwrap();
        assert_eq!((*n.load(), n.load().revision()), (value, revision));
    }
    let revision = stream.delete("app", "n").await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!((*n.load(), n.is_deleted()), (0, true));

    // The end of the client is not the end of the copy.
    soon(hw.clone().close()).await;
    let revision = stream.put("app", "n", "7").await;
    soon(replica.wait_for(revision)).await.unwrap();
    let again = Client::builder().replica(replica).namespaces(["app"]).connect().await.unwrap();
    assert_eq!(again.get::<u32>("n").unwrap(), Some(7));

    // But the end of the copy is the client's.
    let mut changes = again.bind("n").default(0u32).build().subscribe();
    stop.cancel();
    soon(keeping).await.unwrap();
    assert!(soon(changes.changed()).await.is_err());
    assert_eq!(again.status().phase, Phase::Closed);
}
