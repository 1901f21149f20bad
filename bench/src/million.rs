//! A state of many keys: from its wire image to the first read, and what a read costs, hot and cold.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use headwater_image::{ImageError, Mapped, WireImage};
use headwater_replica::View;
use headwater_schemas::{
    EntryRef, Hash, Head, NamespaceTotals, Position, StreamId, Totals, entry_digest,
};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};

use crate::report::{Aim, Report};

const NAMESPACE: &str = "bench.state";
/// Reads a round.
const READS: usize = 1_000_000;
/// So few keys stay in the processor's cache.
const HOT_KEYS: usize = 64;
/// A pointer chase over so much memory shows the latency of a miss, the floor of a cold read.
const CHASE_BYTES: usize = 256 * 1024 * 1024;

fn key(index: usize) -> String {
    format!("service-{}/setting-{index:07}", index % 1_000)
}

fn entry(value: &[u8]) -> EntryRef<'_> {
    EntryRef {
        content_type: "application/json",
        value,
        version: 1,
        create_revision: 1,
        mod_revision: 1,
        updated_at_ms: 1_700_000_000_000,
        actor: "bench",
    }
}

/// Measures a state of `keys` keys.
pub(crate) fn measure(
    report: &mut Report,
    keys: usize,
    rounds: usize,
    dir: &Path,
) -> Result<(), ImageError> {
    let mut names: Vec<String> = (0..keys).map(key).collect();
    names.sort_unstable();
    let value =
        b"{\"max_connections\": 100, \"timeout_ms\": 2500, \"mode\": \"adaptive\", \"burst\": 40}";
    let mut part = NamespaceTotals { mod_revision: 1, ..NamespaceTotals::default() };
    for name in &names {
        part.entries += 1;
        part.bytes += value.len() as u64;
        part.digest = part.digest.plus(entry_digest(NAMESPACE, name, entry(value)));
    }
    let totals = Totals::from_namespaces([(NAMESPACE.parse().map_err(ImageError::source)?, part)]);
    let head =
        Head { stream_id: StreamId([1; 16]), revision: 1, hash: Hash::of(b"bench"), at_ms: 1 };
    let manifest = WireImage::write(dir, &head, &totals, Position(1), 1, |visit| {
        names.iter().try_for_each(|name| visit(NAMESPACE, name, entry(value)))
    })?;
    let path = dir.join(&manifest.name);
    let mut first_read = Vec::new();
    let mut view = None;
    for _ in 0..rounds {
        drop(view.take());
        let began = Instant::now();
        let mapped = WireImage::assemble(&path, manifest.clone(), None)?;
        let ready = View::of_image(Arc::new(mapped));
        black_box(ready.get(NAMESPACE, &names[keys / 2]));
        first_read.push(began.elapsed().as_secs_f64() * 1e3);
        view = Some(ready);
    }
    report.row(
        format!("wire image of {keys} keys → first read"),
        "ms",
        first_read,
        Aim::AtMost(100.0),
    );
    let opened = open_again(&path, manifest, dir, rounds)?;
    report.row(format!("mapped file of {keys} keys, opened"), "ms", opened, Aim::None);
    if let Some(view) = view {
        reads(report, &view, &names, rounds);
    }
    Ok(())
}

fn open_again(
    path: &Path,
    manifest: headwater_image::Manifest,
    dir: &Path,
    rounds: usize,
) -> Result<Vec<f64>, ImageError> {
    use headwater_image::{Keep, Trust};
    let written = WireImage::assemble(path, manifest, None)?.persist(dir, Keep::Mapped)?;
    let Some(file) = written.path() else { return Ok(Vec::new()) };
    (0..rounds)
        .map(|_| {
            let began = Instant::now();
            black_box(Mapped::open(file, Trust::JustWritten, Keep::Mapped)?);
            Ok(began.elapsed().as_secs_f64() * 1e3)
        })
        .collect()
}

fn reads(report: &mut Report, view: &View, names: &[String], rounds: usize) {
    let mut rng = rand::rngs::StdRng::seed_from_u64(7);
    // Copies in the order of use: the asker's own keys are near, it is the state that is far.
    let hot: Vec<String> = (0..READS).map(|i| names[i % HOT_KEYS].clone()).collect();
    let cold: Vec<String> =
        (0..READS).map(|_| names[rng.random_range(0..names.len())].clone()).collect();
    let chase = Chase::new(&mut rng);
    let (mut hot_ns, mut cold_ns, mut memory_ns) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        hot_ns.push(per_read(view, &hot));
        memory_ns.push(chase.run());
        cold_ns.push(per_read(view, &cold));
    }
    report.row("floor: one memory miss", "ns", memory_ns, Aim::None);
    report.row("get of 1 key in a view, hot", "ns", hot_ns, Aim::AtMost(22.0));
    report.row("get of 1 key in a view, cold", "ns", cold_ns, Aim::AtMost(340.0));
}

fn per_read(view: &View, keys: &[String]) -> f64 {
    let began = Instant::now();
    let mut found = 0usize;
    for key in keys {
        found += usize::from(black_box(view.get(NAMESPACE, key)).is_some());
    }
    assert_eq!(found, keys.len(), "every key is there");
    began.elapsed().as_secs_f64() * 1e9 / keys.len() as f64
}

/// A random cycle through memory: each step waits for the one before.
struct Chase(Vec<u32>);

impl Chase {
    fn new(rng: &mut impl Rng) -> Self {
        let len = CHASE_BYTES / 4;
        let mut order: Vec<u32> = (0..len as u32).collect();
        order.shuffle(rng);
        let mut next = vec![0; len];
        for pair in order.windows(2) {
            next[pair[0] as usize] = pair[1];
        }
        next[order[len - 1] as usize] = order[0];
        Self(next)
    }

    fn run(&self) -> f64 {
        let began = Instant::now();
        let mut at = 0;
        for _ in 0..READS {
            at = self.0[at as usize];
        }
        black_box(at);
        began.elapsed().as_secs_f64() * 1e9 / READS as f64
    }
}
