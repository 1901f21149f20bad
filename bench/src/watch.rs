//! A put over HTTP until those who follow have it: as a server-sent event, and as a frame of the binary stream, each in
//! turn and of the same puts, beside the put's own answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use headwater_tests::process::Headwater;

use crate::Result;
use crate::http::Connection;
use crate::report::{Aim, Report};
use crate::stats::Samples;

/// Puts before anything is counted.
const WARM_PUTS: u64 = 2_000;
/// Puts a round.
const PUTS: u64 = 2_000;
/// How long a put may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that follows, on a thread of its own: when it had each commit.
struct Follower(mpsc::Receiver<Instant>);

impl Follower {
    /// Follows from the head; `next` reads up to the end of one event or frame and says whether it was a commit.
    fn start(
        address: &str,
        target: &str,
        mut next: impl FnMut(&mut BufReader<TcpStream>) -> std::io::Result<bool> + Send + 'static,
    ) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        // By HTTP/1.0 the body comes as it is, without chunks.
        stream.write_all(format!("GET {target} HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes())?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if !line.contains(" 200 ") {
            return Err(format!("{target}: {line}").into());
        }
        while line.trim_end() != "" {
            line.clear();
            reader.read_line(&mut line)?;
        }
        let (sender, commits) = mpsc::channel();
        std::thread::spawn(move || {
            while let Ok(is_commit) = next(&mut reader) {
                if is_commit && sender.send(Instant::now()).is_err() {
                    break;
                }
            }
        });
        Ok(Self(commits))
    }

    fn events(address: &str) -> Result<Self> {
        let mut line = String::new();
        let mut is_commit = false;
        Self::start(address, "/v1/watch?namespaces=bench", move |reader| {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            is_commit |= line == "event: commit\n";
            Ok(line == "\n" && std::mem::take(&mut is_commit))
        })
    }

    fn frames(address: &str) -> Result<Self> {
        let mut frame = Vec::new();
        Self::start(address, "/v1/stream?namespaces=bench", move |reader| {
            let mut length = [0; 4];
            reader.read_exact(&mut length)?;
            frame.resize(u32::from_le_bytes(length) as usize, 0);
            reader.read_exact(&mut frame)?;
            // The second of the union: a filtered commit.
            Ok(frame.first() == Some(&2))
        })
    }

    fn arrived(&self) -> Result<Instant> {
        Ok(self.0.recv_timeout(PATIENCE)?)
    }
}

/// What one put took: to its answer, to its event, to its frame.
struct Line {
    connection: Connection,
    events: Follower,
    frames: Follower,
    next: u64,
    _server: Headwater,
    _data: tempfile::TempDir,
}

impl Line {
    fn start() -> Result<Self> {
        let data = tempfile::tempdir()?;
        let server = Headwater::serve(data.path(), &[]);
        let address = server.url().trim_start_matches("http://").to_owned();
        Ok(Self {
            connection: Connection::open(&address)?,
            events: Follower::events(&address)?,
            frames: Follower::frames(&address)?,
            next: 1,
            _server: server,
            _data: data,
        })
    }

    fn put(&mut self) -> Result<[Duration; 3]> {
        let value = self.next.to_string();
        self.next += 1;
        let began = Instant::now();
        let status = self.connection.put("/v1/config/bench/value", &value)?;
        let answered = began.elapsed();
        if status >= 300 {
            return Err(format!("a put was answered with {status}").into());
        }
        let (event, frame) = (self.events.arrived()?, self.frames.arrived()?);
        Ok([answered, event.duration_since(began), frame.duration_since(began)])
    }
}

/// Put → event, put → frame, put → answer on the embedded log.
pub(crate) fn measure(report: &mut Report, rounds: usize) -> Result<()> {
    let mut line = Line::start()?;
    (0..WARM_PUTS).try_for_each(|_| line.put().map(drop))?;
    let mut rows: [Vec<f64>; 6] = Default::default();
    for _ in 0..rounds {
        let mut samples: [Samples; 3] = Default::default();
        for _ in 0..PUTS {
            for (samples, took) in samples.iter_mut().zip(line.put()?) {
                samples.push(took);
            }
        }
        let [put, event, frame] = samples;
        let figures = [
            put.percentile(0.5) / 1e3,
            frame.percentile(0.5) / 1e3,
            frame.percentile(0.99) / 1e3,
            event.percentile(0.5) / 1e3,
            event.percentile(0.99) / 1e3,
            event.percentile(0.5) / frame.percentile(0.5),
        ];
        for (row, figure) in rows.iter_mut().zip(figures) {
            row.push(figure);
        }
    }
    let [put, frame, frame99, event, event99, ratio] = rows;
    report.row("watch: put → its own answer, p50", "µs", put, Aim::None);
    report.row("watch: put → frame of the binary stream, p50", "µs", frame, Aim::None);
    report.row("watch: put → frame of the binary stream, p99", "µs", frame99, Aim::None);
    report.row("watch: put → server-sent event, p50", "µs", event, Aim::None);
    report.row("watch: put → server-sent event, p99", "µs", event99, Aim::None);
    report.row("watch: p50 of events ÷ of frames", "×", ratio, Aim::AtMost(1.25));
    Ok(())
}
