//! A get of one key while 1,000 updates a second are applied, beside the maps that a service would keep by itself.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use rand::{RngExt, SeedableRng};

use super::stream::{GLOBAL, Stream, key, value};
use crate::Result;
use crate::report::{Aim, Report};

/// Reads a round.
const READS: usize = 1_000_000;
/// So few keys stay in the processor's cache.
const HOT_KEYS: usize = 64;
/// Between two updates: 1,000 a second.
const PAUSE: Duration = Duration::from_millis(1);

/// What is read: copies in the order of use, so that only the state is far.
struct Asked {
    hot: Vec<String>,
    cold: Vec<String>,
}

impl Asked {
    /// Keys that only the lowest layer holds: what lies over it must be asked, too.
    fn of(keys: usize) -> Self {
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        let pick = |index: usize| key((index - index % 100 + 1 + index % 99).min(keys - 1));
        Self {
            hot: (0..READS).map(|i| pick((i % HOT_KEYS) * keys / HOT_KEYS)).collect(),
            cold: (0..READS).map(|_| pick(rng.random_range(0..keys))).collect(),
        }
    }
}

/// Figures of one kind of map, a round each.
#[derive(Default)]
struct Figures {
    hot: Vec<f64>,
    cold: Vec<f64>,
}

impl Figures {
    fn round(&mut self, asked: &Asked, get: impl Fn(&str) -> bool) {
        self.hot.push(per_read(&asked.hot, &get));
        self.cold.push(per_read(&asked.cold, &get));
    }

    fn rows(self, report: &mut Report, keys: usize, what: &str, aims: [Aim; 2]) {
        let name = |kind: &str| format!("get, {keys} keys, 1,000 updates/s, {kind}: {what}");
        report.row(name("hot"), "ns", self.hot, aims[0]);
        report.row(name("cold"), "ns", self.cold, aims[1]);
    }
}

fn per_read(keys: &[String], get: impl Fn(&str) -> bool) -> f64 {
    let began = Instant::now();
    let found = keys.iter().filter(|key| black_box(get(key))).count();
    let took = began.elapsed().as_secs_f64() * 1e9 / keys.len() as f64;
    if found == keys.len() { took } else { f64::NAN }
}

/// Updates one key.
type Update<'a> = &'a mut (dyn FnMut(usize) + Send);

/// Reads while another thread updates a thousand times a second, or as often as it can.
fn while_updated(update: Update<'_>, read: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut due = Instant::now();
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                update(number);
                due += PAUSE;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        read();
        stop.store(true, Ordering::Relaxed);
    });
}

pub(crate) fn measure(report: &mut Report, keys: usize, rounds: usize) -> Result<()> {
    let asked = Asked::of(keys);
    headwater(report, keys, rounds, &asked)?;
    let pairs = || (0..keys).map(|index| (key(index), value(index)));
    let mut peer = |what: &str, update: Update<'_>, get: &dyn Fn(&str) -> bool| {
        let mut figures = Figures::default();
        for _ in 0..rounds {
            while_updated(update, || figures.round(&asked, get));
        }
        figures.rows(report, keys, what, [Aim::None; 2]);
    };

    let cell = ArcSwap::from_pointee(pairs().collect::<HashMap<String, Bytes>>());
    let mut update = |number: usize| {
        let mut map = HashMap::clone(&cell.load());
        map.insert(key(number % keys), value(number));
        cell.store(map.into());
    };
    peer("HashMap in ArcSwap", &mut update, &|key| cell.load().contains_key(key));

    let map: papaya::HashMap<String, Bytes> = pairs().collect();
    let mut update = |number: usize| {
        black_box(map.pin().insert(key(number % keys), value(number)));
    };
    peer("papaya", &mut update, &|key| map.pin().get(key).is_some());

    let cell = ArcSwap::from_pointee(pairs().collect::<imbl::HashMap<String, Bytes>>());
    let mut update = |number: usize| {
        cell.store(cell.load().update(key(number % keys), value(number)).into());
    };
    peer("imbl in ArcSwap", &mut update, &|key| cell.load().contains_key(key));
    Ok(())
}

/// The SDK: one view kept for many reads, a view for each read, and through three layers.
fn headwater(report: &mut Report, keys: usize, rounds: usize, asked: &Asked) -> Result<()> {
    let mut stream = Stream::of(keys)?;
    let cache = tempfile::tempdir()?;
    let hw = stream.client_of_image(cache.path())?;
    let one = hw.namespace(GLOBAL)?;
    let mut failed = None;
    let mut update = |number: usize| {
        if let Err(error) = stream.put(GLOBAL, &key(number % keys), value(number)) {
            failed = Some(error.to_string());
        }
    };
    let [mut kept, mut each, mut layered] =
        [const { Figures { hot: Vec::new(), cold: Vec::new() } }; 3];
    for _ in 0..rounds {
        while_updated(&mut update, || {
            let view = one.view();
            kept.round(asked, |key| view.get_raw(key).is_some());
            each.round(asked, |key| one.view().get_raw(key).is_some());
            let view = hw.view();
            layered.round(asked, |key| view.get_raw(key).is_some());
        });
    }
    kept.rows(report, keys, "a kept view", [Aim::AtMost(22.0), Aim::AtMost(340.0)]);
    each.rows(report, keys, "a view for each read", [Aim::None; 2]);
    layered.rows(report, keys, "a kept view of three layers", [Aim::None; 2]);
    failed.map_or(Ok(()), |error| Err(error.into()))
}
