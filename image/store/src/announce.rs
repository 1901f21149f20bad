//! Replacing the announcement: read, decide, swap on the condition that it still is what was read.

use std::time::Duration;

use headwater_client::Backoff;
use headwater_image::{Manifest, WhyNot};

use crate::{Store, StoreError};

/// How often a lost race is run again. Each loss means that somebody announced a greater revision, so it ends long
/// before, unless a server refuses for a reason of its own.
const TRIES: usize = 64;
/// The pause after a lost race: full jitter between nothing and this, doubling from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// What came of an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// Readers find it now.
    Now,
    /// This state, or a later one, is announced already: there is nothing to do.
    Already {
        /// The revision that is.
        revision: u64,
    },
}

impl Store {
    /// Announces an image that [`Store::put_image`] said stands there: replaces the announcement with its manifest, if
    /// it may follow what is announced. Whoever loses a race reads and decides again.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when what is announced contradicts it: another stream, another chain or another state at
    /// the same revision. A damaged announcement is [`StoreError::Damaged`], and stays. Others may be tried again.
    pub async fn announce(&self, manifest: &Manifest) -> Result<Announced, StoreError> {
        let mut backoff = Backoff::new(rand::random(), PAUSE.0, PAUSE.1);
        for _ in 0..TRIES {
            let latest = self.latest().await?;
            if let Some(latest) = &latest
                && let Err(why) = manifest.may_follow(&latest.manifest)
            {
                return self.settled(why, latest.manifest.revision);
            }
            let version = latest.map(|latest| latest.version);
            if self.place.swap(manifest, version.as_deref()).await? {
                return Ok(Announced::Now);
            }
            tokio::time::sleep(backoff.next().unwrap_or(PAUSE.1)).await;
        }
        let cause = format!("the announcement was not replaced in {TRIES} tries");
        Err(StoreError::Unreachable { url: self.url().to_owned(), cause })
    }

    fn settled(&self, why: WhyNot, revision: u64) -> Result<Announced, StoreError> {
        if why.is_harmless() {
            return Ok(Announced::Already { revision });
        }
        Err(StoreError::Refused { url: self.url().to_owned(), why })
    }
}
