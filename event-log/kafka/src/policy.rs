//! How the topics of a stream must be, and what is wrong with one that is not.
//!
//! Other systems lost data to a topic with the wrong policy: a broker's default of seven days, or a compaction
//! that keeps the highest offset of a key. So a topic is checked at every start, and each fault names its cure.

use std::collections::BTreeMap;
use std::fmt;

use crate::settings::KafkaSettings;

/// A configuration that must have exactly one value, and what another one costs.
type Exact = (&'static str, &'static str, &'static str);

const LEADERS: Exact = (
    "unclean.leader.election.enable",
    "false",
    "a broker that missed records could become the leader, and acknowledged ones would be lost",
);

/// The log's.
const LOG: [Exact; 5] = [
    ("cleanup.policy", "delete", "compaction tears commits and forgets history"),
    ("retention.ms", "-1", "the oldest commits would vanish with time"),
    ("retention.bytes", "-1", "the oldest commits would vanish with size"),
    ("message.timestamp.type", "LogAppendTime", "times would be those of any client's clock"),
    LEADERS,
];

/// The table's.
const TABLE: [Exact; 3] = [
    ("cleanup.policy", "compact", "keys that nobody changed for long would vanish from the table"),
    (
        "message.timestamp.type",
        "LogAppendTime",
        "a table made again from old entries would roll a segment at nearly every record",
    ),
    LEADERS,
];

/// A topic, and what it is for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) settings: &'a KafkaSettings,
    pub(crate) topic: String,
    exact: &'static [Exact],
    /// Whether records are kept in it.
    holds: bool,
}

impl<'a> Wanted<'a> {
    /// The topic of the log.
    pub(crate) fn log(settings: &'a KafkaSettings) -> Self {
        Self { settings, topic: settings.topic(), exact: &LOG, holds: true }
    }

    /// The compacted topic of the table.
    pub(crate) fn table(settings: &'a KafkaSettings) -> Self {
        Self { settings, topic: settings.table_topic(), exact: &TABLE, holds: true }
    }

    /// The topic whose one partition is assigned to who may write the table. Nothing is ever written to it.
    pub(crate) fn lease(settings: &'a KafkaSettings) -> Self {
        Self { settings, topic: settings.lease_topic(), exact: &[], holds: false }
    }
}

/// Copies of a topic on a cluster.
const COPIES: usize = 3;

/// One thing that is wrong with a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong: a configuration's name, `partitions` or `replication`.
    pub setting: &'static str,
    /// What it is.
    pub found: String,
    /// What it must be.
    pub wanted: String,
    /// What goes wrong otherwise.
    pub why: &'static str,
    /// The command that mends it.
    pub mend: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, found, wanted, why, mend } = self;
        write!(f, "{setting} is {found}, must be {wanted} ({why}); mend it with:\n  {mend}")
    }
}

/// What the brokers say about a topic.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The ids of the brokers that are alive.
    pub(crate) brokers: Vec<i32>,
    pub(crate) partitions: usize,
    /// The fewest copies that any partition has.
    pub(crate) copies: usize,
    pub(crate) configs: BTreeMap<String, String>,
}

/// How many copies a new topic gets.
pub(crate) fn copies(settings: &KafkaSettings, brokers: usize) -> i32 {
    let by_default = i32::try_from(brokers.clamp(1, COPIES)).unwrap_or(1);
    settings.replication.map_or(by_default, i32::from)
}

/// How many copies must have a record before it is acknowledged.
fn min_isr(settings: &KafkaSettings, copies: usize) -> i32 {
    settings.min_isr.unwrap_or(if copies >= COPIES { 2 } else { 1 })
}

/// The configuration of a new topic.
pub(crate) fn configs(wanted: &Wanted<'_>, copies: i32) -> Vec<(&'static str, String)> {
    let copies = usize::try_from(copies).unwrap_or(1);
    let mut configs: Vec<_> =
        wanted.exact.iter().map(|(name, value, _)| (*name, (*value).to_owned())).collect();
    configs.push(("min.insync.replicas", min_isr(wanted.settings, copies).to_string()));
    configs.push(("max.message.bytes", wanted.settings.max_message_bytes.to_string()));
    configs
}

/// The command that creates the topic as it must be.
pub(crate) fn create_command(wanted: &Wanted<'_>, copies: i32) -> String {
    let configs: String = configs(wanted, copies)
        .iter()
        .map(|(name, value)| format!(" --config {name}={value}"))
        .collect();
    format!(
        "kafka-topics.sh --bootstrap-server {} --create --topic {} --partitions 1 --replication-factor {copies}{configs}",
        wanted.settings.brokers, wanted.topic,
    )
}

/// Everything that is wrong with a topic.
pub(crate) fn faults(wanted: &Wanted<'_>, facts: &Facts) -> Vec<Fault> {
    let mut faults = faults_of_shape(wanted, facts);
    if wanted.holds {
        let exact = wanted.exact.iter();
        faults.extend(exact.filter_map(|exact| exactly(wanted, facts, *exact)));
        faults.extend(isr(wanted, facts));
        faults.extend(message_bytes(wanted, facts));
    }
    faults
}

/// What is wrong with the number of its partitions and copies, which every client is told.
pub(crate) fn faults_of_shape(wanted: &Wanted<'_>, facts: &Facts) -> Vec<Fault> {
    let copies = wanted.holds.then(|| replication(wanted, facts)).flatten();
    partitions(wanted, facts).into_iter().chain(copies).collect()
}

fn partitions(wanted: &Wanted<'_>, facts: &Facts) -> Option<Fault> {
    let (brokers, topic) = (&wanted.settings.brokers, &wanted.topic);
    (facts.partitions != 1).then(|| Fault {
        setting: "partitions",
        found: facts.partitions.to_string(),
        wanted: "1".into(),
        why: "only one partition has a total order",
        mend: format!(
            "use another --stream; or, where nothing in it is needed: kafka-topics.sh --bootstrap-server {brokers} --delete --topic {topic}"
        ),
    })
}

fn exactly(wanted: &Wanted<'_>, facts: &Facts, (setting, value, why): Exact) -> Option<Fault> {
    let found = found(facts, setting);
    (found != value).then(|| Fault {
        setting,
        mend: alter(wanted, setting, value),
        found,
        wanted: value.into(),
        why,
    })
}

fn replication(wanted: &Wanted<'_>, facts: &Facts) -> Option<Fault> {
    let on_a_cluster = if facts.brokers.len() >= COPIES { COPIES } else { 1 };
    let asked = wanted.settings.replication.map(|copies| usize::try_from(copies).unwrap_or(1));
    let copies = asked.unwrap_or(on_a_cluster);
    (facts.copies < copies).then(|| Fault {
        setting: "replication",
        found: facts.copies.to_string(),
        wanted: copies.to_string(),
        why: "the loss of one broker could lose acknowledged commits",
        mend: reassign(wanted, facts, copies),
    })
}

fn isr(wanted: &Wanted<'_>, facts: &Facts) -> Option<Fault> {
    const SETTING: &str = "min.insync.replicas";
    let found = found(facts, SETTING);
    let least = min_isr(wanted.settings, facts.copies);
    let number: Option<i32> = found.parse().ok();
    let most = i32::try_from(facts.copies).unwrap_or(i32::MAX);
    let (wanted_text, why) = match number {
        Some(number) if number > most => {
            (least.min(most).to_string(), "more copies than there are: every write would fail")
        }
        Some(number) if number >= least => return None,
        _ => (
            format!("{least} or more"),
            "a commit on one broker only would be acknowledged, and lost with it",
        ),
    };
    let mend = alter(wanted, SETTING, &least.min(most.max(1)).to_string());
    Some(Fault { setting: SETTING, found, wanted: wanted_text, why, mend })
}

fn message_bytes(wanted: &Wanted<'_>, facts: &Facts) -> Option<Fault> {
    const SETTING: &str = "max.message.bytes";
    let found = found(facts, SETTING);
    let least = wanted.settings.max_message_bytes;
    let enough = found.parse::<u32>().is_ok_and(|bytes| bytes >= least);
    (!enough).then(|| Fault {
        setting: SETTING,
        found,
        wanted: format!("{least} or more"),
        why: "the largest commits would be rejected",
        mend: alter(wanted, SETTING, &least.to_string()),
    })
}

fn found(facts: &Facts, setting: &str) -> String {
    facts.configs.get(setting).cloned().unwrap_or_else(|| "unknown".into())
}

fn alter(wanted: &Wanted<'_>, setting: &str, value: &str) -> String {
    format!(
        "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {} --add-config {setting}={value}",
        wanted.settings.brokers, wanted.topic,
    )
}

fn reassign(wanted: &Wanted<'_>, facts: &Facts, copies: usize) -> String {
    let mut ids: Vec<_> = facts.brokers.iter().take(copies).map(i32::to_string).collect();
    // Fewer brokers than copies: the operator fills in the missing ones.
    ids.resize(copies.max(ids.len()), "ID".into());
    format!(
        r#"echo '{{"version":1,"partitions":[{{"topic":"{}","partition":0,"replicas":[{}]}}]}}' > copies.json && kafka-reassign-partitions.sh --bootstrap-server {} --reassignment-json-file copies.json --execute"#,
        wanted.topic,
        ids.join(","),
        wanted.settings.brokers,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> KafkaSettings {
        KafkaSettings::new("a:1,b:2", "default".parse().unwrap())
    }

    fn good(settings: &KafkaSettings, brokers: usize) -> Facts {
        let copies = copies(settings, brokers);
        let configs = configs(&Wanted::log(settings), copies);
        Facts {
            brokers: (1..).take(brokers).collect(),
            partitions: 1,
            copies: usize::try_from(copies).unwrap(),
            configs: configs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    }

    #[test]
    fn a_topic_as_it_is_created_has_no_fault_on_one_two_three_and_nine_brokers() {
        for brokers in [1, 2, 3, 9] {
            let facts = good(&settings(), brokers);
            assert_eq!(faults(&Wanted::log(&settings()), &facts), [], "{brokers}");
        }
    }

    #[test]
    fn a_cluster_of_three_gets_three_copies_and_two_must_have_a_commit() {
        let facts = good(&settings(), 5);
        assert_eq!((facts.copies, facts.configs["min.insync.replicas"].as_str()), (3, "2"));
        let facts = good(&settings(), 1);
        assert_eq!((facts.copies, facts.configs["min.insync.replicas"].as_str()), (1, "1"));
    }

    #[test]
    fn each_wrong_configuration_is_found_alone_and_its_cure_names_it() {
        let wrong = [
            ("cleanup.policy", "compact"),
            ("cleanup.policy", "compact,delete"),
            ("retention.ms", "604800000"),
            ("retention.bytes", "1073741824"),
            ("message.timestamp.type", "CreateTime"),
            ("unclean.leader.election.enable", "true"),
            ("min.insync.replicas", "1"),
            ("min.insync.replicas", "4"),
            ("max.message.bytes", "1048588"),
            ("max.message.bytes", "nonsense"),
        ];
        for (setting, value) in wrong {
            let mut facts = good(&settings(), 3);
            facts.configs.insert(setting.into(), value.into());
            let found = faults(&Wanted::log(&settings()), &facts);
            assert_eq!(found.len(), 1, "{setting}={value}: {found:?}");
            assert_eq!((found[0].setting, found[0].found.as_str()), (setting, value));
            assert!(found[0].mend.contains(&format!("--add-config {setting}=")), "{}", found[0]);
            assert!(found[0].mend.contains("a:1,b:2") && found[0].mend.contains("default.commits"));
        }
    }

    #[test]
    fn the_cure_of_a_fault_leaves_none() {
        let mut facts = good(&settings(), 3);
        for value in facts.configs.values_mut() {
            *value = "7".into();
        }
        let found = faults(&Wanted::log(&settings()), &facts);
        assert_eq!(found.len(), LOG.len() + 2, "all at once: {found:?}");
        for fault in found {
            let cure = fault.mend.split("--add-config ").nth(1).unwrap();
            let (name, value) = cure.split_once('=').unwrap();
            facts.configs.insert(name.into(), value.into());
        }
        assert_eq!(faults(&Wanted::log(&settings()), &facts), []);
    }

    #[test]
    fn a_configuration_that_is_not_told_is_a_fault() {
        let mut facts = good(&settings(), 1);
        facts.configs.remove("retention.ms");
        let found = faults(&Wanted::log(&settings()), &facts);
        assert_eq!((found.len(), found[0].found.as_str()), (1, "unknown"));
    }

    #[test]
    fn more_partitions_and_fewer_copies_are_faults() {
        let mut facts = good(&settings(), 3);
        facts.partitions = 4;
        facts.copies = 1;
        facts.configs.insert("min.insync.replicas".into(), "1".into());
        let found: Vec<_> = faults(&Wanted::log(&settings()), &facts);
        let settings_found: Vec<_> = found.iter().map(|fault| fault.setting).collect();
        assert_eq!(settings_found, ["partitions", "replication"]);
        assert!(found[1].mend.contains(r#""replicas":[1,2,3]"#), "{}", found[1]);
    }

    #[test]
    fn replication_that_was_asked_for_is_checked_on_any_cluster() {
        let mut asked = settings();
        asked.replication = Some(2);
        let facts = good(&settings(), 1);
        assert_eq!(faults(&Wanted::log(&asked), &facts)[0].setting, "replication");
        let facts = good(&asked, 3);
        assert_eq!((facts.copies, faults(&Wanted::log(&asked), &facts)), (2, vec![]));
    }

    #[test]
    fn a_table_that_forgets_is_a_fault_and_the_topic_of_the_lease_needs_one_partition_only() {
        let settings = settings();
        let mut facts = good(&settings, 3);
        let table = Wanted::table(&settings);
        facts.configs = configs(&table, 3).into_iter().map(|(n, v)| (n.into(), v)).collect();
        assert_eq!(faults(&table, &facts), []);
        facts.configs.insert("cleanup.policy".into(), "compact,delete".into());
        let found = faults(&table, &facts);
        assert_eq!((found.len(), found[0].setting), (1, "cleanup.policy"));
        assert!(found[0].mend.contains("default.config "), "{}", found[0]);

        let lease = Wanted::lease(&settings);
        facts.configs.clear();
        facts.copies = 1;
        assert_eq!(faults(&lease, &facts), []);
        facts.partitions = 2;
        assert_eq!(faults(&lease, &facts)[0].setting, "partitions");
    }
}
