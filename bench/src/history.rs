//! Questions about the past, put to the rows of a snapshotter that took in a made-up chain: each costs what its answer
//! holds, however long the chain is.

mod chain;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_replica::{
    CommitsQuery, DiffQuery, EntriesQuery, Follow, History, HistoryError, Order, Replica,
    VersionsQuery,
};
use headwater_snapshotter::{Settings, Snapshotter};
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::report::{Aim, Report};
use chain::Made;

/// Questions a round.
const QUESTIONS: usize = 300;
/// A page as most clients ask for it.
const PAGE: usize = 100;
const PAGE_BYTES: usize = 3 * 1024 * 1024;
/// Longer than any run: no image is cut meanwhile.
const NEVER_SECONDS: u64 = 1_000_000;
/// How much more a long chain may cost than the shortest of the run, which lies in memory as a whole.
const DEEPER: f64 = 10.0;

/// What is asked, and what a page of the answer must hold at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Versions,
    Value,
    Commits,
    OfNamespace,
    OfKey,
    OfActor,
    Newest,
    Time,
    List,
    Diff,
}

const ALL: [(Question, &str); 10] = [
    (Question::Versions, "history page of a key, 20 versions"),
    (Question::Value, "value at a revision"),
    (Question::List, "list at a revision, page of 100"),
    (Question::Diff, "diff of a namespace over 10 of its commits"),
    (Question::Commits, "commits, page of 100"),
    (Question::OfNamespace, "commits of a namespace, page of 100"),
    (Question::OfKey, "commits of a key, page of 10"),
    (Question::OfActor, "commits of an actor in a namespace, page of 10"),
    (Question::Newest, "newest commits of a namespace, page of 100"),
    (Question::Time, "revision at a time"),
];

/// Measures chains of these lengths, the shortest first.
pub(crate) fn measure(report: &mut Report, lengths: &[u64], rounds: usize) -> Result<()> {
    let mut lengths = lengths.to_vec();
    lengths.sort_unstable();
    let runtime = tokio::runtime::Runtime::new()?;
    let mut shortest: Vec<f64> = Vec::new();
    for length in lengths {
        let dir = tempfile::tempdir()?;
        let medians = runtime.block_on(one(report, length, rounds, dir.path(), &shortest))?;
        if shortest.is_empty() {
            shortest = medians;
        }
    }
    Ok(())
}

async fn one(
    report: &mut Report,
    length: u64,
    rounds: usize,
    dir: &Path,
    shortest: &[f64],
) -> Result<Vec<f64>> {
    let made = Made::new(length);
    let (stop, began) = (CancellationToken::new(), Instant::now());
    let log = Arc::new(made.clone());
    // It is not run, and so leaves everything to the snapshotter's own reader of the log.
    let (replica, _idle) =
        Replica::new(headwater_replica::Settings::default(), Follow::Log(log.clone()), None);
    let settings = Settings {
        dir: dir.join("store"),
        image_dir: dir.join("images"),
        cut_every_commits: u64::MAX,
        cut_every_seconds: NEVER_SECONDS,
        ..Settings::default()
    };
    let (snapshotter, keep) = Snapshotter::open(settings, log, replica, None)?;
    let task = tokio::spawn(keep.run(stop.clone()));
    let filled = snapshotter.until(|status| status.revision == Some(length)).await;
    filled.ok_or("the snapshotter ended")?;
    let rate = length as f64 / began.elapsed().as_secs_f64();
    report.row(format!("{length} commits into rows"), "1/s", vec![rate], Aim::None);
    let history = snapshotter.history();
    let mut medians = Vec::new();
    for (index, (question, name)) in ALL.into_iter().enumerate() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        let mut micros = Vec::new();
        for _ in 0..rounds {
            let began = Instant::now();
            for _ in 0..QUESTIONS {
                ask(history.as_ref(), &made, question, &mut rng).await?;
            }
            micros.push(began.elapsed().as_secs_f64() * 1e6 / QUESTIONS as f64);
        }
        medians.push(crate::stats::median(&micros));
        let aim = shortest.get(index).map_or(Aim::None, |short| Aim::AtMost(short * DEEPER));
        report.row(format!("{name}, of {length} commits"), "µs", micros, aim);
    }
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(60), task).await??;
    Ok(medians)
}

async fn ask(
    history: &dyn History,
    made: &Made,
    question: Question,
    rng: &mut rand::rngs::StdRng,
) -> Result<()> {
    let length = made.length;
    let any = rng.random_range(1..=length);
    let (namespace, key) = made.name(any);
    let commits = CommitsQuery {
        after: rng.random_range(0..=length / 2),
        upto: length,
        limit: PAGE,
        max_bytes: PAGE_BYTES,
        ..CommitsQuery::default()
    };
    let in_namespace = CommitsQuery { namespace: Some(namespace.clone()), ..commits.clone() };
    let (limit, max_bytes) = (PAGE, PAGE_BYTES);
    let (found, least) = match question {
        Question::Versions => {
            let before = length + 1;
            let query = VersionsQuery { namespace, key, before, limit, max_bytes };
            (history.versions(query).await?.versions.len(), made.versions())
        }
        Question::Value => {
            let then = rng.random_range(any..=length);
            let entry = history.entry(namespace.as_str(), key.as_str(), then).await?;
            (usize::from(entry.is_some()), 1)
        }
        Question::List => {
            let prefix = String::new();
            let (revision, after) = (length, None);
            let query = EntriesQuery { namespace, prefix, after, revision, limit, max_bytes };
            (history.entries(query).await?.entries.len(), PAGE)
        }
        Question::Diff => {
            let span = 10 * made.namespaces();
            let from = rng.random_range(0..=length.saturating_sub(span));
            let (to, prefix, after) = (from + span, String::new(), None);
            let query = DiffQuery { namespace, prefix, after, from, to, limit, max_bytes };
            (history.diff(query).await?.changes.len(), 10)
        }
        Question::Commits => (count(history, commits).await?, PAGE),
        Question::OfNamespace => (count(history, in_namespace).await?, PAGE),
        Question::OfKey => {
            let prefix = key.as_str().to_owned();
            let query = CommitsQuery { prefix, after: 0, limit: 10, ..in_namespace };
            (count(history, query).await?, 10)
        }
        Question::OfActor => {
            let actor = Some(made.actor(any));
            let query = CommitsQuery { actor, limit: 10, ..in_namespace };
            (count(history, query).await?, 10)
        }
        Question::Newest => {
            let order = Order::Descending;
            let query = CommitsQuery { after: 0, order, ..in_namespace };
            (count(history, query).await?, PAGE)
        }
        Question::Time => {
            let at = history.revision_at(made.time(any)).await?;
            (usize::from(at == any), 1)
        }
    };
    if found < least {
        return Err(format!("{question:?}: {found} instead of {least}").into());
    }
    Ok(())
}

async fn count(
    history: &dyn History,
    query: CommitsQuery,
) -> std::result::Result<usize, HistoryError> {
    Ok(history.commits(query).await?.commits.len())
}
