//! What can go wrong at a place of images, by what the caller does about it.

use headwater_api::Code;
use headwater_client::ClientError;
use headwater_image::{ImageError, WhyNot};

/// Why a place did not give or take an image.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or refused: try again later, or another place.
    #[error("{url}: {cause}")]
    Unreachable {
        /// The place.
        url: String,
        /// What it, or the network, said.
        cause: String,
    },
    /// What stands there is not what it must be: take another place. A damaged `latest.json` is never replaced by
    /// itself: delete it, and the next image is announced.
    #[error("{url}: {detail}")]
    Damaged {
        /// The place.
        url: String,
        /// What is wrong.
        detail: String,
    },
    /// What was announced is not there (any more): ask for the announcement again, or take another place.
    #[error("{url}: there is no {name}")]
    Missing {
        /// The place.
        url: String,
        /// The file.
        name: String,
    },
    /// The image must not be announced there.
    #[error("{url}: {why}")]
    Refused {
        /// The place.
        url: String,
        /// Why; some reasons mean that there is nothing to do.
        why: WhyNot,
    },
    /// Nothing can be written there: name the bucket or directory behind it.
    #[error(
        "{url} can only be read: name the bucket (s3://…) or the directory (file:///…) behind it"
    )]
    ReadOnly {
        /// The place.
        url: String,
    },
    /// The place cannot be used as it was named: mend the setting.
    #[error("{0}")]
    Setting(String),
    /// The image on this machine's own disk cannot be read.
    #[error(transparent)]
    Own(#[from] ImageError),
}

impl StoreError {
    /// What happened, without the place, for whoever names it anyway.
    pub fn cause(&self) -> String {
        match self {
            Self::Unreachable { cause, .. } => cause.clone(),
            Self::Damaged { detail, .. } => detail.clone(),
            Self::Missing { name, .. } => format!("there is no {name}"),
            Self::Refused { why, .. } => why.to_string(),
            Self::ReadOnly { .. } | Self::Setting(_) | Self::Own(_) => self.to_string(),
        }
    }

    /// What a client of an HTTP server says, without naming the server again.
    pub(crate) fn of_client(url: &str, name: &str, error: ClientError) -> Self {
        let url = url.to_owned();
        match error {
            ClientError::Problem(problem) if problem.code == Code::NotFound => {
                Self::Missing { url, name: name.to_owned() }
            }
            ClientError::Decode { cause, .. } => Self::Damaged { url, detail: cause },
            ClientError::Transport { cause, .. } => {
                Self::Unreachable { url, cause: format!("cannot be reached: {cause}") }
            }
            ClientError::Timeout { limit_ms, .. } => {
                Self::Unreachable { url, cause: format!("no answer within {limit_ms} ms") }
            }
            error @ (ClientError::Problem(_) | ClientError::Setting(_)) => {
                Self::Unreachable { url, cause: error.to_string() }
            }
        }
    }
}
