//! `headwater audit` and `headwater archive`: the audit's commands, a file each. What they say is found by the crate
//! `headwater-audit`; here it is printed.

mod archive;
pub(crate) mod args;
mod diff;
mod export;
mod log;
mod progress;
mod receipt;
mod replay;
mod source;
mod verify;

use std::io::Write;

use headwater_api::{At, Time};
use headwater_audit::{AuditError, Place};

pub(super) use archive::run as run_archive;

use crate::exit::Failure;
use crate::output;
use args::Audit;

pub(super) async fn run(command: Audit) -> Result<(), Failure> {
    match command {
        Audit::Verify(args) => verify::run(args).await,
        Audit::Replay(args) => replay::run(args).await,
        Audit::Log(args) => log::run(args).await,
        Audit::Export(args) => export::run(args).await,
        Audit::Diff(args) => diff::run(args).await,
        Audit::Receipt(args) => receipt::run(args).await,
        Audit::CheckReceipt(args) => receipt::check(&args),
    }
}

/// A point of the command line as the audit's.
fn point(at: Option<At>) -> headwater_audit::At {
    match at {
        None => headwater_audit::At::End,
        Some(At::Revision(revision)) => headwater_audit::At::Revision(revision),
        Some(At::Time(Time(at_ms))) => headwater_audit::At::Time(at_ms),
    }
}

/// A line of JSON.
fn write_line<T: serde::Serialize>(out: &mut impl Write, value: &T) -> Result<(), AuditError> {
    let failed = |error: &dyn std::fmt::Display| AuditError::Output(error.to_string());
    let text = output::one_line_of_json(value).map_err(|error| failed(&error))?;
    writeln!(out, "{text}").map_err(|error| failed(&error))
}

/// A place of a history in words.
fn told(place: &Place) -> String {
    let Place { revision, hash, at_ms, .. } = *place;
    format!("revision {revision} ({hash}), {}", output::time(Time(at_ms)))
}
