//! Properties of librdkafka that are handed through: how the cluster is reached and who we are there. What a log
//! stands or falls with is not among them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// Properties that are not the user's, and why. A pattern that ends with `*` is a beginning.
const REFUSED: &[(&[&str], &str)] = &[
    (&["bootstrap.servers", "metadata.broker.list"], "the brokers are named by `kafka` (--kafka)"),
    (
        &[
            "socket.timeout.ms",
            "socket.connection.setup.timeout.ms",
            "message.timeout.ms",
            "delivery.timeout.ms",
            "request.timeout.ms",
        ],
        "times have settings of their own: kafka_message_timeout_ms, kafka_socket_timeout_ms and \
         kafka_connect_timeout_ms",
    ),
    (
        &[
            "acks",
            "request.required.acks",
            "enable.idempotence",
            "enable.gapless.guarantee",
            "max.in.flight*",
            "retries",
            "message.send.max.retries",
            "queuing.strategy",
            "delivery.report.only.error",
            "transactional.id",
            "transaction.timeout.ms",
            "partitioner*",
        ],
        "an acknowledged commit is on enough brokers, once and in its order: that is no setting",
    ),
    (
        &["linger.ms", "queue.buffering.*", "compression.*", "batch.*", "sticky.*"],
        "a commit goes out at once and as it is",
    ),
    (
        &[
            "message.max.bytes",
            "message.copy.max.bytes",
            "receive.message.max.bytes",
            "max.partition.fetch.bytes",
            "fetch.*",
            "queued.*",
        ],
        "sizes follow from the topic's max.message.bytes",
    ),
    (
        &[
            "group.*",
            "enable.auto.*",
            "auto.*",
            "offset.*",
            "isolation.level",
            "enable.partition.eof",
            "check.crcs",
            "partition.assignment.strategy",
            "session.timeout.ms",
            "heartbeat.interval.ms",
            "max.poll.interval.ms",
            "consume.callback.max.messages",
        ],
        "a reader keeps its own place by revisions and hashes, and is in nobody's group",
    ),
    (&["allow.auto.create.topics", "topic.*"], "the topic is made and looked up as a log needs it"),
    (
        &["log.*", "log_level", "enabled_events", "opaque", "statistics.interval.ms", "internal.*"],
        "it belongs to the program; what is logged is HEADWATER_LOG's to say",
    ),
    (&["plugin.library.paths"], "no foreign code is loaded"),
    (
        &["sasl.oauthbearer.*", "enable.sasl.oauthbearer.unsecure.jwt"],
        "tokens come from a file that something else renews: name it with kafka_token_file (--kafka-token-file)",
    ),
    (
        &["sasl.jaas.config", "sasl.login.*", "sasl.client.callback.handler.class"],
        "that is Java's; here it is sasl.mechanism, sasl.username and sasl.password",
    ),
    (
        &[
            "ssl.truststore.*",
            "ssl.keystore.type",
            "ssl.keystore.key",
            "ssl.keystore.certificate.chain",
        ],
        "that is Java's; here it is ssl.ca.location for the authority, ssl.certificate.location and \
         ssl.key.location for a certificate of one's own, all of them PEM files",
    ),
];

/// What stands in place of a secret.
const HIDDEN: &str = "(not shown)";

/// Properties of librdkafka by their names, such as `security.protocol` or `sasl.password`. Printed, it shows the
/// names and never a value.
///
/// A file may write a name with dots as one key (`"sasl.username" = "x"`) or as tables (`sasl.username = "x"`).
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Sets one, in place of what it was.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Takes all of `other`, which win.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Takes `NAME=VALUE`.
    ///
    /// # Errors
    /// When there is no `=`; the text, which may be a secret, is not repeated.
    pub fn set_pair(&mut self, pair: &str) -> Result<(), String> {
        match pair.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                self.set(name.trim(), value);
                Ok(())
            }
            _ => Err("it must be NAME=VALUE, such as security.protocol=sasl_ssl".to_owned()),
        }
    }

    /// Reads the text of a file of properties: `name=value` a line; empty lines and those that begin with `#` or `!`
    /// say nothing. A value begins behind the spaces that follow `=` and ends with its line.
    ///
    /// # Errors
    /// The number of the first line that is none of these.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut all = Self::default();
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            all.set_pair(&format!("{name}={}", value.trim_start()))
                .and_then(
                    |()| if line.contains('=') { Ok(()) } else { Err("it has no `=`".into()) },
                )
                .map_err(|error| format!("line {number}: {error}"))?;
        }
        Ok(all)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Refuses the first property that is not the user's to set.
    pub(crate) fn check(&self) -> Result<(), String> {
        let refused = self.names().find_map(|name| Some((name, why_refused(name)?)));
        refused.map_or(Ok(()), |(name, why)| Err(format!("{name} cannot be set: {why}")))
    }

    /// The text without any value that is a secret.
    pub(crate) fn without_secrets(&self, text: &str) -> String {
        let secrets = self.iter().filter(|(name, value)| is_secret(name) && !value.is_empty());
        secrets.fold(text.to_owned(), |text, (_, secret)| text.replace(secret, HIDDEN))
    }

    /// Whether a token is to be shown rather than a password.
    pub(crate) fn wants_token(&self) -> bool {
        let mechanism = self.get("sasl.mechanism").or_else(|| self.get("sasl.mechanisms"));
        mechanism.is_some_and(|mechanism| mechanism.eq_ignore_ascii_case("OAUTHBEARER"))
    }
}

fn why_refused(name: &str) -> Option<&'static str> {
    let is = |pattern: &&str| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == *pattern,
    };
    let entry = REFUSED.iter().find(|(patterns, _)| patterns.iter().any(is));
    entry.map(|(_, why)| *why)
}

fn is_secret(name: &str) -> bool {
    ["password", "passphrase", "secret", "key.pem", "token"].iter().any(|part| name.contains(part))
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut all = Self::default();
        from.deserialize_map(Table)?.flatten("", &mut all);
        Ok(all)
    }
}

/// One value of a file: numbers and truths are texts to librdkafka.
#[derive(Deserialize)]
#[serde(untagged)]
enum Node {
    Truth(bool),
    Number(i64),
    Text(String),
    Table(Nodes),
}

struct Nodes(BTreeMap<String, Node>);

impl Nodes {
    fn flatten(self, before: &str, into: &mut Properties) {
        for (name, node) in self.0 {
            let name = format!("{before}{name}");
            match node {
                Node::Truth(value) => into.set(name, value.to_string()),
                Node::Number(value) => into.set(name, value.to_string()),
                Node::Text(value) => into.set(name, value),
                Node::Table(nodes) => nodes.flatten(&format!("{name}."), into),
            }
        }
    }
}

impl<'de> Deserialize<'de> for Nodes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Table)
    }
}

struct Table;

impl<'de> Visitor<'de> for Table {
    type Value = Nodes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of librdkafka's properties")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Nodes, A::Error> {
        let mut nodes = BTreeMap::new();
        while let Some((name, node)) = map.next_entry::<String, Node>()? {
            nodes.insert(name, node);
        }
        Ok(Nodes(nodes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str) -> Option<String> {
        Properties::from_iter([(name, "x")]).check().err()
    }

    #[test]
    fn how_to_reach_a_cluster_and_who_we_are_there_is_the_users_to_say() {
        for name in [
            "security.protocol",
            "ssl.ca.location",
            "ssl.ca.pem",
            "ssl.certificate.location",
            "ssl.key.location",
            "ssl.key.password",
            "ssl.keystore.location",
            "ssl.endpoint.identification.algorithm",
            "enable.ssl.certificate.verification",
            "sasl.mechanism",
            "sasl.mechanisms",
            "sasl.username",
            "sasl.password",
            "client.id",
            "client.rack",
            "client.dns.lookup",
            "broker.address.family",
            "connections.max.idle.ms",
            "reconnect.backoff.max.ms",
            "debug",
        ] {
            assert_eq!(refusal(name), None, "{name}");
        }
    }

    #[test]
    fn what_a_log_stands_or_falls_with_is_refused_by_name_and_with_a_reason() {
        for (name, reason) in [
            ("acks", "acknowledged"),
            ("enable.idempotence", "acknowledged"),
            ("max.in.flight.requests.per.connection", "acknowledged"),
            ("linger.ms", "at once"),
            ("compression.type", "as it is"),
            ("group.id", "nobody's group"),
            ("auto.offset.reset", "own place"),
            ("isolation.level", "own place"),
            ("transactional.id", "acknowledged"),
            ("message.timeout.ms", "kafka_message_timeout_ms"),
            ("socket.timeout.ms", "kafka_socket_timeout_ms"),
            ("bootstrap.servers", "--kafka"),
            ("plugin.library.paths", "foreign code"),
            ("sasl.oauthbearer.client.secret", "--kafka-token-file"),
            ("sasl.jaas.config", "sasl.username"),
            ("ssl.truststore.location", "ssl.ca.location"),
        ] {
            let told = refusal(name).unwrap_or_else(|| panic!("{name} is taken"));
            assert!(told.starts_with(name) && told.contains(reason), "{told}");
        }
    }

    #[test]
    fn no_value_is_ever_printed() {
        let all = Properties::from_iter([("sasl.username", "alice"), ("sasl.password", "hunter2")]);
        let printed = format!("{all:?}");
        assert_eq!(printed, r#"{"sasl.password", "sasl.username"}"#);
        let told = all.without_secrets("alice's password is hunter2");
        assert_eq!(told, "alice's password is (not shown)");
    }

    #[test]
    fn a_table_may_have_names_with_dots_or_tables_in_tables() {
        let text = r#"{"sasl.username": "alice", "sasl": {"password": "1"}, "enable": {"ssl":
            {"certificate": {"verification": false}}}, "client.rack": 7}"#;
        let wanted = Properties::from_iter([
            ("sasl.username", "alice"),
            ("sasl.password", "1"),
            ("enable.ssl.certificate.verification", "false"),
            ("client.rack", "7"),
        ]);
        assert_eq!(serde_json::from_str::<Properties>(text).unwrap(), wanted);
        let again = serde_json::to_string(&wanted).unwrap();
        assert_eq!(serde_json::from_str::<Properties>(&again).unwrap(), wanted);
        assert!(serde_json::from_str::<Properties>(r#"{"debug": ["all"]}"#).is_err());
    }

    #[test]
    fn a_file_of_properties_is_read_by_lines_and_its_mistakes_are_told_without_their_text() {
        let text = "# who we are\n\nsasl.username = alice\nsasl.password=a=b#c \n! end";
        let wanted = [("sasl.username", "alice"), ("sasl.password", "a=b#c")];
        assert_eq!(Properties::parse(text).unwrap(), Properties::from_iter(wanted));
        for wrong in ["\nhunter2", "\n=hunter2"] {
            let told = Properties::parse(wrong).unwrap_err();
            assert!(told.starts_with("line 2: ") && !told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn a_pair_ends_its_name_at_the_first_equals_sign() {
        let mut all = Properties::default();
        all.set_pair("sasl.password= a=b ").unwrap();
        assert_eq!(all.get("sasl.password"), Some(" a=b "));
        for wrong in ["hunter2", "=hunter2", ""] {
            assert!(!all.set_pair(wrong).unwrap_err().contains("hunter2"));
        }
    }
}
