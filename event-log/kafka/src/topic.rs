//! A stream's topics: found or made, then checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use tokio::time::Instant;

use crate::asker::{Asker, NotSeen, Seen};
use crate::client::{Context, bury, config, refused};
use crate::error::KafkaOpenError;
use crate::policy::{self, Facts, Wanted};
use crate::settings::KafkaSettings;

/// How often the brokers are asked for a topic that was just made: they give no sign when all of them know it.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Finds the topic, and makes it when it is absent and `create` allows it.
///
/// # Errors
/// [`KafkaOpenError`].
pub(crate) async fn find_or_create(
    wanted: &Wanted<'_>,
    asker: &Arc<Asker>,
    create: bool,
) -> Result<Seen, KafkaOpenError> {
    let settings = wanted.settings;
    let seen = look(settings, asker).await?;
    if seen.topic.is_some() {
        return Ok(seen);
    }
    let copies = policy::copies(settings, seen.brokers.len());
    let command = policy::create_command(wanted, copies);
    let topic = wanted.topic.clone();
    if !create {
        return Err(KafkaOpenError::NoTopic { topic, command });
    }
    make(wanted, copies).await.map_err(|detail| KafkaOpenError::Create {
        topic: topic.clone(),
        detail,
        command: command.clone(),
    })?;
    let deadline = Instant::now() + settings.connect_timeout;
    loop {
        let seen = look(settings, asker).await?;
        if seen.topic.is_some() {
            return Ok(seen);
        }
        if Instant::now() >= deadline {
            let detail = "the brokers made it, but none of them shows it".into();
            return Err(KafkaOpenError::Create { topic, detail, command });
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

pub(crate) async fn look(
    settings: &KafkaSettings,
    asker: &Arc<Asker>,
) -> Result<Seen, KafkaOpenError> {
    let waited = settings.connect_timeout;
    let brokers = || settings.brokers.clone();
    Arc::clone(asker).look(waited).await.map_err(|not_seen| match not_seen {
        NotSeen::Silent(detail) => {
            KafkaOpenError::Unreachable { brokers: brokers(), detail, waited }
        }
        NotSeen::Distrust(detail) => KafkaOpenError::Distrust { brokers: brokers(), detail },
        NotSeen::Denied(detail) => {
            KafkaOpenError::Denied { topic: asker.topic().to_owned(), detail }
        }
    })
}

/// Checks everything that a stream needs of the topic.
///
/// # Errors
/// [`KafkaOpenError::WrongTopic`] with every fault at once.
pub(crate) async fn verify(wanted: &Wanted<'_>, seen: &Seen) -> Result<(), KafkaOpenError> {
    let topic = wanted.topic.clone();
    let describe = |detail| KafkaOpenError::Describe { topic: topic.clone(), detail };
    let (partitions, copies) = seen.topic.unwrap_or_default();
    let mut facts =
        Facts { brokers: seen.brokers.clone(), partitions, copies, configs: BTreeMap::new() };
    let faults = if wanted.settings.verify {
        facts.configs = describe_configs(wanted).await.map_err(describe)?;
        policy::faults(wanted, &facts)
    } else {
        policy::faults_of_shape(wanted, &facts)
    };
    if faults.is_empty() { Ok(()) } else { Err(KafkaOpenError::WrongTopic { topic, faults }) }
}

/// A client that makes and describes topics.
struct Admin {
    client: Option<AdminClient<Context>>,
    options: AdminOptions,
}

impl Admin {
    fn new(settings: &KafkaSettings) -> Result<Self, String> {
        let client = config(settings, "setup").create_with_context(Context::new(settings));
        let client = client.map_err(|error| refused(settings, &error))?;
        let timeout = Some(settings.connect_timeout);
        let options = AdminOptions::new().request_timeout(timeout).operation_timeout(timeout);
        Ok(Self { client: Some(client), options })
    }

    fn client(&self) -> Result<&AdminClient<Context>, String> {
        self.client.as_ref().ok_or_else(|| "closed".to_owned())
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            bury(client, drop);
        }
    }
}

/// Makes the topic; that somebody else was first is as good.
async fn make(wanted: &Wanted<'_>, copies: i32) -> Result<(), String> {
    let admin = Admin::new(wanted.settings)?;
    let (topic, configs) = (&wanted.topic, policy::configs(wanted, copies));
    let mut new = NewTopic::new(topic, 1, TopicReplication::Fixed(copies));
    for (name, value) in &configs {
        new = new.set(name, value);
    }
    let made = admin.client()?.create_topics([&new], &admin.options).await;
    for result in made.map_err(|error| error.to_string())? {
        match result {
            Ok(_) => tracing::info!(topic, copies, "made a topic of the stream"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(code.to_string()),
        }
    }
    Ok(())
}

async fn describe_configs(wanted: &Wanted<'_>) -> Result<BTreeMap<String, String>, String> {
    let admin = Admin::new(wanted.settings)?;
    let asked = [ResourceSpecifier::Topic(&wanted.topic)];
    let told = admin.client()?.describe_configs(&asked, &admin.options).await;
    let mut configs = BTreeMap::new();
    for resource in told.map_err(|error| error.to_string())? {
        let resource = resource.map_err(|code| code.to_string())?;
        let entries = resource.entries.into_iter();
        configs.extend(entries.filter_map(|entry| Some((entry.name, entry.value?))));
    }
    Ok(configs)
}
