//! A broker behind TLS and passwords, with certificates made for it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::broker::{self, Broker, Options};

/// Who looks after the broker.
const ADMIN: (&str, &str) = ("admin", "an-admins-password");
/// Who may do everything.
pub const USER: (&str, &str) = ("headwater", "correct-horse-battery");
/// Who may do what [`SecureBroker::allow`] allows.
pub const READER: (&str, &str) = ("reader", "staple-of-a-reader");
/// Who may enter and do nothing.
pub const GUEST: (&str, &str) = ("guest", "no-rights-at-all");
/// The authority's certificate.
pub const AUTHORITY: &str = "ca.pem";
/// The server's key and certificate.
const SERVER: &str = "server.pem";

/// Makes an authority, and a certificate of 127.0.0.1 that it signed: PEM files in `dir`.
pub fn certificates(dir: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.distinguished_name.push(DnType::CommonName, "the authority of a test");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = || KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(authority, key()).expect("an authority");
    let (server, server_key) = (CertificateParams::new(["127.0.0.1".to_owned()]), key());
    let mut server = server.expect("a name");
    // A certificate named like its authority counts as signed by itself.
    server.distinguished_name.push(DnType::CommonName, "a broker of a test");
    let server = server.signed_by(&server_key, &authority).expect("signed");
    // Key and certificate in one file, as Kafka wants its PEM keystores.
    let server = format!("{}{}", server_key.serialize_pem(), server.pem());
    for (name, text) in [(AUTHORITY, authority.pem()), (SERVER, server)] {
        std::fs::write(dir.join(name), text).expect("a file");
    }
}

/// A broker that is reached by SASL_SSL with SCRAM-SHA-512, and allows nobody but an administrator and [`USER`] anything
/// that no rule allows.
#[derive(Debug)]
pub struct SecureBroker {
    broker: Broker,
    folder: PathBuf,
}

impl SecureBroker {
    /// The one that all tests of this binary share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<SecureBroker> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("headwater-secure-").tempdir();
        let folder = folder.expect("a folder").keep();
        certificates(&folder);
        let path = |name| folder.join(name).display().to_string();
        let jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required";
        let jaas = format!("{jaas} username=\"{}\" password=\"{}\";", ADMIN.0, ADMIN.1);
        let mighty = format!("User:ANONYMOUS;User:{};User:{}", ADMIN.0, USER.0);
        let properties = [
            ("inter.broker.listener.name", "SASL_SSL"),
            ("listener.security.protocol.map", "SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT"),
            ("sasl.enabled.mechanisms", "SCRAM-SHA-512"),
            ("sasl.mechanism.inter.broker.protocol", "SCRAM-SHA-512"),
            ("listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config", &jaas),
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", &path(SERVER)),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", &path(AUTHORITY)),
            ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
            ("super.users", &mighty),
        ];
        let options = Options::default().forgotten_in(folder.clone());
        let options =
            properties.iter().fold(options, |all, (name, value)| all.property(name, value));
        let options = [ADMIN, USER, READER, GUEST]
            .iter()
            .fold(options, |options, (name, password)| options.user(name, password));
        let client = properties_of(&folder, ADMIN);
        let options =
            client.iter().fold(options, |options, (name, value)| options.client(name, value));
        Self { broker: options.start(), folder }
    }

    /// Its address.
    pub fn bootstrap(&self) -> String {
        self.broker.bootstrap()
    }

    /// Where its certificates are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Properties of librdkafka for somebody who enters by a password.
    pub fn properties(&self, who: (&str, &str)) -> Vec<(String, String)> {
        properties_of(&self.folder, who)
    }

    /// Allows somebody something on all topics, by Kafka's own tool.
    pub fn allow(&self, (name, _): (&str, &str), operations: &[&str]) {
        // Java's names for what librdkafka is told elsewhere.
        let login = "org.apache.kafka.common.security.scram.ScramLoginModule required";
        let admin = [
            "security.protocol=SASL_SSL".to_owned(),
            "sasl.mechanism=SCRAM-SHA-512".to_owned(),
            format!("sasl.jaas.config={login} username=\"{}\" password=\"{}\";", ADMIN.0, ADMIN.1),
            "ssl.truststore.type=PEM".to_owned(),
            format!("ssl.truststore.location={}", self.folder.join(AUTHORITY).display()),
        ];
        let file = self.folder.join("admin.properties");
        std::fs::write(&file, admin.join("\n")).expect("a file");
        let file = file.display().to_string();
        let (bootstrap, principal) = (self.bootstrap(), format!("User:{name}"));
        let mut arguments = vec!["--bootstrap-server", &bootstrap, "--command-config", &file];
        arguments.extend(["--add", "--allow-principal", &principal, "--topic", "*"]);
        arguments.extend(operations.iter().flat_map(|operation| ["--operation", operation]));
        broker::tool("org.apache.kafka.tools.AclCommand", &arguments);
    }
}

/// Flags of a server that reaches a broker with these properties.
pub fn flags(properties: &[(String, String)]) -> Vec<String> {
    let pairs = properties.iter().map(|(name, value)| format!("{name}={value}"));
    pairs.flat_map(|pair| ["--kafka-config".to_owned(), pair]).collect()
}

fn properties_of(folder: &Path, (name, password): (&str, &str)) -> Vec<(String, String)> {
    [
        ("security.protocol", "sasl_ssl".to_owned()),
        ("ssl.ca.location", folder.join(AUTHORITY).display().to_string()),
        ("sasl.mechanism", "SCRAM-SHA-512".to_owned()),
        ("sasl.username", name.to_owned()),
        ("sasl.password", password.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
