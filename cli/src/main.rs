//! `headwater`: one binary for every server role and every command of a user.

mod args;
mod bounds;
mod commands;
mod exit;
mod file_output;
mod filetype;
mod framing;
mod input;
mod kafka;
mod logging;
mod metrics;
mod output;
mod pretty;
mod recorder;
mod refused;
mod serve;
mod settings;
mod signals;
mod tasks;
mod traces;
mod unified;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::exit::Failure;
use crate::serve::{Role, Telling};
use crate::settings::{ServerFlags, Settings};
use crate::traces::Traces;

/// How long blocking calls may take to return once a server has drained or a command has ended.
const LINGER: Duration = Duration::from_secs(1);

/// What one thread allocates another frees, commit after commit: the system's allocator makes them wait for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::note(format_args!("headwater: {failure}"));
            failure.code()
        }
    }
}

fn run(command: Option<Command>) -> Result<(), Failure> {
    match command {
        Some(Command::Serve(flags)) => server(&flags, Role::Serve),
        Some(Command::Publisher(flags)) => server(&flags, Role::Publisher),
        Some(Command::Snapshotter(flags)) => server(&flags, Role::Snapshotter),
        command => client(command),
    }
}

fn server(flags: &ServerFlags, role: Role) -> Result<(), Failure> {
    let settings = Settings::load(flags)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::failed(format_args!("no threads to run on: {error}")))?;
    let traces = Traces::of(&settings, role.name(), runtime.handle())?;
    let filter = logging::server(settings.log_format, traces.as_ref())?;
    let telling = Telling { filter, continued: traces.as_ref().map(Traces::continued) };
    let ended = runtime.block_on(serve::run(settings, role, telling));
    traces.into_iter().for_each(Traces::finish);
    // Threads that still sit in a blocking call are not worth waiting for: what was acknowledged is durable.
    runtime.shutdown_timeout(LINGER);
    ended
}

fn client(command: Option<Command>) -> Result<(), Failure> {
    logging::command()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Failure::failed(format_args!("no event loop to run on: {error}")))?;
    let ended = runtime.block_on(commands::run(command));
    runtime.shutdown_timeout(LINGER);
    ended
}
