//! `headwater completions` and `headwater man`: what a shell and a manual want to know of the command line, from the
//! command line itself.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Failure;
use crate::output;

const INSTALL: &str = "\
It prints a script for the shell, and takes no --json.

Where they go:
  bash  headwater completions bash > ~/.local/share/bash-completion/completions/headwater
  zsh   headwater completions zsh  > ~/.zfunc/_headwater        (with fpath+=~/.zfunc before compinit)
  fish  headwater completions fish > ~/.config/fish/completions/headwater.fish";

/// The shells that are known.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
#[command(after_help = INSTALL)]
pub(crate) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    shell: Known,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Which directory the pages are put into, headwater.1 and one for each command
    dir: PathBuf,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

pub(super) fn completions(args: &Completions) -> Result<(), Failure> {
    let shell = match args.shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "headwater", &mut script);
    output::print(&script)
}

pub(super) fn man(args: &Man) -> Result<(), Failure> {
    let about = |error| Failure::failed(format_args!("{}: {error}", args.dir.display()));
    fs::create_dir_all(&args.dir).map_err(about)?;
    clap_mangen::generate_to(Cli::command(), &args.dir).map_err(about)?;
    if args.json {
        return output::json(&serde_json::json!({ "dir": args.dir }));
    }
    output::line(format_args!("the pages are in {}; `man -l {0}/headwater.1`", args.dir.display()))
}
