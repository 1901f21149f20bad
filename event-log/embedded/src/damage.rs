//! Damage: where it is, in words an operator can act on.

use std::fmt;

/// A record of the log that cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where it stands; none when not even that can be told.
    pub position: Option<u64>,
    /// Its revision: the one behind the last good commit before it. None where that is not known.
    pub revision: Option<u64>,
    /// What is wrong.
    pub detail: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision {
            Some(revision) => write!(f, "revision {revision} is damaged")?,
            None => write!(f, "a record is damaged")?,
        }
        if let Some(position) = self.position {
            write!(f, " (position {position})")?;
        }
        write!(f, ": {}", self.detail)
    }
}

impl std::error::Error for Damage {}
