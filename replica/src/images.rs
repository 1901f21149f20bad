//! Following images alone, without a log or a relay: the state is as new as the newest image that is announced.
//!
//! An image says of which stream and revision it is, not what came between: a later one of the same stream is taken as
//! a whole. What is lost against a log or a relay is therefore time, and the proof that the chain was never left.

use std::time::Duration;

use headwater_client::Backoff;

use crate::bootstrap::{self, Against};
use crate::core::Core;
use crate::remote::Ended;
use crate::{AlarmKind, Phase};

/// How often directories are looked at. More often delays a change less; a look reads one small file.
const LOOK_AT_DIRS: Duration = Duration::from_secs(1);
/// How often other places are asked at most, and twice as seldom at least: thousands of readers must not ask at once.
const ASK_PLACES: Duration = Duration::from_secs(5);

/// Follows the places of the settings for ever.
pub(crate) async fn follow(core: &mut Core) {
    let are_near = core.settings.image_stores.is_empty();
    let mut jitter = Backoff::new(rand::random(), ASK_PLACES, ASK_PLACES);
    loop {
        look(core).await;
        let wait =
            if are_near { LOOK_AT_DIRS } else { ASK_PLACES + jitter.next().unwrap_or(ASK_PLACES) };
        tokio::time::sleep(wait).await;
    }
}

/// Takes the newest image, if there is a newer one.
async fn look(core: &mut Core) {
    let newer = core.head().map_or(0, |head| head.revision + 1);
    let passed = match bootstrap::newest(core, Against::Nothing, newer).await {
        Ok(()) => return is_newest(core).await,
        Err(passed) => passed,
    };
    let foreign = passed.iter().find(|it| matches!(it.why, Ended::WrongSource(_)));
    if let Some(foreign) = foreign.filter(|_| core.view().is_some()) {
        let detail = format!(
            "{}: {}. Nothing is taken; the last good state is served. Point to the images of our stream, or empty the \
             cache to follow this one.",
            foreign.label,
            foreign.reason()
        );
        return core.alarm(AlarmKind::WrongSource, detail).await;
    }
    let has_answered = passed.iter().any(|it| matches!(it.why, Ended::NoNewer { .. }));
    if core.view().is_some() && has_answered {
        return is_newest(core).await;
    }
    if core.view().is_none() {
        passed.iter().for_each(|it| core.rung(&it.label, it.reason()));
        return;
    }
    let reasons = passed.iter().map(|it| format!("{}: {}", it.label, it.reason()));
    core.error(reasons.collect::<Vec<_>>().join("\n"));
    core.phase(Phase::Stale);
}

/// The state is that of the newest image that can be had.
async fn is_newest(core: &mut Core) {
    core.mended(&[AlarmKind::WrongSource]).await;
    core.phase(Phase::Live);
}
