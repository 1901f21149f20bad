//! The command line.

use std::convert::Infallible;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use headwater_api::At;
use headwater_schemas::{Key, Namespace};

use crate::commands::audit;
use crate::commands::commit::Commit;
use crate::commands::diff::Diff;
use crate::commands::edit::Edit;
use crate::commands::export::Export;
use crate::commands::history::History;
use crate::commands::image::Image;
use crate::commands::import::Form;
use crate::commands::manual::{Completions, Man};
use crate::commands::rollback::Rollback;
use crate::commands::watch::Watch;
use crate::exit;
use crate::kafka::KafkaFlags;
use crate::settings::ServerFlags;

/// Event-streamed configuration: post a change, and every running service has it milliseconds later.
#[derive(Debug, Parser)]
#[command(name = "headwater", version, after_help = exit::HELP, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process: the HTTP API, the log, the relay and the snapshotter
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServerFlags),
    /// Run only the HTTP API, over a log on Kafka; snapshots and history are another process's (--history-url)
    Publisher(ServerFlags),
    /// Run only the snapshotter and a read-only relay, over a log on Kafka
    Snapshotter(ServerFlags),
    /// Print a value
    Get(Get),
    /// Set a value
    Put(Put),
    /// Delete a key
    Delete(Delete),
    /// List the keys of a namespace, or all namespaces
    List(List),
    /// Print every version of a key, newest first
    History(History),
    /// Print what two states of a namespace differ in
    Diff(Diff),
    /// Restore an older state of a key, a prefix or a namespace, as a new commit
    Rollback(Rollback),
    /// Apply a change set from a JSON or YAML file, all or nothing
    Commit(Commit),
    /// Edit a value in your editor
    Edit(Edit),
    /// Export a namespace, as it is or was, to a file or a directory
    Export(Export),
    /// Import a file or a directory into a namespace, in atomic commits
    Import(Import),
    /// Print every change as it happens, until Ctrl-C
    Watch(Watch),
    /// Say how a server is
    Status(Remote),
    /// Mend a stream after a loss or a wrong commit, on its log itself
    #[command(subcommand)]
    Stream(Stream),
    /// Compare the table of a stream on Kafka (the topic STREAM.config) with its state, or mend it
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Inspect, verify and fetch snapshots
    #[command(subcommand)]
    Image(Image),
    /// Print completions for a shell
    Completions(Completions),
    /// Write the manual pages
    Man(Man),
    /// Prove a stream's history: verify, replay, log, export, diff, receipts
    #[command(subcommand, after_help = audit::args::EXITS)]
    Audit(audit::args::Audit),
    /// Write a stream's history into a folder of immutable segments, or go on with one
    Archive(audit::args::Archive),
    /// Check brokers, topic, rights, clocks, servers and disk, and say how to mend what is wrong
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(Doctor),
}

/// What an operator does about a stream. Each works on the log, with the settings of its servers.
#[derive(Debug, Subcommand)]
pub(crate) enum Stream {
    /// Say what the log holds: its head, and whether the stream stands still
    Show(Mender),
    /// Go on from the log's own head after it has lost what came behind it
    #[command(after_help = ADOPT_NOTES)]
    Adopt(Adopt),
    /// Go on behind a commit that does not fit its state, or that no build can read
    #[command(after_help = RESUME_NOTES)]
    Resume(Mender),
    /// Found a new stream in an empty log from a state that a server kept
    #[command(after_help = REBUILD_NOTES)]
    Rebuild(Rebuild),
}

const ADOPT_NOTES: &str = "\
When servers say that the log does not hold the record of their revision (it was truncated, or restored from an older \
copy) and what is lost is lost for good: `headwater stream show` says where the log ends now, and this appends one \
commit there that says so. What was acknowledged behind that revision is given up: export it first from a server that \
still serves it, and put it again.

Servers and services that were at the adopted revision follow by themselves, within a minute. Others stay on their \
last good state and alarm: give them an empty cache directory. Let nobody write in between: a publisher with an empty \
disk would, and what it wrote stands where the others could follow. Revisions behind the adopted one are given again: \
clients must not use ETags, cursors or revisions of the time that was lost. An image of that time that is all a shelf or \
bucket announces, with no server left that knows it, must be removed by hand (latest.json).

An embedded log is its server's own: stop the server first.

Example:
  headwater stream show  --kafka broker-1:9092 --stream prod
  headwater stream adopt --kafka broker-1:9092 --stream prod --revision 4711 -m 'broker 2 restored from Monday'";

const RESUME_NOTES: &str = "\
A commit that does not fit its state counts all the same (the fold is the truth), and publishers stop writing until \
somebody has looked: this appends a commit that accepts it. A commit that cannot be read stops every reader: this \
appends a commit that has it skipped. `headwater stream show` says which of the two it is.

Example:
  headwater stream resume --kafka broker-1:9092 --stream prod -m 'publisher 3 had bad memory'";

const REBUILD_NOTES: &str = "\
The state is that of a server's data directory: its last good state, else its newest image. The log must be empty and \
never have held anything: a topic made anew, another --stream, or a new --data directory. Entries keep their bytes and \
types; versions begin anew, and history stays with the old log.

Servers and services that were at that state follow by themselves once they read this log. Run it again when it was \
interrupted: it goes on.

Example:
  headwater stream rebuild --from /var/lib/headwater --kafka broker-1:9092 --stream prod -m 'topic was deleted'";

/// Which log, and who mends it.
#[derive(Debug, Args)]
pub(crate) struct Mender {
    #[command(flatten)]
    pub(crate) server: ServerFlags,
    #[command(flatten)]
    pub(crate) provenance: Provenance,
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Adopt {
    /// The revision at which the log ends now: typed, so that nobody adopts another one than they think
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: u64,
    #[command(flatten)]
    pub(crate) mender: Mender,
}

#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    /// The data directory of a server that holds the state
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    #[command(flatten)]
    pub(crate) mender: Mender,
}

const DOCTOR_EXAMPLES: &str = "\
Examples:
  headwater doctor
  headwater doctor --kafka broker-1:9092 --stream prod --server http://publisher-1:7070 --server http://publisher-2:7070
  headwater doctor --config /etc/headwater/headwater.toml --json

It writes nothing to the log without --write. A check that failed makes the exit status 1; warnings do not.";

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// A server to check; repeatable. They are also compared with each other [default: http://127.0.0.1:7070, unless
    /// --kafka is given]
    #[arg(long = "server", env = "HEADWATER_SERVER", value_name = "URL", value_delimiter = ',', value_parser = server)]
    pub(crate) servers: Vec<String>,
    /// Try on Kafka whether this client may write: appends a marker, some bytes that are no commit and that no reader
    /// counts, and reads it back
    #[arg(long)]
    pub(crate) write: bool,
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
    /// What a server would be started with
    #[command(flatten)]
    pub(crate) flags: ServerFlags,
}

const SERVE_EXAMPLES: &str = "\
Examples:
  headwater serve
  headwater serve --listen 0.0.0.0:7070 --data /var/lib/headwater
  headwater serve --kafka broker-1:9092,broker-2:9092 --stream prod

A settings file (--config) holds the same names, and one table a part:
  listen = \"127.0.0.1:7070\"
  data = \"./data\"
  [publisher]
  max_value_bytes = 262144
  [snapshotter]
  cut_every_seconds = 60

Each of those has an environment variable, too: HEADWATER_PUBLISHER__MAX_VALUE_BYTES (two underscores). \
docs/settings.md lists them all.";

#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Say where the table differs from the state; 1 when it does
    Verify(TopicArgs),
    /// Make the table equal to the state, whatever it holds now. Whoever writes it is fenced meanwhile and takes it
    /// back by itself
    Repair(TopicArgs),
}

/// Which table, and which state.
#[derive(Debug, Clone, Args)]
pub(crate) struct TopicArgs {
    #[command(flatten)]
    pub(crate) kafka: KafkaFlags,
    /// Take the state from a server's image instead of folding the whole log
    #[arg(long, value_name = "URL", value_parser = server)]
    pub(crate) server: Option<String>,
    /// Repair in the wire format of this registry of schemas; without it, as the table is written
    #[arg(long, env = "HEADWATER_SCHEMA_REGISTRY", value_name = "URL")]
    pub(crate) schema_registry: Option<String>,
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// A server as it is typed: `localhost:7070` means http.
pub(crate) fn address(typed: &str) -> String {
    let is_whole = typed.is_empty() || typed.contains("://");
    if is_whole { typed.to_owned() } else { format!("http://{typed}") }
}

/// [`address`] as a parser of flags. What is no server is told when it is used.
fn server(typed: &str) -> Result<String, Infallible> {
    Ok(address(typed))
}

/// Which server, and how to print.
#[derive(Debug, Clone, Args)]
pub(crate) struct Remote {
    /// The server; http:// may be left out
    #[arg(
        long,
        env = "HEADWATER_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:7070",
        value_parser = server
    )]
    pub(crate) server: String,
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who writes, and why.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Provenance {
    /// Who makes the change; kept with it
    #[arg(long, env = "HEADWATER_ACTOR", value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Why; kept with the change
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// What must hold before the write.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
pub(crate) struct Condition {
    /// Only if the key was last changed by this revision
    #[arg(long, value_name = "REVISION")]
    pub(crate) if_revision: Option<u64>,
    /// Only if the key is there
    #[arg(long)]
    pub(crate) if_exists: bool,
    /// Only if the key is absent
    #[arg(long)]
    pub(crate) if_absent: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Where the key stands: payments.prod
    pub(crate) namespace: Namespace,
    /// Which key: db/pool
    pub(crate) key: Key,
    /// As it was after this revision, or at this time
    #[arg(long, value_name = "REVISION|TIME")]
    pub(crate) at: Option<At>,
    /// Wait (up to 5 s) until the server has this revision, to read your own write
    #[arg(long, value_name = "REVISION")]
    pub(crate) min_revision: Option<u64>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
#[command(after_help = PUT_EXAMPLES)]
pub(crate) struct Put {
    /// Where the key stands: payments.prod
    pub(crate) namespace: Namespace,
    /// Which key: db/pool
    pub(crate) key: Key,
    /// The value; @FILE reads a file, - reads standard input
    #[arg(allow_negative_numbers = true)]
    pub(crate) value: String,
    /// What the value is [default: application/json]
    #[arg(long, short = 't', value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    #[command(flatten)]
    pub(crate) condition: Condition,
    /// Makes a retry land once: the same key and value get the same answer
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    #[command(flatten)]
    pub(crate) provenance: Provenance,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

const PUT_EXAMPLES: &str = "\
Examples:
  headwater put demo limit 42
  headwater put demo db/pool '{\"max_connections\": 20}' -m 'more traffic'
  headwater put demo motd 'Hello' -t text/plain
  headwater put demo logo @logo.png -t image/png --if-absent";

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Where the key stands: payments.prod
    pub(crate) namespace: Namespace,
    /// Which key: db/pool
    pub(crate) key: Key,
    /// Only if the key was last changed by this revision
    #[arg(long, value_name = "REVISION")]
    pub(crate) if_revision: Option<u64>,
    /// Makes a retry land once: the same key gets the same answer
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    #[command(flatten)]
    pub(crate) provenance: Provenance,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The namespace; without it, all namespaces are listed
    pub(crate) namespace: Option<Namespace>,
    /// Only keys that begin like this; db/ stays inside db
    #[arg(long, default_value = "", requires = "namespace")]
    pub(crate) prefix: String,
    /// As they were after this revision, or at this time
    #[arg(long, value_name = "REVISION|TIME", requires = "namespace")]
    pub(crate) at: Option<At>,
    /// Leave the values out
    #[arg(long, requires = "namespace")]
    pub(crate) keys_only: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
#[command(after_help = IMPORT_NOTES)]
pub(crate) struct Import {
    /// The namespace that gets the keys
    pub(crate) namespace: Namespace,
    /// A JSON file with one object, a file with an entry a line (.ndjson), or a directory; - reads standard input
    pub(crate) path: PathBuf,
    /// What the file holds [default: ndjson where its name ends in .ndjson or .jsonl, else json]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Form>,
    /// Delete the namespace's keys that are not in the import
    #[arg(long)]
    pub(crate) prune: bool,
    /// Say what would change, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leave .json, .txt … off the keys of a directory's files
    #[arg(long)]
    pub(crate) strip_extension: bool,
    #[command(flatten)]
    pub(crate) provenance: Provenance,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

const IMPORT_NOTES: &str = "\
A JSON file: every top-level name of its object becomes a key, with the JSON as it stands there.
An .ndjson or .jsonl file: every line is an entry, with its key, type and value, as `headwater export` writes it.
A directory: every file becomes a key, its path below the directory; names that start with a dot are left out. A tree that \
`headwater export` wrote says itself which key and type a file has.

Only what differs is written: a key that has the same bytes and type already stays as it is, and an import that is run \
again writes nothing. The rest is split into commits of at most 1,000 changes and 512 KiB: each is atomic, and a failed \
import can simply be run again. Keys that are not in the import stay, too, unless --prune is given: then they are deleted in \
the same commits, and one that somebody changes meanwhile is not. Look first: --prune --dry-run. An import of {} with \
--prune empties the namespace; a file or directory that holds nothing at all is taken for a mistake.

Examples:
  headwater import llm.models models.json --dry-run
  headwater export payments.prod --format ndjson | headwater import payments.test - --format ndjson";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_documents_the_exit_codes() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("5  a precondition does not hold"), "{help}");
    }

    #[test]
    fn a_name_that_is_none_is_a_usage_error() {
        let refused = Cli::try_parse_from(["headwater", "get", "Demo", "limit"]).unwrap_err();
        assert!(
            refused.to_string().contains("each segment must start with a-z or 0-9"),
            "{refused}"
        );
    }

    #[test]
    fn two_conditions_at_once_are_a_usage_error() {
        let line = ["headwater", "put", "demo", "k", "1", "--if-absent", "--if-revision", "3"];
        assert!(Cli::try_parse_from(line).is_err());
    }

    #[test]
    fn a_negative_number_is_a_value() {
        for value in ["-5", "-0.5"] {
            let Some(Command::Put(put)) =
                Cli::try_parse_from(["headwater", "put", "demo", "k", value]).unwrap().command
            else {
                panic!("put")
            };
            assert_eq!(put.value, value);
        }
    }
}
