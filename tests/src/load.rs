//! Many writes, fast.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::http::{Ask, Connection, Lost};

/// Sends the requests 0 to `count` over so many connections at once, and waits until all are acknowledged.
///
/// # Panics
/// When one is not answered with 200 or 201.
pub async fn acknowledged(
    host: &str,
    connections: usize,
    count: u64,
    request: impl Fn(u64) -> Ask + Send + Sync + 'static,
) {
    let (next, request) = (Arc::new(AtomicU64::new(0)), Arc::new(request));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (next, request, host) = (next.clone(), request.clone(), host.to_owned());
        writers.spawn(async move {
            let mut connection = Connection::open(&host).await?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<_, Lost>(());
                }
                let answer = connection.send(&request(number)).await?;
                assert!(matches!(answer.status, 200 | 201), "write {number}: {}", answer.text());
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.expect("a writer").expect("every write is answered");
    }
}
