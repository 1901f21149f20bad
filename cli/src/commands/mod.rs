//! The commands of a user, a file each: ask a server, print.

mod delete;
mod doctor;
mod get;
mod import;
mod list;
mod put;
mod status;
mod stream;
mod topic;
pub(crate) mod watch;
mod write;

use headwater_client::Client;

use crate::args::{Command, Remote};
use crate::exit::Failure;

/// Runs one. Server roles are no commands of a user.
pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Get(args) => get::run(args).await,
        Command::Put(args) => put::run(args).await,
        Command::Delete(args) => delete::run(args).await,
        Command::List(args) => list::run(args).await,
        Command::Import(args) => import::run(args).await,
        Command::Watch(args) => watch::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Stream(command) => stream::run(command).await,
        Command::Topic(command) => topic::run(command).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Serve(_) | Command::Publisher(_) | Command::Snapshotter(_) => Ok(()),
    }
}

/// A client of the server that was named.
fn connect(remote: &Remote) -> Result<Client, Failure> {
    let built = Client::builder().server(remote.server.as_str()).build();
    built.map_err(|error| Failure::failed(format_args!("--server {}: {error}", remote.server)))
}
