//! How a command ends: the codes that scripts decide by, and what a person is told.

use std::fmt;
use std::process::ExitCode;

use headwater_api::{Code, Problem};
use headwater_client::ClientError;

use crate::refused;

/// What `--help` says of exit codes.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  refused or failed; the message says why and what to do
  2  the command line is wrong
  3  the server cannot be reached, or is not ready: try again later
  4  no such key or resource
  5  a precondition does not hold: read again, decide again
  6  a write whose outcome is not known: run it again with the same --idempotency-key";

/// The exit codes. See [`HELP`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed = 1,
    Usage = 2,
    Unreachable = 3,
    NotFound = 4,
    Precondition = 5,
    Unknown = 6,
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), hint: None }
    }

    /// Refused or failed for a reason of its own.
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The command line is wrong in a way that only shows when it runs.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The same with what to do next, unless something better is known already.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// The same with what to do next where a precondition does not hold.
    pub(crate) fn at_precondition(self, hint: &str) -> Self {
        if self.exit == Exit::Precondition { self.hint(hint) } else { self }
    }

    /// The same, said to have happened while doing something.
    pub(crate) fn while_(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n{hint}"))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Problem(problem) => problem.into(),
            other if other.is_retryable() => Self::new(Exit::Unreachable, other)
                .hint("is it running there? start one with `headwater serve`, or name another by --server or HEADWATER_SERVER"),
            other => Self::failed(other),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let failure = Self::new(exit_of(problem.code), refused::message(&problem));
        match refused::hint(&problem) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

fn exit_of(code: Code) -> Exit {
    match code {
        Code::KeyNotFound | Code::NotFound | Code::RevisionInFuture | Code::RevisionCompacted => {
            Exit::NotFound
        }
        Code::Conflict | Code::PreconditionFailed => Exit::Precondition,
        // An earlier try of the same write is still open there: nobody knows yet, either.
        Code::OutcomeUnknown | Code::IdempotencyKeyInUse => Exit::Unknown,
        Code::Overloaded
        | Code::LogUnavailable
        | Code::NotReady
        | Code::Contended
        | Code::RevisionNotReached
        | Code::ShuttingDown => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_that_scripts_decide_by_has_its_exit() {
        let exit = |code| Failure::from(Problem::new(code, "x")).exit();
        assert_eq!(exit(Code::KeyNotFound), Exit::NotFound);
        assert_eq!(exit(Code::PreconditionFailed), Exit::Precondition);
        assert_eq!(exit(Code::Conflict), Exit::Precondition);
        assert_eq!(exit(Code::OutcomeUnknown), Exit::Unknown);
        assert_eq!(exit(Code::IdempotencyKeyInUse), Exit::Unknown);
        assert_eq!(exit(Code::RevisionNotReached), Exit::Unreachable);
        assert_eq!(exit(Code::LogUnavailable), Exit::Unreachable);
        assert_eq!(exit(Code::ValueTooLarge), Exit::Failed);
    }

    #[test]
    fn a_failure_says_what_to_do_next() {
        let problem = Problem::new(Code::InvalidJson, "the value is not JSON");
        assert!(Failure::from(problem).to_string().contains("--content-type text/plain"));
    }
}
