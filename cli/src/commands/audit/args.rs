//! What the audit can be told.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use headwater_api::{At, Time};
use headwater_schemas::{Hash, Namespace};

use crate::kafka::KafkaFlags;

/// What `--help` says of the exit codes of every audit.
pub(crate) const EXITS: &str = "\
Exit codes:
  0  done; of verify and check-receipt: proven
  1  the history is broken, or contradicts a head that was published; or refused or failed. The message says which
  2  the command line is wrong
  3  the server or Kafka cannot be reached, or is not ready: try again later
  4  the log does not reach that revision";

/// Notes on a command, and the exit codes.
fn notes(notes: &str) -> String {
    format!("{notes}\n\n{EXITS}")
}

/// What is done with a history.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Prove the whole history: the chain, every commit, every digest. Says where it breaks, and what is still proven
    #[command(after_help = notes(VERIFY_NOTES))]
    Verify(Verify),
    /// Rebuild the state at a revision or time from the log alone
    #[command(after_help = notes(REPLAY_NOTES))]
    Replay(Replay),
    /// Say who changed what, when and why
    #[command(after_help = EXITS)]
    Log(Log),
    /// Write the history as NDJSON, or its records as stored as an Avro file
    #[command(after_help = notes(EXPORT_NOTES))]
    Export(Export),
    /// Say what differs between the states at two points
    #[command(after_help = EXITS)]
    Diff(Diff),
    /// Write a small file that proves, offline, that a commit is part of the history
    #[command(after_help = notes(RECEIPT_NOTES))]
    Receipt(Receipt),
    /// Check such a file, without any server or log
    #[command(after_help = EXITS)]
    CheckReceipt(CheckReceipt),
}

const VERIFY_NOTES: &str = "\
The chain proves that nothing inside it was changed. That nothing was cut off its end, and that it is not another history \
altogether, is proven only by a head that was published elsewhere: a server's (--server), one from a ticket or another \
machine (--head 4711:HASH), or an archive's own. Whatever is broken or contradicts a head, the report says where, and up to \
which revision the history is proven all the same. A damaged embedded log is read up to its damage.

Examples:
  headwater audit verify                                            over HTTP, from the server
  headwater audit verify --kafka broker-1:9092 --stream prod        from the topic itself
  headwater audit verify --kafka broker-1:9092 --stream prod --server http://publisher-1:7070
  headwater audit verify --archive /backup/prod --head 4711:5f0c…
  headwater audit verify --data /var/lib/headwater                  the embedded log of a server that is stopped";

const REPLAY_NOTES: &str = "\
Examples:
  headwater audit replay --at 4711 > state.ndjson
  headwater audit replay --at 2026-11-22T08:15:30Z --archive /backup/prod --dir ./restored
  headwater import payments.prod ./restored/payments.prod --dry-run        what putting it back would change";

const EXPORT_NOTES: &str = "\
Examples:
  headwater audit export > history.ndjson
  headwater audit export --format avro --out history.avro --kafka broker-1:9092 --stream prod";

const RECEIPT_NOTES: &str = "\
A receipt holds the commit's record and, for each later commit up to the head, what proves its header: the record where it \
has at most 1 KiB, else its first KiB and a few hashes. Choose a near head (--head) to keep it small.

Examples:
  headwater audit receipt 4711 --out change-4711.receipt
  headwater audit check-receipt change-4711.receipt --head 4820:5f0c…";

/// Which history.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// Read from this server; beside another source: compare with its head [default: HEADWATER_SERVER, else
    /// http://127.0.0.1:7070]
    #[arg(long, visible_alias = "url", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Read the embedded log in this data directory, and change nothing there; its server must be stopped
    #[arg(long, visible_alias = "data-dir", value_name = "DIR", conflicts_with_all = ["archive", "kafka"])]
    pub(crate) data: Option<PathBuf>,
    /// Read this archive
    #[arg(long, value_name = "DIR", conflicts_with = "kafka")]
    pub(crate) archive: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) kafka: KafkaFlags,
}

/// A published head: `REVISION:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadArg(pub(crate) u64, pub(crate) Hash);

impl FromStr for HeadArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text
            .split_once(':')
            .and_then(|(revision, hash)| Some(Self(revision.parse().ok()?, Hash::from_hex(hash)?)));
        parsed.ok_or("write it as REVISION:HASH, the hash with its 64 digits")
    }
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A head that was published elsewhere; repeatable
    #[arg(long = "head", value_name = "REVISION:HASH")]
    pub(crate) heads: Vec<HeadArg>,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Which state [default: the newest]
    #[arg(long, value_name = "REVISION|TIME")]
    pub(crate) at: Option<At>,
    /// Write the entries to this file, one JSON object a line, instead of standard output
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    pub(crate) out: Option<PathBuf>,
    /// Write the values into a new folder: a folder a namespace, each as `headwater export --format tree` writes it
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Say what was rebuilt in JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum OrderArg {
    /// As they were made.
    #[default]
    Asc,
    /// The newest first.
    Desc,
}

#[derive(Debug, Args)]
pub(crate) struct Log {
    /// Only commits that change this namespace
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<Namespace>,
    /// Only commits that change a key that begins so
    #[arg(long, value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,
    /// Only commits of this actor
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Only commits at or after this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) since: Option<Time>,
    /// Only commits at or before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) until: Option<Time>,
    /// Only later revisions
    #[arg(long, value_name = "REVISION")]
    pub(crate) after: Option<u64>,
    /// Only earlier revisions
    #[arg(long, value_name = "REVISION")]
    pub(crate) before: Option<u64>,
    /// In which order
    #[arg(long, value_enum, default_value_t)]
    pub(crate) order: OrderArg,
    /// At most so many [default: all; from a log or archive the newest 1,000 with --order desc]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Print whole commits, one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) source: Source,
}

fn time(text: &str) -> Result<Time, headwater_api::TimeError> {
    Time::parse(text)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// Commits as JSON, one a line.
    #[default]
    Ndjson,
    /// An Avro object container file of the records as stored, genesis first.
    Avro,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// As what
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The first point: a revision or a time
    pub(crate) from: At,
    /// The second point
    pub(crate) to: At,
    /// Only this namespace
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<Namespace>,
    /// Only keys that begin so
    #[arg(long, default_value = "", value_name = "PREFIX")]
    pub(crate) prefix: String,
    /// Print JSON, one object a key
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
pub(crate) struct Receipt {
    /// The commit
    pub(crate) revision: u64,
    /// The published head it is to lead to [default: the log's end]
    #[arg(long, value_name = "REVISION:HASH")]
    pub(crate) head: Option<HeadArg>,
    /// The file [default: REVISION.receipt]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Say what it proves in JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
pub(crate) struct CheckReceipt {
    /// The receipt
    pub(crate) file: PathBuf,
    /// The published head it must lead to
    #[arg(long, value_name = "REVISION:HASH")]
    pub(crate) head: Option<HeadArg>,
    /// Say what it proves in JSON, with the record
    #[arg(long)]
    pub(crate) json: bool,
}

/// `headwater archive`.
#[derive(Debug, Args)]
#[command(after_help = notes(ARCHIVE_NOTES))]
pub(crate) struct Archive {
    /// The archive; made when it is absent, gone on with when it is there
    pub(crate) dir: PathBuf,
    /// Say what was archived in JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) source: Source,
}

const ARCHIVE_NOTES: &str = "\
Segments are never changed: an archive can be copied while it stands still, and only what is new must be copied again. \
`headwater audit verify --archive DIR` proves it by itself; keep its head (revision and hash) somewhere else.

Examples:
  headwater archive /backup/prod
  headwater archive /backup/prod --kafka broker-1:9092 --stream prod";
