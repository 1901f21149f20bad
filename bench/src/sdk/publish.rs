//! One update made visible to every reader, beside what the same costs in other maps.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use headwater_replica::View;
use headwater_schemas::Position;

use super::stream::{Stream, key, value};
use crate::Result;
use crate::report::{Aim, Report};

/// Updates a round.
const UPDATES: usize = 20_000;

pub(crate) fn measure(report: &mut Report, keys: usize, rounds: usize) -> Result<()> {
    let mut stream = Stream::of(keys)?;
    let cache = tempfile::tempdir()?;
    let hw = stream.client_of_image(cache.path())?;
    let handle: headwater::Handle<serde_json::Value> = hw.handle(&key(0))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let cell = Arc::new(ArcSwap::from_pointee(
        (0..keys).map(|index| (key(index), value(index))).collect::<imbl::HashMap<String, Bytes>>(),
    ));
    let map: papaya::HashMap<String, Bytes> =
        (0..keys).map(|index| (key(index), value(index))).collect();
    let (mut applied, mut swapped, mut inserted) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let names = names(keys, round);
        applied.push(of_commits(&mut stream, &hw, &runtime, &names)?);
        swapped.push(per_update(&names, |name, value| {
            cell.store(cell.load().update(name, value).into());
        }));
        inserted.push(per_update(&names, |name, value| {
            black_box(map.pin().insert(name, value));
        }));
    }
    black_box(handle.load());
    let name = |what: &str| format!("publish of one update, {keys} keys: {what}");
    // The whole way: accept, hash, decode, fold, digest, view, hand over.
    report.row(name("a commit, from the log in memory on"), "us", applied, Aim::None);
    report.row(name("imbl in ArcSwap"), "us", swapped, Aim::None);
    report.row(name("papaya"), "us", inserted, Aim::None);
    views(report, keys, rounds, &mut stream)
}

/// From records that appear in the log together until every handle has the last.
fn of_commits(
    stream: &mut Stream,
    hw: &headwater::Client,
    runtime: &tokio::runtime::Runtime,
    names: &[String],
) -> Result<f64> {
    let (records, folded) = stream.drafts(names)?;
    let last = folded.last().map_or(0, |folded| folded.head.revision);
    let began = Instant::now();
    stream.append(records)?;
    runtime.block_on(hw.wait_for(last))?;
    Ok(began.elapsed().as_secs_f64() * 1e6 / names.len() as f64)
}

fn per_update(names: &[String], mut update: impl FnMut(String, Bytes)) -> f64 {
    let updates: Vec<_> =
        names.iter().enumerate().map(|(i, name)| (name.clone(), value(i))).collect();
    let began = Instant::now();
    for (name, value) in updates {
        update(name, value);
    }
    began.elapsed().as_secs_f64() * 1e6 / names.len() as f64
}

/// The update of the view alone: what readers wait for once a commit is folded.
fn views(report: &mut Report, keys: usize, rounds: usize, stream: &mut Stream) -> Result<()> {
    let mut us = Vec::new();
    for round in 0..rounds {
        let cell = ArcSwap::from_pointee(View::of_image(Arc::new(stream.image()?)));
        let (_, folded) = stream.drafts(&names(keys, round))?;
        let began = Instant::now();
        for folded in &folded {
            cell.store(Arc::new(cell.load().apply(folded, Position(1))));
        }
        us.push(began.elapsed().as_secs_f64() * 1e6 / folded.len() as f64);
    }
    let name = format!("publish of one update, {keys} keys: the view alone");
    report.row(name, "us", us, Aim::AtMost(2.0));
    Ok(())
}

/// Whose values are updated in one round.
fn names(keys: usize, round: usize) -> Vec<String> {
    (0..UPDATES).map(|update| key((update * 7_919 + round) % keys)).collect()
}
