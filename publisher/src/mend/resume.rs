//! Going on behind a commit that is wrong, or that no build can read.

use headwater_log::Log;
use headwater_replica::replay;
use headwater_schemas::{Head, Point, Word};

use super::{Hand, MendError, append, first_behind, said};

/// Says of the commit at which the stream stands still that it counts all the same (it was read, and does not fit its
/// state), or that it changes nothing (it cannot be read). Every replica goes on then. Gives what was said, and the new
/// head.
///
/// # Errors
/// [`MendError`]; [`MendError::NotSo`] when the stream does not stand still.
pub async fn resume(log: &dyn Log, hand: &Hand) -> Result<(Word, Head), MendError> {
    let replayed = replay(log, |_| false).await?;
    let (view, head) = (&replayed.view, *replayed.view.head());
    let (word, parent, at) = match (replayed.chain.behind_blocked(), replayed.diverged) {
        (Some(behind), _) => {
            let at = replayed.chain.blocked().map_or(view.position(), |record| record.position);
            (Word::Skips(Point::from(&behind)), behind, at)
        }
        (None, Some(diverged)) => (Word::Accepts(diverged), head, view.position()),
        (None, None) => {
            return Err(MendError::NotSo(format!(
                "every commit up to the log's end, revision {} ({}), can be read and fits its state: nothing stands \
                 still here. A replica that says otherwise follows another log, or needs an empty cache directory",
                head.revision, head.hash
            )));
        }
    };
    if matches!(word, Word::Skips(_)) && first_behind(log, &parent, at).await?.is_some() {
        return Err(MendError::NotSo(format!(
            "somebody could read revision {} and has written behind it: who skipped it now would be on another chain. \
             Use a build that reads it; or found the stream anew with `headwater stream rebuild`",
            parent.revision
        )));
    }
    let draft = said(&word, view, &parent, hand)?;
    append(log, &draft, &parent, at).await?;
    Ok((word, draft.folded.head))
}
