//! A topic that would lose or tear commits is refused at the start, and the message mends it.

use std::time::Duration;

use headwater_tests::process::Headwater;
use headwater_tests::stand::{bounded, status};
use headwater_tests::{broker, topic};

const PATIENCE: Duration = Duration::from_secs(60);

/// How the topic of a log must be.
const RIGHT: [(&str, &str); 6] = [
    ("cleanup.policy", "delete"),
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
    ("message.timestamp.type", "LogAppendTime"),
    ("unclean.leader.election.enable", "false"),
    ("max.message.bytes", "2097152"),
];

/// A stream whose topic somebody made by hand.
struct Made {
    stream: String,
    data: tempfile::TempDir,
}

impl Made {
    async fn by_hand(partitions: i32, wrong: &[(&str, &str)]) -> Self {
        let stream = topic::fresh_name("policy");
        let mut configs = RIGHT.to_vec();
        configs.retain(|(name, _)| wrong.iter().all(|(other, _)| name != other));
        configs.extend_from_slice(wrong);
        topic::create(broker::shared(), &format!("{stream}.commits"), partitions, &configs).await;
        Self { stream, data: tempfile::tempdir().unwrap() }
    }

    /// The refusal of a server that is to use it.
    fn refusal(&self) -> String {
        let data = self.data.path().display().to_string();
        let flags =
            ["serve", "--data", &data, "--kafka", broker::shared(), "--stream", &self.stream];
        let mut server = Headwater::start_unready(&flags, &[]);
        let code = server.wait(PATIENCE);
        let told = server.log();
        assert_eq!(code, 1, "it must not start: {told}");
        assert!(told.contains(&format!("{}.commits", self.stream)), "the topic is named: {told}");
        told
    }

    fn serve(&self) -> Headwater {
        Headwater::serve(self.data.path(), &["--kafka", broker::shared(), "--stream", &self.stream])
    }
}

async fn is_refused_with_its_cure(setting: &str, bad: &str, good: &str) {
    let made = Made::by_hand(1, &[(setting, bad)]).await;
    let told = made.refusal();
    assert!(told.contains(&format!("{setting} is {bad}")), "{told}");
    assert!(told.contains(&format!("--add-config {setting}={good}")), "the cure is named: {told}");
    let topic = format!("{}.commits", made.stream);
    topic::alter(broker::shared(), &topic, &[(setting, good)]).await;
    assert_eq!(status(made.serve().host()).await.revision, 0, "mended, it is accepted");
}

macro_rules! refused {
    ($($claim:ident: $setting:literal = $bad:literal, mended by $good:literal;)+) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $claim() {
            bounded(is_refused_with_its_cure($setting, $bad, $good)).await;
        }
    )+};
}

refused! {
    a_compacted_topic_is_refused: "cleanup.policy" = "compact", mended by "delete";
    a_topic_that_forgets_with_time_is_refused: "retention.ms" = "604800000", mended by "-1";
    a_topic_that_forgets_with_size_is_refused: "retention.bytes" = "1073741824", mended by "-1";
    a_topic_with_the_times_of_clients_is_refused: "message.timestamp.type" = "CreateTime", mended by "LogAppendTime";
    a_topic_that_elects_unclean_leaders_is_refused: "unclean.leader.election.enable" = "true", mended by "false";
    a_topic_for_small_records_only_is_refused: "max.message.bytes" = "1048588", mended by "2097152";
    a_topic_that_wants_more_copies_than_there_are_is_refused: "min.insync.replicas" = "2", mended by "1";
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_two_partitions_is_refused() {
    let claim = async {
        let told = Made::by_hand(2, &[]).await.refusal();
        assert!(told.contains("partitions is 2, must be 1"), "{told}");
        assert!(told.contains("--stream"), "the cure is named: {told}");
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_faults_are_told_at_once() {
    let claim = async {
        let wrong = [("cleanup.policy", "compact"), ("retention.ms", "1000")];
        let told = Made::by_hand(3, &wrong).await.refusal();
        for setting in ["partitions is 3", "cleanup.policy is compact", "retention.ms is 1000"] {
            assert!(told.contains(setting), "{setting}: {told}");
        }
    };
    bounded(claim).await;
}
