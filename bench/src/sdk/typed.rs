//! A read of one typed value, beside the cells that a service would keep it in by itself.

use std::hint::black_box;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use arc_swap::{ArcSwap, Cache};

use super::stream::{GLOBAL, Stream, key, value};
use crate::Result;
use crate::report::{Aim, Report};

/// Reads a round.
const READS: usize = 20_000_000;

#[derive(serde::Deserialize, Clone)]
struct Pool {
    max_connections: u64,
}

pub(crate) fn measure(report: &mut Report, rounds: usize) -> Result<()> {
    let mut stream = Stream::of(1)?;
    stream.put(GLOBAL, &key(0), value(7))?;
    let hw = stream.builder().connect_blocking()?;
    let handle: headwater::Handle<Pool> = hw.namespace(GLOBAL)?.handle(&key(0))?;
    let mut reader = handle.reader();
    let cell = Arc::new(ArcSwap::from_pointee(Pool::clone(&handle.load())));
    let mut cache = Cache::new(cell.clone());
    let lock = RwLock::new(Pool::clone(&handle.load()));
    let mut ns = [const { Vec::new() }; 5];
    for _ in 0..rounds {
        ns[0].push(per_read(|| cache.load().max_connections));
        ns[1].push(per_read(|| reader.load().max_connections));
        ns[2].push(per_read(|| cell.load().max_connections));
        ns[3].push(per_read(|| handle.load().max_connections));
        ns[4]
            .push(per_read(|| lock.read().unwrap_or_else(PoisonError::into_inner).max_connections));
    }
    let [cache, reader, cell, handle, lock] = ns;
    report.row("typed read: arc_swap::Cache", "ns", cache, Aim::None);
    report.row("typed read: Reader::load", "ns", reader, Aim::AtMost(1.0));
    report.row("typed read: ArcSwap::load", "ns", cell, Aim::None);
    report.row("typed read: Handle::load", "ns", handle, Aim::AtMost(3.0));
    report.row("typed read: RwLock::read", "ns", lock, Aim::None);
    Ok(())
}

fn per_read(mut read: impl FnMut() -> u64) -> f64 {
    let began = Instant::now();
    for _ in 0..READS {
        black_box(read());
    }
    began.elapsed().as_secs_f64() * 1e9 / READS as f64
}
