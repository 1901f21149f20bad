//! Many writes, fast.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::http::{Ask, Connection, Lost};

/// How often a write that the server did nothing about is sent again.
const TRIES: u32 = 100;
/// The pause before: shorter than what `Retry-After` can say, for a test cannot wait whole seconds.
const PAUSE: Duration = Duration::from_millis(10);

/// Sends the requests 0 to `count` over so many connections at once, and waits until all are acknowledged. Gives how
/// often one was sent again, because the answer was 429 or 503: nothing was done.
///
/// # Panics
/// When one is answered otherwise.
pub async fn acknowledged(
    host: &str,
    connections: usize,
    count: u64,
    request: impl Fn(u64) -> Ask + Send + Sync + 'static,
) -> u64 {
    let (next, request) = (Arc::new(AtomicU64::new(0)), Arc::new(request));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (next, request, host) = (next.clone(), request.clone(), host.to_owned());
        writers.spawn(async move {
            let mut connection = Connection::open(&host).await?;
            let mut again = 0;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<_, Lost>(again);
                }
                let ask = request(number);
                let mut answer = connection.send(&ask).await?;
                for _ in 0..TRIES {
                    if !matches!(answer.status, 429 | 503) {
                        break;
                    }
                    again += 1;
                    tokio::time::sleep(PAUSE).await;
                    answer = connection.send(&ask).await?;
                }
                assert!(matches!(answer.status, 200 | 201), "write {number}: {}", answer.text());
            }
        });
    }
    let mut again = 0;
    while let Some(ended) = writers.join_next().await {
        again += ended.expect("a writer").expect("every write is answered");
    }
    again
}
