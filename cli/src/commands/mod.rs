//! The commands of a user, a file each: ask a server, print.

pub(crate) mod audit;
pub(crate) mod commit;
mod delete;
pub(crate) mod diff;
mod doctor;
pub(crate) mod edit;
pub(crate) mod export;
mod get;
pub(crate) mod history;
pub(crate) mod image;
pub(crate) mod import;
mod list;
pub(crate) mod manual;
mod newcomer;
mod preview;
mod put;
pub(crate) mod rollback;
mod status;
mod stream;
mod topic;
pub(crate) mod watch;
mod write;

use headwater_client::Client;

use crate::args::{Command, Remote};
use crate::exit::Failure;

/// Runs one; none is a lesson. Server roles are no commands of a user.
pub(crate) async fn run(command: Option<Command>) -> Result<(), Failure> {
    let Some(command) = command else { return newcomer::run() };
    match command {
        Command::Get(args) => get::run(args).await,
        Command::Put(args) => put::run(args).await,
        Command::Delete(args) => delete::run(args).await,
        Command::List(args) => list::run(args).await,
        Command::History(args) => history::run(args).await,
        Command::Diff(args) => diff::run(args).await,
        Command::Rollback(args) => rollback::run(args).await,
        Command::Commit(args) => commit::run(args).await,
        Command::Edit(args) => edit::run(args).await,
        Command::Export(args) => export::run(args).await,
        Command::Import(args) => import::run(args).await,
        Command::Image(command) => image::run(command).await,
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
        Command::Watch(args) => watch::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Stream(command) => stream::run(command).await,
        Command::Topic(command) => topic::run(command).await,
        Command::Audit(command) => audit::run(command).await,
        Command::Archive(args) => audit::run_archive(args).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Serve(_) | Command::Publisher(_) | Command::Snapshotter(_) => Ok(()),
    }
}

/// A client of the server that was named.
fn connect(remote: &Remote) -> Result<Client, Failure> {
    let built = Client::builder().server(remote.server.as_str()).build();
    built.map_err(|error| Failure::usage(format_args!("--server: {error}")))
}
