//! `headwater image`: snapshots as files: what is in one, whether it is whole, and one from a server.

mod fetch;
mod inspect;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args::Remote;
use crate::exit::Failure;

/// What is done with snapshots.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Say what a snapshot holds: a file, or the newest one of a server
    Inspect(Inspect),
    /// Read a file whole, and check every block, count and digest
    Verify(Verify),
    /// Download a server's newest snapshot, verified before it gets its name
    Fetch(Fetch),
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A file (.hwi) [default: the newest snapshot of the server]
    file: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The file (.hwi); a manifest beside it (.hwi.json) is checked, too
    file: PathBuf,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// Which directory it is put into
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(command: Image) -> Result<(), Failure> {
    match command {
        Image::Inspect(args) => inspect::run(args).await,
        Image::Verify(args) => verify::run(&args),
        Image::Fetch(args) => fetch::run(args).await,
    }
}
