//! A put over HTTP until a service in another process has applied it, and how many durable commits a second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use headwater_tests::process::Headwater;

use crate::http::Connection;
use crate::report::{Aim, Report};
use crate::stats::Samples;
use crate::{Result, floor, kafka};

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
        Ok(Self { server, handle, runtime, next: 1, _client: client, _data: data })
    }

    fn connect(&self) -> Result<Connection> {
        Ok(Connection::open(&address(&self.server))?)
    }

    /// Puts one after the other and waits until this process's handle shows each; the median in nanoseconds.
    fn puts_applied(&mut self, connection: &mut Connection, count: u64) -> Result<Samples> {
        let mut samples = Samples::default();
        let mut changes = self.handle.subscribe();
        for _ in 0..count {
            let value = self.next;
            self.next += 1;
            let began = Instant::now();
            let status = connection.put("/v1/config/bench/value", &value.to_string())?;
            if status >= 300 {
                return Err(format!("a put was answered with {status}").into());
            }
            while *self.handle.load() != value {
                self.runtime.block_on(changes.changed())?;
            }
            samples.push(began.elapsed());
        }
        Ok(samples)
    }

    fn reads(&self, connection: &mut Connection, count: usize) -> Result<f64> {
        let mut samples = Samples::default();
        for _ in 0..count {
            let began = Instant::now();
            connection.get("/healthz")?;
            samples.push(began.elapsed());
        }
        Ok(samples.percentile(0.5))
    }
}

fn address(server: &Headwater) -> String {
    server.url().trim_start_matches("http://").to_owned()
}

/// Put → applied on the embedded log, beside fdatasync and round trips in the same rounds.
pub(crate) fn embedded(report: &mut Report, rounds: usize) -> Result<()> {
    let mut line = Line::start(&[])?;
    let floors = tempfile::tempdir()?;
    let mut connection = line.connect()?;
    line.puts_applied(&mut connection, WARM_PUTS)?;
    let (mut sync, mut trip, mut http, mut p50, mut p99, mut ratio) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let floor_sync = floor::fdatasync(floors.path(), 500)?;
        let floor_trip = floor::loopback(5_000)?;
        let puts = line.puts_applied(&mut connection, PUTS)?;
        http.push(line.reads(&mut connection, 2_000)? / 1e3);
        ratio.push(puts.percentile(0.5) / (floor_sync + floor_trip));
        sync.push(floor_sync / 1e3);
        trip.push(floor_trip / 1e3);
        p50.push(puts.percentile(0.5) / 1e3);
        p99.push(puts.percentile(0.99) / 1e3);
    }
    report.row("floor: append of 512 B + fdatasync, p50", "µs", sync, Aim::None);
    report.row("floor: loopback round trip, p50", "µs", trip, Aim::None);
    report.row("HTTP round trip to the server (/healthz), p50", "µs", http, Aim::None);
    report.row("embedded: put → applied in another process, p50", "µs", p50, Aim::None);
    report.row("embedded: put → applied in another process, p99", "µs", p99, Aim::None);
    report.row("embedded: p50 ÷ sum of its floors", "×", ratio, Aim::AtMost(1.3));
    Ok(())
}

/// Put → applied over a Kafka broker, beside a raw produce → consume in the same rounds.
pub(crate) fn over_kafka(report: &mut Report, rounds: usize) -> Result<()> {
    let broker = kafka::broker();
    let bootstrap = broker.bootstrap();
    let mut raw = kafka::Raw::open(&bootstrap)?;
    raw.warm(20_000)?;
    let mut line = Line::start(&["--kafka", &bootstrap, "--stream", "bench"])?;
    let mut connection = line.connect()?;
    line.puts_applied(&mut connection, WARM_PUTS)?;
    let (mut floor_p50, mut p50, mut p99, mut ratio) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let raw = raw.round_trips(2_000)?.percentile(0.5);
        let hops = floor::loopback(5_000)?;
        let puts = line.puts_applied(&mut connection, PUTS)?;
        ratio.push(puts.percentile(0.5) / (raw + hops));
        floor_p50.push(raw / 1e3);
        p50.push(puts.percentile(0.5) / 1e3);
        p99.push(puts.percentile(0.99) / 1e3);
    }
    report.row("floor: Kafka, raw produce → consume, p50", "µs", floor_p50, Aim::None);
    report.row("Kafka: put → applied in another process, p50", "µs", p50, Aim::None);
    report.row("Kafka: put → applied in another process, p99", "µs", p99, Aim::None);
    report.row("Kafka: p50 ÷ (raw + hops)", "×", ratio, Aim::AtMost(1.1));
    Ok(())
}

/// Durable commits a second, by so many writers, each with one request under way.
pub(crate) fn writers(report: &mut Report, rounds: usize) -> Result<()> {
    let line = Line::start(&[])?;
    load(&line, 16, LOAD)?;
    for count in [1, 16, 64, 256] {
        let rates = (0..rounds).map(|_| load(&line, count, LOAD)).collect::<Result<Vec<f64>>>()?;
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

fn load(line: &Line, writers: usize, time: Duration) -> Result<f64> {
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let counts = std::thread::scope(|scope| {
        let running: Vec<_> = (0..writers)
            .map(|writer| {
                let (stop, connection) = (&stop, line.connect());
                scope.spawn(move || write(connection?, writer, stop))
            })
            .collect();
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        running
            .into_iter()
            .map(|writer| writer.join().unwrap_or_else(|_| Err("a writer panicked".into())))
            .collect::<Result<Vec<u64>>>()
    })?;
    Ok(counts.iter().sum::<u64>() as f64 / began.elapsed().as_secs_f64())
}

fn write(mut connection: Connection, writer: usize, stop: &AtomicBool) -> Result<u64> {
    let mut done = 0;
    let path = format!("/v1/config/bench/load/{writer}");
    while !stop.load(Ordering::Relaxed) {
        let status = connection.put(&path, &done.to_string())?;
        if status >= 300 {
            return Err(format!("a put under load was answered with {status}").into());
        }
        done += 1;
    }
    Ok(done)
}
