//! `headwater audit verify`.

use std::time::Instant;

use headwater_api::Time;
use headwater_audit::{Report, Said, verify};
use serde_json::json;

use super::args::Verify;
use super::progress::Bar;
use super::source::{Opened, failed};
use super::told;
use crate::exit::Failure;
use crate::output::{self, one_line};

pub(super) async fn run(args: Verify) -> Result<(), Failure> {
    let opened = args.source.open().await?;
    let began = Instant::now();
    let report = of(&args, &opened).await?;
    show(&args, &report, began.elapsed().as_secs_f64())
}

async fn of(args: &Verify, opened: &Opened) -> Result<Report, Failure> {
    let witness = args.source.witness(opened)?;
    let mut published = opened.published(witness.as_ref()).await?;
    args.heads.iter().for_each(|head| published.add(head.0, head.1));
    let bar = Bar::new("verifying");
    let verified = match opened {
        Opened::Archive(archive) => archive.verify(&published, |at| bar.show(at)).await,
        _ => verify(opened.reader().await?, &published, |at| bar.show(at)).await,
    };
    bar.end();
    verified.map_err(failed)
}

fn show(args: &Verify, report: &Report, seconds: f64) -> Result<(), Failure> {
    if args.json {
        let mut report = serde_json::to_value(report).map_err(Failure::failed)?;
        report["seconds"] = json!((seconds * 1_000.0).round() / 1_000.0);
        output::json(&report)?;
    } else {
        print(report, seconds)?;
    }
    match report.first_break() {
        None if report.sound => Ok(()),
        Some(found) => Err(Failure::failed(format_args!(
            "the history is broken at {}",
            one_line(&found.to_string())
        ))),
        None => Err(Failure::failed("the history is not proven")),
    }
}

fn print(report: &Report, seconds: f64) -> Result<(), Failure> {
    let ignored = &report.ignored;
    let none = || "nothing".to_owned();
    output::facts([
        ("log", report.source.clone()),
        ("stream", report.stream_id.map_or_else(none, |id| id.to_string())),
        ("head", report.head.as_ref().map_or_else(none, told)),
        ("digest", report.head.map_or_else(none, |head| head.digest.to_string())),
        ("commits", format!("{}, {} of them barriers", report.commits, report.barriers)),
        (
            "ignored",
            format!(
                "{} late, {} ahead, {} foreign, {} other, {} markers",
                ignored.late, ignored.ahead, ignored.foreign, ignored.other, ignored.markers
            ),
        ),
        (
            "proven",
            report.proven.as_ref().map_or_else(none, |place| format!("up to {}", told(place))),
        ),
        ("rate", rate(report, seconds)),
    ])?;
    for head in &report.confirmed {
        output::line(format_args!(
            "published head: revision {} ({}) stands in this chain",
            head.revision, head.hash
        ))?;
    }
    for said in &report.words {
        output::line(one_line(&word(said)))?;
    }
    for found in &report.breaks {
        output::line(format_args!("BROKEN at {}", one_line(&found.to_string())))?;
    }
    if report.sound {
        output::line(
            "sound: every commit continues the chain, and leads to the digest it carries",
        )?;
        if report.confirmed.is_empty() {
            output::line(
                "no published head was given: that nothing is missing at the end is not proven",
            )?;
        }
    }
    Ok(())
}

fn rate(report: &Report, seconds: f64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let (records, mebibytes) = (report.records as f64, report.bytes as f64 / 1_048_576.0);
    if seconds <= 0.0 {
        return format!("{} records", report.records);
    }
    let (a_second, mebibytes) = (records / seconds, mebibytes / seconds);
    format!(
        "{} records in {seconds:.2} s: {a_second:.0} a second, {mebibytes:.1} MiB/s",
        report.records
    )
}

fn word(said: &Said) -> String {
    let Said { revision, point, actor, at_ms, .. } = said;
    let what = match said.word {
        "adopts" => format!("the stream was adopted from revision {}", point.revision),
        "accepts" => format!("the commit of revision {} was accepted as it is", point.revision),
        "skips" => {
            format!("the commit of revision {}, which cannot be read, was skipped", point.revision)
        }
        _ => format!(
            "the stream was founded from revision {} of stream {}",
            point.revision, point.stream_id
        ),
    };
    let why = said.reason.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
    format!("revision {revision}: {what}, by {actor}, {}{why}", output::time(Time(*at_ms)))
}
