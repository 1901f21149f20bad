//! Going on from an earlier revision, after the log has lost what came behind it.

use headwater_log::Log;
use headwater_replica::replay;
use headwater_schemas::{Head, Point, Word};

use super::{Hand, MendError, append, said};

/// Makes the log's own head, which must be at `revision`, the one from which the stream goes on: a commit names it. A
/// replica that has been there leaves what it had beyond, and follows by itself.
///
/// Running it again finds what was done.
///
/// # Errors
/// [`MendError`]; [`MendError::NotSo`] when the log ends at another revision.
pub async fn adopt(log: &dyn Log, revision: u64, hand: &Hand) -> Result<Head, MendError> {
    let replayed = replay(log, |_| false).await?;
    let (view, head) = (&replayed.view, *replayed.view.head());
    let done = |said: &headwater_schemas::Succession| {
        matches!(said.word, Word::Adopts(point) if point.revision == revision)
            && said.since == head.revision
    };
    if view.succession().as_ref().is_some_and(done) {
        return Ok(head);
    }
    if head.revision < view.whole_at() {
        let why = "the stream was being founded from another one's state, and that is not finished: run the same \
                   `headwater stream rebuild` again";
        return Err(MendError::NotSo(why.into()));
    }
    if replayed.chain.blocked().is_some() {
        let why = "behind the log's head stands a commit that cannot be read: use `headwater stream resume`";
        return Err(MendError::NotSo(why.into()));
    }
    if head.revision != revision {
        return Err(MendError::NotSo(format!(
            "the log ends at revision {} ({}), not at {revision}: adopt that one, or restore the log",
            head.revision, head.hash
        )));
    }
    if let Some(diverged) = replayed.diverged {
        return Err(MendError::NotSo(format!(
            "the commit of revision {} does not fit its state: use `headwater stream resume` first",
            diverged.revision
        )));
    }
    let draft = said(&Word::Adopts(Point::from(&head)), view, &head, hand)?;
    append(log, &draft, &head, view.position()).await?;
    Ok(draft.folded.head)
}
