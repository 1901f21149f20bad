//! What the machine itself takes: the floors beside which everything else is quoted.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

use crate::stats::Samples;

/// The size of the record of a small commit, in bytes.
const RECORD_BYTES: usize = 512;

/// Appends of a record's size, each followed by fdatasync, on the file system of `dir`; the median in nanoseconds.
pub(crate) fn fdatasync(dir: &Path, count: usize) -> std::io::Result<f64> {
    let mut file = File::create(dir.join("floor"))?;
    let mut samples = Samples::default();
    for _ in 0..count {
        let began = Instant::now();
        file.write_all(&[7; RECORD_BYTES])?;
        file.sync_data()?;
        samples.push(began.elapsed());
    }
    Ok(samples.percentile(0.5))
}

/// Round trips of a small message over a loopback connection to another thread; the median in nanoseconds.
pub(crate) fn loopback(count: usize) -> std::io::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut peer, _) = listener.accept()?;
        peer.set_nodelay(true)?;
        let mut message = [0; 256];
        while peer.read_exact(&mut message).is_ok() {
            peer.write_all(&message)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut samples = Samples::default();
    let mut message = [1; 256];
    for _ in 0..count {
        let began = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        samples.push(began.elapsed());
    }
    drop(stream);
    let _ = echo.join();
    Ok(samples.percentile(0.5))
}
