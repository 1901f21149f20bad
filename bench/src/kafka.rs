//! The floor of everything over Kafka: librdkafka's own produce → consume.

use std::time::{Duration, Instant};

use headwater_tests::broker::{Broker, Options};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::Result;

const TOPIC: &str = "floor";
const PATIENCE: Duration = Duration::from_secs(10);

/// A broker as one would run it: the JVM's full compiler, unlike in the tests.
pub(crate) fn broker() -> Broker {
    Options::default().full_speed().start()
}

/// A producer and a consumer of one topic.
pub(crate) struct Raw {
    producer: BaseProducer,
    consumer: BaseConsumer,
}

impl Raw {
    pub(crate) fn open(bootstrap: &str) -> Result<Self> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "0")
            .create()?;
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "floor")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "500")
            .set("fetch.min.bytes", "1")
            .set("auto.offset.reset", "earliest")
            .create()?;
        // The topic exists once something was sent to it.
        producer
            .send(BaseRecord::<(), [u8]>::to(TOPIC).payload(b"first"))
            .map_err(|(error, _)| error)?;
        producer.flush(PATIENCE)?;
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(TOPIC, 0, Offset::Beginning)?;
        consumer.assign(&place)?;
        let raw = Self { producer, consumer };
        raw.receive()?;
        Ok(raw)
    }

    fn send(&self, payload: &[u8]) -> Result<()> {
        self.producer
            .send(BaseRecord::<(), [u8]>::to(TOPIC).payload(payload))
            .map_err(|(error, _)| error)?;
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    fn receive(&self) -> Result<usize> {
        let message =
            self.consumer.poll(PATIENCE).ok_or("nothing came from Kafka within 10 s")??;
        Ok(message.payload_len())
    }

    /// Sends so many records and reads them back, so that the JVM has compiled what matters.
    pub(crate) fn warm(&mut self, records: usize) -> Result<()> {
        const BATCH: usize = 100;
        for _ in 0..records / BATCH {
            for _ in 0..BATCH {
                self.send(&[1; 500])?;
            }
            for _ in 0..BATCH {
                self.receive()?;
            }
        }
        Ok(())
    }

    /// One record, produce → consumed.
    pub(crate) fn round_trip(&mut self) -> Result<Duration> {
        let began = Instant::now();
        self.send(&[2; 500])?;
        self.receive()?;
        Ok(began.elapsed())
    }
}
