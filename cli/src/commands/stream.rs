//! `headwater stream`: the operator's way out after a loss or a wrong commit. Works on the log itself, with the servers'
//! settings.

use std::path::Path;
use std::sync::Arc;

use headwater_log::Log;
use headwater_log_embedded::{EmbeddedLog, EmbeddedSettings};
use headwater_publisher::mend::{self, Hand, MendError};
use headwater_replica::{ReplayError, View, replay};
use headwater_schemas::{Head, Point, Word};
use serde_json::json;

use crate::args::{Adopt, Mender, Rebuild, Stream};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::serve::{OpenLog, Role, now_ms};
use crate::settings::Settings;

/// What a stream is that a rebuild began and did not end.
const UNFINISHED: &str = "yes: it is being founded from another stream's state; run that `headwater stream rebuild` again";
/// The most bytes of who and why.
const MAX_WORDS_BYTES: usize = 1_024;

pub(super) async fn run(command: Stream) -> Result<(), Failure> {
    match command {
        Stream::Show(args) => on_log(&args, false, async |log| show(log, args.json).await).await,
        Stream::Adopt(args) => {
            on_log(&args.mender, false, async |log| adopt(log, &args).await).await
        }
        Stream::Resume(args) => on_log(&args, false, async |log| resume(log, &args).await).await,
        Stream::Rebuild(args) => rebuild(&args).await,
    }
}

/// Opens the log of the settings, and leaves it tidy. `create`: whether its topic may be made.
async fn on_log(
    mender: &Mender,
    create: bool,
    work: impl AsyncFnOnce(&dyn Log) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let settings = Settings::load(&mender.server)?;
    let dir = settings.log_dir();
    if settings.kafka.is_none() && !create && !dir.is_dir() {
        let why = format!("there is no log at {}", dir.display());
        return Err(Failure::failed(why)
            .hint("name a server's directory by --data, or the brokers by --kafka"));
    }
    let open = OpenLog::open(&settings, Role::Publisher, create).await?;
    open.reach().await?;
    let log: Arc<dyn Log> = open.log();
    let done = work(log.as_ref()).await;
    open.close().await;
    done
}

async fn show(log: &dyn Log, as_json: bool) -> Result<(), Failure> {
    let replayed = replay(log, |_| false).await.map_err(unread)?;
    let head = *replayed.view.head();
    let word = replayed.view.succession().map(|succession| succession.word);
    let unfinished = head.revision < replayed.view.whole_at();
    let stands = match (replayed.chain.behind_blocked(), replayed.diverged) {
        (Some(behind), _) => Some(("unreadable", Point::from(&behind))),
        (None, Some(point)) => Some(("diverged", point)),
        (None, None) => None,
    };
    if as_json {
        return output::json(&json!({
            "log": log.identity().place,
            "stream_id": head.stream_id, "revision": head.revision, "hash": head.hash,
            "entries": replayed.view.totals().entries(), "digest": replayed.view.totals().digest(),
            "goes_on_from": word.map(|word| word.point()),
            "stands_still_at": stands.map(|(_, point)| point), "why": stands.map(|(why, _)| why),
        }));
    }
    let place = |point: Point| {
        format!("revision {} ({}) of stream {}", point.revision, point.hash, point.stream_id)
    };
    output::facts([
        ("log", log.identity().place.clone()),
        ("stream", head.stream_id.to_string()),
        ("head", format!("revision {} ({})", head.revision, head.hash)),
        ("entries", replayed.view.totals().entries().to_string()),
        ("digest", replayed.view.totals().digest().to_string()),
        ("goes on from", word.map_or("its own genesis".to_owned(), |word| place(word.point()))),
        (
            "stands still",
            stands.map_or(if unfinished { UNFINISHED } else { "no" }.to_owned(), |(why, point)| {
                format!("at {}: {why}; see `headwater stream resume`", place(point))
            }),
        ),
    ])
}

async fn adopt(log: &dyn Log, args: &Adopt) -> Result<(), Failure> {
    let head = mend::adopt(log, args.revision, &hand(&args.mender)?).await.map_err(failed)?;
    let text = format!(
        "the stream goes on from revision {}, by the commit of revision {} ({}). Servers and services that were at \
         that revision follow by themselves within a minute; `headwater status` shows it",
        args.revision, head.revision, head.hash
    );
    tell(args.mender.json, &head, "adopted", args.revision, &text)
}

async fn resume(log: &dyn Log, args: &Mender) -> Result<(), Failure> {
    let (word, head) = mend::resume(log, &hand(args)?).await.map_err(failed)?;
    let at = word.point().revision;
    let (what, text) = match word {
        Word::Skips(_) => {
            ("skipped", format!("revision {at} could not be read and changes nothing"))
        }
        _ => ("accepted", format!("what revision {at} changed counts")),
    };
    let text =
        format!("{text}; the stream goes on with revision {} ({})", head.revision, head.hash);
    tell(args.json, &head, what, at, &text)
}

async fn rebuild(args: &Rebuild) -> Result<(), Failure> {
    let view = state_of(&args.from).await?;
    on_log(&args.mender, true, async |log| {
        let rebuilt = mend::rebuild(log, &view, &hand(&args.mender)?).await.map_err(failed)?;
        let from = rebuilt.supersedes;
        let text = format!(
            "founded stream {} with {} entries of revision {} of stream {}. Servers and services that were at that \
             revision follow by themselves once they read this log",
            rebuilt.head.stream_id, rebuilt.entries, from.revision, from.stream_id
        );
        tell(args.mender.json, &rebuilt.head, "superseded", from.revision, &text)
    })
    .await
}

/// The state that a server's data directory holds: its own log's, where it has one; else its last good one.
async fn state_of(data: &Path) -> Result<View, Failure> {
    if data.join("log").is_dir() {
        return of_own_log(data).await;
    }
    let dir = data.to_owned();
    let read = tokio::task::spawn_blocking(move || headwater_replica::last_good(&dir));
    let (view, passed) = read.await.map_err(Failure::failed)?.map_err(|reasons| {
        Failure::failed(format_args!("no state can be read from {}", data.display()))
            .hint(reasons.join("\n"))
    })?;
    for reason in passed {
        // What is older than something damaged is not what was wanted, perhaps.
        output::note(format_args!("headwater: passed over: {reason}"));
    }
    Ok(view)
}

/// The state at the end of an embedded log: what its server acknowledged last, which its cache need not hold.
async fn of_own_log(data: &Path) -> Result<View, Failure> {
    let settings = EmbeddedSettings::new(data.join("log"));
    let opened = tokio::task::spawn_blocking(move || EmbeddedLog::open(settings)).await;
    let hint = "a server that runs must be stopped first; to take its last cached state instead of a log that is \
                lost, move that directory's log away";
    let log =
        opened.map_err(Failure::failed)?.map_err(|error| Failure::failed(error).hint(hint))?;
    let replayed = replay(log.as_ref(), |_| false).await;
    log.close().await;
    Ok(replayed.map_err(|error| unread(error).hint(hint))?.view)
}

fn tell(as_json: bool, head: &Head, what: &str, revision: u64, text: &str) -> Result<(), Failure> {
    if as_json {
        let Head { stream_id, revision: at, hash, .. } = head;
        return output::json(
            &json!({ what: revision, "stream_id": stream_id, "revision": at, "hash": hash }),
        );
    }
    output::line(text)
}

fn hand(mender: &Mender) -> Result<Hand, Failure> {
    let too_long =
        |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > MAX_WORDS_BYTES);
    if too_long(&mender.provenance.actor) || too_long(&mender.provenance.reason) {
        let why = format!("who and why may have {MAX_WORDS_BYTES} bytes each, as over HTTP");
        return Err(Failure::failed(why));
    }
    let actor = mender.provenance.actor.clone().unwrap_or_else(|| "anonymous".to_owned());
    Ok(Hand { actor, reason: mender.provenance.reason.clone(), now_ms: now_ms() })
}

fn unread(error: ReplayError) -> Failure {
    match error {
        ReplayError::Read(error) if error.is_retryable() => Failure::new(Exit::Unreachable, error),
        error => Failure::failed(error),
    }
}

fn failed(error: MendError) -> Failure {
    match error {
        MendError::Replay(error) => unread(error),
        MendError::Unknown(_) => Failure::new(Exit::Unknown, error),
        error => Failure::failed(error),
    }
}
