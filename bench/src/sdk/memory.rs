//! What a state costs on disk and in each process that maps it, and how soon it can be read.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use headwater_image::{Keep, Mapped, Trust};
use headwater_replica::View;

use super::stream::{GLOBAL, Stream, key, value};
use crate::Result;
use crate::report::{Aim, Report};

pub(crate) fn measure(report: &mut Report, keys: usize, rounds: usize) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let built = Stream::of(keys)?.image()?;
    let held = built.persist(dir.path(), Keep::Mapped)?;
    let Some(path) = held.path() else { return Err("the image lies in no file".into()) };
    let payload: usize = (0..keys).map(|index| key(index).len() + value(index).len()).sum();
    let beside = held.size_bytes() as f64 / held.len() as f64 - payload as f64 / keys as f64;
    let (mut lazily, mut verified, mut private) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let began = Instant::now();
        black_box(Mapped::open(path, Trust::Verify, Keep::Mapped)?);
        verified.push(began.elapsed().as_secs_f64() * 1e3);
        let before = anonymous_bytes()?;
        let began = Instant::now();
        let view = View::of_image(Arc::new(Mapped::open(path, Trust::JustWritten, Keep::Mapped)?));
        lazily.push(began.elapsed().as_secs_f64() * 1e3);
        for index in 0..keys {
            black_box(view.get(GLOBAL, &key(index)));
        }
        private.push(anonymous_bytes()?.saturating_sub(before) as f64 / 1e6);
    }
    let name = |what: &str| format!("mapped image of {keys} keys: {what}");
    report.row(name("opened lazily"), "ms", lazily, Aim::AtMost(1.0));
    report.row(name("opened and verified"), "ms", verified, Aim::AtMost(40.0));
    report.row(
        name("bytes of a key beside name and value"),
        "B",
        vec![beside; rounds],
        Aim::AtMost(32.0),
    );
    report.row(
        name("private to each further process, all keys read"),
        "MB",
        private,
        Aim::AtMost(1.0),
    );
    Ok(())
}

/// Memory of this process that no file stands behind.
fn anonymous_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no RssAnon")?;
    Ok(kib.trim().parse::<u64>()? * 1024)
}
