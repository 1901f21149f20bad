//! Headwater's benchmarks: every figure beside its floor, measured in the same run, in alternating rounds.

mod audit;
mod floor;
mod history;
mod http;
mod kafka;
mod load;
mod million;
mod pipeline;
mod report;
mod sdk;
mod stats;
mod watch;

use std::path::PathBuf;

use clap::Parser;

/// As in the binary that is shipped, and as a service may choose.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Put → applied on the embedded log.
    Embedded,
    /// Put → applied over one Kafka broker.
    Kafka,
    /// Put → applied over three Kafka brokers.
    Cluster,
    /// Durable commits a second.
    Writers,
    /// A large state: image, first read, reads.
    State,
    /// Questions about the past, of chains of any length.
    History,
    /// Put → server-sent event, beside the binary stream.
    Watch,
    /// A history on Kafka verified, beside a plain consume.
    Audit,
    /// The SDK inside a service: reads, updates, folds, memory, each beside what else a service could use.
    Sdk,
}

const ALL: [Part; 9] = [
    Part::State,
    Part::Sdk,
    Part::History,
    Part::Embedded,
    Part::Watch,
    Part::Writers,
    Part::Kafka,
    Part::Cluster,
    Part::Audit,
];

/// Times Headwater beside what the machine itself takes.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure; all of it if not given.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Rounds of each figure; the median is quoted.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Keys of the large state, and the most keys a service holds.
    #[arg(long, default_value_t = 1_000_000)]
    keys: usize,
    /// Commits of the chains whose past is asked about: ten million take some 10 GB of the temporary directory (TMPDIR).
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 1_000_000])]
    commits: Vec<u64>,
    /// Commits of the history that is verified.
    #[arg(long, default_value_t = 1_000_000)]
    audited: u64,
    /// Where the figures go as JSON.
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let parts = if args.parts.is_empty() { ALL.to_vec() } else { args.parts };
    let mut report = report::Report::default();
    for part in parts {
        eprintln!("measuring {part:?} …");
        match part {
            Part::History => history::measure(&mut report, &args.commits, args.rounds)?,
            Part::Embedded => pipeline::embedded(&mut report, args.rounds)?,
            Part::Kafka => pipeline::over_kafka(&mut report, args.rounds)?,
            Part::Cluster => pipeline::over_cluster(&mut report, args.rounds)?,
            Part::Writers => pipeline::writers(&mut report, args.rounds)?,
            Part::Watch => watch::measure(&mut report, args.rounds)?,
            Part::Audit => audit::measure(&mut report, args.audited, args.rounds)?,
            Part::Sdk => sdk::measure(&mut report, args.keys, args.rounds)?,
            Part::State => {
                let dir = tempfile::tempdir()?;
                million::measure(&mut report, args.keys, args.rounds, dir.path())?;
            }
        }
    }
    println!("{}", report.table());
    if let Some(parent) = args.json.parent() {
        std::fs::create_dir_all(parent)?;
    }
    report.write(&args.json)?;
    eprintln!("written to {}", args.json.display());
    Ok(())
}
