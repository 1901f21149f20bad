//! An idempotent producer to the one partition.

use std::time::Instant;

use bytes::Bytes;
use headwater_log::Appended;
use headwater_schemas::Position;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use tokio::sync::oneshot;

use crate::client::{Hearing, bury, config, millis};
use crate::consumer::PARTITION;
use crate::metrics;
use crate::settings::KafkaSettings;

/// How one record's handover ended.
#[derive(Debug)]
pub(crate) enum Handover {
    /// The delivery report will tell.
    Pending(oneshot::Receiver<Appended>),
    /// Nothing more will come.
    Done(Appended),
}

impl Handover {
    pub(crate) async fn end(self) -> Appended {
        match self {
            Self::Done(appended) => appended,
            Self::Pending(report) => report.await.unwrap_or_else(|_| {
                Appended::Ambiguous("the producer ended before the brokers answered".into())
            }),
        }
    }
}

/// Who waits for a record's delivery report.
pub(crate) struct Ticket {
    waits: oneshot::Sender<Appended>,
    since: Instant,
}

/// A producer with its thread.
pub(crate) struct Producer {
    /// Present until it is dropped.
    client: Option<ThreadedProducer<Hearing<Reports>>>,
    topic: String,
    max_record_bytes: usize,
}

impl Producer {
    /// Makes one. Connects in the background.
    pub(crate) fn new(settings: &KafkaSettings) -> KafkaResult<Self> {
        let client =
            producer_config(settings).create_with_context(Hearing::new(settings, Reports))?;
        let max_record_bytes = usize::try_from(settings.max_record_bytes()).unwrap_or(usize::MAX);
        Ok(Self { client: Some(client), topic: settings.topic(), max_record_bytes })
    }

    /// Learns where the topic is, so that the first record need not wait for that. Blocks; its failure is not
    /// one: the producer goes on trying.
    pub(crate) fn warm_up(&self, settings: &KafkaSettings) {
        if let Some(client) = &self.client
            && let Err(error) =
                client.client().fetch_metadata(Some(&self.topic), settings.socket_timeout)
        {
            tracing::debug!(%error, "a producer knows nothing of its topic yet");
        }
    }

    /// Hands one record over, behind all before it. Never blocks.
    pub(crate) fn send(&self, record: &Bytes) -> Handover {
        let Some(client) = &self.client else {
            return Handover::Done(Appended::Refused("the producer has ended".into()));
        };
        let (size, most) = (record.len(), self.max_record_bytes);
        if size > most {
            metrics::error("append");
            let why = format!("a record of {size} bytes is larger than the log's {most}");
            return Handover::Done(Appended::Refused(why));
        }
        let (waits, report) = oneshot::channel();
        let ticket = Box::new(Ticket { waits, since: Instant::now() });
        let message: BaseRecord<'_, (), [u8], Box<Ticket>> =
            BaseRecord::with_opaque_to(&self.topic, ticket).partition(PARTITION).payload(record);
        match client.send(message) {
            Ok(()) => Handover::Pending(report),
            Err((error, _)) => {
                metrics::error("append");
                let fatal = client.client().fatal_error().map(|(_, reason)| reason);
                Handover::Done(not_taken(&error, fatal, size))
            }
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            bury(client, |client| {
                // Whoever still waits learns now that the end is open, rather than after the message timeout.
                client.purge(PurgeConfig::default().queue().inflight());
                drop(client);
            });
        }
    }
}

fn producer_config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = config(settings, "writer");
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("max.in.flight.requests.per.connection", "5")
        .set("linger.ms", "0")
        .set("compression.type", "none")
        .set("message.timeout.ms", millis(settings.message_timeout))
        .set("message.max.bytes", settings.max_message_bytes.to_string())
        // What may wait for the brokers: more is refused.
        .set("queue.buffering.max.messages", "20000")
        .set("queue.buffering.max.kbytes", "65536");
    config
}

/// Librdkafka did not take the record.
fn not_taken(error: &KafkaError, fatal: Option<String>, bytes: usize) -> Appended {
    match error.rdkafka_error_code() {
        // The producer is dead, and only a fresh one helps: that is what follows upon "ambiguous".
        Some(RDKafkaErrorCode::Fatal) => {
            let reason = fatal.unwrap_or_else(|| error.to_string());
            Appended::Ambiguous(format!("the producer has failed for good: {reason}"))
        }
        Some(RDKafkaErrorCode::QueueFull) => Appended::Refused(
            "too many records wait for the brokers already; try again later".into(),
        ),
        _ => Appended::Refused(format!("a record of {bytes} bytes was not taken: {error}")),
    }
}

/// What the brokers' answer, or its absence, means.
///
/// Once librdkafka has a record, only its success is certain. A time-out says nothing, and neither does a purge:
/// a record in the queue may be there for its second try, the first one's answer lost.
fn reported(offset: i64, error: Option<&KafkaError>) -> Appended {
    match error {
        None => u64::try_from(offset).map_or_else(
            |_| Appended::Ambiguous("it is in the log, but the brokers did not say where".into()),
            |offset| Appended::InLog(Position(offset)),
        ),
        Some(error) => Appended::Ambiguous(error.to_string()),
    }
}

/// Hands delivery reports to those who wait for them.
#[derive(Debug)]
pub(crate) struct Reports;

impl ProducerContext for Hearing<Reports> {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, report: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let appended = match report {
            Ok(message) => reported(message.offset(), None),
            // "Fatal", or that the producer was given up, is all that the report says; why was told before.
            Err((error, _))
                if matches!(
                    error.rdkafka_error_code(),
                    Some(
                        RDKafkaErrorCode::Fatal
                            | RDKafkaErrorCode::PurgeQueue
                            | RDKafkaErrorCode::PurgeInflight
                    )
                ) =>
            {
                let why = self.context.last_error();
                Appended::Ambiguous(why.unwrap_or_else(|| error.to_string()))
            }
            Err((error, message)) => reported(message.offset(), Some(error)),
        };
        match appended {
            Appended::InLog(_) => metrics::appended(ticket.since.elapsed()),
            _ => metrics::error("append"),
        }
        // Nobody may wait any more: then nobody wants to know.
        drop(ticket.waits.send(appended));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_never_taken_is_refused() {
        let error = |code| KafkaError::MessageProduction(code);
        for code in [RDKafkaErrorCode::QueueFull, RDKafkaErrorCode::MessageSizeTooLarge] {
            assert!(matches!(not_taken(&error(code), None, 1), Appended::Refused(_)), "{code:?}");
        }
        let open = [
            RDKafkaErrorCode::MessageTimedOut,
            RDKafkaErrorCode::PurgeQueue,
            RDKafkaErrorCode::PurgeInflight,
            RDKafkaErrorCode::NotEnoughReplicas,
            RDKafkaErrorCode::NotEnoughReplicasAfterAppend,
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::MessageSizeTooLarge,
            RDKafkaErrorCode::Fatal,
        ];
        for code in open {
            let appended = reported(7, Some(&error(code)));
            assert!(matches!(appended, Appended::Ambiguous(_)), "{code:?}");
        }
        let dead = not_taken(&error(RDKafkaErrorCode::Fatal), None, 1);
        assert!(matches!(dead, Appended::Ambiguous(_)), "it must lead to a fresh producer");
    }

    #[test]
    fn a_success_without_an_offset_is_open() {
        assert_eq!(reported(0, None), Appended::InLog(Position(0)));
        assert!(matches!(reported(-1001, None), Appended::Ambiguous(_)));
    }
}
