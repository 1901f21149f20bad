//! What the machine itself takes: the floors beside which everything else is quoted.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// The size of the record of a small commit, in bytes.
const RECORD_BYTES: usize = 512;
/// The size of a small request or frame, in bytes.
const MESSAGE_BYTES: usize = 256;

/// Appends of a record's size, each followed by fdatasync, on the file system of the server's data.
pub(crate) struct Sync(File);

impl Sync {
    pub(crate) fn new(dir: &Path) -> std::io::Result<Self> {
        Ok(Self(File::create(dir.join("floor"))?))
    }

    pub(crate) fn once(&mut self) -> std::io::Result<Duration> {
        let began = Instant::now();
        self.0.write_all(&[7; RECORD_BYTES])?;
        self.0.sync_data()?;
        Ok(began.elapsed())
    }
}

/// Round trips of a small message over a loopback connection to another thread.
pub(crate) struct Loopback(TcpStream);

impl Loopback {
    pub(crate) fn new() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        std::thread::spawn(move || echo(&listener));
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    pub(crate) fn once(&mut self) -> std::io::Result<Duration> {
        let mut message = [1; MESSAGE_BYTES];
        let began = Instant::now();
        self.0.write_all(&message)?;
        self.0.read_exact(&mut message)?;
        Ok(began.elapsed())
    }
}

/// Ends with the connection.
fn echo(listener: &TcpListener) -> std::io::Result<()> {
    let (mut peer, _) = listener.accept()?;
    peer.set_nodelay(true)?;
    let mut message = [0; MESSAGE_BYTES];
    while peer.read_exact(&mut message).is_ok() {
        peer.write_all(&message)?;
    }
    Ok(())
}
