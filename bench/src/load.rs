//! Many writers on one thread: each a kept-alive connection with one put under way, so that the load costs little
//! beside the server on the same cores.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::Result;

/// Answered puts a second, by `writers` of them for about `time`.
pub(crate) fn rate(address: &str, writers: usize, time: Duration) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let began = Instant::now();
    let done = Rc::new(Cell::new(0_u64));
    let running: Vec<_> = (0..writers)
        .map(|writer| {
            let (address, done) = (address.to_owned(), done.clone());
            local.spawn_local(async move { write(&address, writer, began + time, &done).await })
        })
        .collect();
    runtime.block_on(local.run_until(async {
        for writer in running {
            writer.await??;
        }
        Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    }))?;
    Ok(done.get() as f64 / began.elapsed().as_secs_f64())
}

async fn write(address: &str, writer: usize, until: Instant, done: &Cell<u64>) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut answer = Vec::with_capacity(4096);
    let mut value = 0_u64;
    while Instant::now() < until {
        let body = value.to_string();
        let request = format!(
            "PUT /v1/config/bench/load/{writer} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        answer.clear();
        while !is_whole(&answer)? {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the server closed the connection".into());
            }
        }
        if !answer.starts_with(b"HTTP/1.1 20") {
            return Err(format!("a put under load: {}", String::from_utf8_lossy(&answer)).into());
        }
        done.set(done.get() + 1);
        value += 1;
    }
    Ok(())
}

/// Whether head and body of an answer are there.
fn is_whole(answer: &[u8]) -> Result<bool> {
    let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(false) };
    let text = std::str::from_utf8(&answer[..head])?.to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.ok_or("an answer without content-length")?.trim().parse()?;
    Ok(answer.len() >= head + 4 + length)
}
