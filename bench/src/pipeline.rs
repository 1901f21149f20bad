//! A put over HTTP until a service in another process has applied it, and how many durable commits a second.

use std::time::{Duration, Instant, SystemTime};

use headwater_tests::cluster::Cluster;
use headwater_tests::process::Headwater;

use crate::http::Connection;
use crate::report::{Aim, Report};
use crate::stats::Samples;
use crate::{Result, floor, kafka, load};

/// Puts before anything is counted, so that caches, connections and allocators are warm.
const WARM_PUTS: u64 = 2_000;
/// Puts a round.
const PUTS: u64 = 2_000;
/// How long one count of commits runs.
const LOAD: Duration = Duration::from_secs(3);

/// A server in a process of its own, and a service that follows it in this one.
struct Line {
    server: Headwater,
    handle: headwater::Handle<u64>,
    runtime: tokio::runtime::Runtime,
    changes: headwater::Subscription<u64>,
    connection: Connection,
    next: u64,
    _client: headwater::Client,
    _data: tempfile::TempDir,
}

impl Line {
    fn start(extra: &[&str]) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let server = Headwater::serve(data.path(), extra);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client =
            runtime.block_on(headwater::Client::builder().relay(server.url()).connect())?;
        let handle = client.namespace("bench")?.bind("value").default(0_u64).build();
        let changes = handle.subscribe();
        let connection = Connection::open(&address(&server))?;
        Ok(Self {
            server,
            handle,
            runtime,
            changes,
            connection,
            next: 1,
            _client: client,
            _data: data,
        })
    }

    /// Puts a value and waits until this process's handle shows it.
    fn put_applied(&mut self) -> Result<Duration> {
        let value = self.next;
        self.next += 1;
        let began = SystemTime::now();
        let status = self.connection.put("/v1/config/bench/value", &value.to_string())?;
        if status >= 300 {
            return Err(format!("a put was answered with {status}").into());
        }
        while *self.handle.load() != value {
            self.runtime.block_on(self.changes.changed())?;
        }
        // When the SDK's own thread swapped the value in: from here on every reader of this process has it.
        let applied = self.handle.load().value().applied_at();
        Ok(applied.duration_since(began)?)
    }

    fn warm(&mut self) -> Result<()> {
        (0..WARM_PUTS).try_for_each(|_| self.put_applied().map(drop))
    }

    /// A request that does nothing, over the same connection.
    fn nothing(&mut self) -> Result<Duration> {
        let began = Instant::now();
        self.connection.get("/healthz")?;
        Ok(began.elapsed())
    }
}

fn address(server: &Headwater) -> String {
    server.url().trim_start_matches("http://").to_owned()
}

/// Put → applied on the embedded log, one put, one fdatasync and one round trip in turn.
pub(crate) fn embedded(report: &mut Report, rounds: usize) -> Result<()> {
    let mut line = Line::start(&[])?;
    let floors = tempfile::tempdir()?;
    let mut sync = floor::Sync::new(floors.path())?;
    let mut trip = floor::Loopback::new()?;
    line.warm()?;
    let mut rows: [Vec<f64>; 6] = Default::default();
    for _ in 0..rounds {
        let mut samples: [Samples; 4] = Default::default();
        for _ in 0..PUTS {
            samples[0].push(sync.once()?);
            samples[1].push(trip.once()?);
            samples[2].push(line.nothing()?);
            samples[3].push(line.put_applied()?);
        }
        let p50 = samples.each_ref().map(|samples| samples.percentile(0.5));
        for (row, p50) in rows.iter_mut().zip(p50) {
            row.push(p50 / 1e3);
        }
        rows[4].push(samples[3].percentile(0.99) / 1e3);
        rows[5].push(p50[3] / (p50[0] + p50[1]));
    }
    let [sync, trip, nothing, p50, p99, ratio] = rows;
    report.row("floor: append of 512 B + fdatasync, p50", "µs", sync, Aim::None);
    report.row("floor: loopback round trip, p50", "µs", trip, Aim::None);
    report.row("HTTP round trip to the server (/healthz), p50", "µs", nothing, Aim::None);
    report.row("embedded: put → applied in another process, p50", "µs", p50, Aim::None);
    report.row("embedded: put → applied in another process, p99", "µs", p99, Aim::None);
    report.row("embedded: p50 ÷ sum of its floors", "×", ratio, Aim::AtMost(1.3));
    Ok(())
}

/// Put → applied over one Kafka broker.
pub(crate) fn over_kafka(report: &mut Report, rounds: usize) -> Result<()> {
    let broker = kafka::broker();
    over(report, rounds, "Kafka", &broker.bootstrap())
}

/// Put → applied over a cluster of three brokers, three copies, two in sync.
pub(crate) fn over_cluster(report: &mut Report, rounds: usize) -> Result<()> {
    let cluster = Cluster::full_speed();
    over(report, rounds, "three brokers", &cluster.bootstrap())
}

/// One put and one raw produce → consume in turn.
fn over(report: &mut Report, rounds: usize, what: &str, bootstrap: &str) -> Result<()> {
    let mut raw = kafka::Raw::open(bootstrap)?;
    raw.warm(20_000)?;
    let mut line = Line::start(&["--kafka", bootstrap, "--stream", "bench"])?;
    let mut hops = floor::Loopback::new()?;
    line.warm()?;
    let mut rows: [Vec<f64>; 6] = Default::default();
    for _ in 0..rounds {
        let mut samples: [Samples; 3] = Default::default();
        for _ in 0..PUTS {
            samples[0].push(raw.round_trip()?);
            samples[1].push(hops.once()?);
            samples[2].push(line.put_applied()?);
        }
        // The loopback hops: the request with its answer, and the relay's frame to the service.
        let [raw, hop, put] = samples.each_ref().map(|samples| samples.percentile(0.5));
        let [raw99, hop99, put99] = samples.each_ref().map(|samples| samples.percentile(0.99));
        rows[0].push(raw / 1e3);
        rows[1].push(raw99 / 1e3);
        rows[2].push(put / 1e3);
        rows[3].push(put99 / 1e3);
        rows[4].push(put / (raw + hop));
        rows[5].push(put99 / (raw99 + hop99));
    }
    let [floor, floor99, p50, p99, ratio, ratio99] = rows;
    report.row(format!("floor: {what}, raw produce → consume, p50"), "µs", floor, Aim::None);
    report.row(format!("floor: {what}, raw produce → consume, p99"), "µs", floor99, Aim::None);
    report.row(format!("{what}: put → applied in another process, p50"), "µs", p50, Aim::None);
    report.row(format!("{what}: put → applied in another process, p99"), "µs", p99, Aim::None);
    report.row(format!("{what}: p50 ÷ (raw + hops)"), "×", ratio, Aim::AtMost(1.1));
    report.row(format!("{what}: p99 ÷ (raw + hops)"), "×", ratio99, Aim::AtMost(1.25));
    Ok(())
}

/// Durable commits a second, by so many writers, each with one request under way.
pub(crate) fn writers(report: &mut Report, rounds: usize) -> Result<()> {
    let line = Line::start(&[])?;
    let address = address(&line.server);
    load::rate(&address, 16, LOAD)?;
    for count in [1, 16, 64, 256] {
        let rates =
            (0..rounds).map(|_| load::rate(&address, count, LOAD)).collect::<Result<Vec<f64>>>()?;
        let aim = if count == 64 { Aim::AtLeast(40_000.0) } else { Aim::None };
        report.row(
            format!("embedded: durable commits, {count} writers over HTTP"),
            "1/s",
            rates,
            aim,
        );
    }
    Ok(())
}
