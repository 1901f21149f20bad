//! From the log to a handle, while the state is folded into a new base again and again.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::stream::{GLOBAL, Stream, key, value};
use crate::Result;
use crate::report::{Aim, Report};
use crate::stats::Samples;

/// How long a round lasts: several folds.
const ROUND: Duration = Duration::from_secs(5);
/// Between two commits: 1,000 a second.
const PAUSE: Duration = Duration::from_millis(1);
/// After so many commits it is looked whether there was a fold: they are seconds apart.
const LOOK_EVERY: usize = 100;

pub(crate) fn measure(report: &mut Report, keys: usize, rounds: usize) -> Result<()> {
    let cache = tempfile::tempdir()?;
    let mut stream = Stream::of(keys)?;
    let hw = stream.client_of_image(cache.path())?;
    let handle: headwater::Handle<serde_json::Value> = hw.namespace(GLOBAL)?.handle(&key(0))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut shares = [(0.5, Vec::new()), (0.99, Vec::new()), (0.999, Vec::new())];
    let mut folds = Vec::new();
    for _ in 0..rounds {
        let (mut samples, mut bases) = (Samples::default(), HashSet::new());
        let began = Instant::now();
        for number in 0.. {
            if began.elapsed() > ROUND {
                break;
            }
            let mut changes = handle.subscribe();
            let put = Instant::now();
            stream.put(GLOBAL, &key(0), value(number))?;
            runtime.block_on(changes.changed())?;
            samples.push(put.elapsed());
            if number % LOOK_EVERY == 0 {
                bases.extend(files(cache.path())?);
            }
            thread::sleep(PAUSE.saturating_sub(put.elapsed()));
        }
        for (share, us) in &mut shares {
            us.push(samples.percentile(*share) / 1e3);
        }
        folds.push(bases.len() as f64);
    }
    for (share, us) in shares {
        let name = format!("log → handle across folds, {keys} keys, p{}", share * 100.0);
        report.row(name, "us", us, Aim::None);
    }
    report.row(
        format!("states seen in the cache in such a round, {keys} keys"),
        "",
        folds,
        Aim::AtLeast(2.0),
    );
    Ok(())
}

/// The states in the cache: each fold leaves one, and the older ones go.
fn files(dir: &Path) -> Result<Vec<OsString>> {
    let names = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name()));
    let is_state = |name: &Result<OsString>| {
        name.as_ref().is_ok_and(|name| Path::new(name).extension().is_some_and(|it| it == "hwm"))
    };
    names.filter(is_state).collect()
}
