//! `headwater doctor`: whether everything is as it must be, and how to mend what is not.

mod disk;
mod servers;

use std::time::Duration;

use headwater_client::Client;
use headwater_log::{Finding, Verdict};
use headwater_log_kafka::{Scope, checkup};

use crate::args::Doctor;
use crate::exit::Failure;
use crate::output;
use crate::serve::now_ms;
use crate::settings::Settings;

/// The server that is checked when nothing else is named.
const SERVER: &str = "http://127.0.0.1:7070";
/// How long a server may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn run(args: Doctor) -> Result<(), Failure> {
    let settings = Settings::load(&args.flags)?;
    let mut findings = Vec::new();
    if let Some(kafka) = settings.kafka_log() {
        let scope = Scope { table: settings.table.enabled, write: args.write };
        findings.extend(checkup(&kafka, scope, now_ms).await);
    }
    findings.extend(servers::check(&clients(&args.servers, settings.kafka.is_some())?).await);
    if args.flags.names_data() || settings.data.is_dir() {
        findings.extend(disk::check(&settings.data));
    }
    print(&findings, args.json)?;
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Failed).count();
    match failed {
        0 => Ok(()),
        1 => Err(Failure::failed("1 check failed")),
        _ => Err(Failure::failed(format_args!("{failed} checks failed"))),
    }
}

fn clients(servers: &[String], has_kafka: bool) -> Result<Vec<Client>, Failure> {
    let default = (servers.is_empty() && !has_kafka).then(|| SERVER.to_owned());
    let build = |url: &String| {
        let built = Client::builder().server(url.as_str()).call_timeout(PATIENCE).build();
        built.map_err(|error| Failure::usage(format_args!("--server: {error}")))
    };
    servers.iter().chain(&default).map(build).collect()
}

fn print(findings: &[Finding], json: bool) -> Result<(), Failure> {
    if json {
        return output::json(&findings);
    }
    for Finding { check, verdict, detail, mend } in findings {
        let verdict = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failed => "FAILED",
        };
        output::line(format_args!("{verdict:<8} {check}: {detail}"))?;
        for line in mend.iter().flat_map(|mend| mend.lines()) {
            output::line(format_args!("         → {line}"))?;
        }
    }
    Ok(())
}
