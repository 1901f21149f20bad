//! `headwater status`: how a server is.

use crate::args::Remote;
use crate::commands::connect;
use crate::exit::Failure;
use crate::output;

pub(super) async fn run(args: Remote) -> Result<(), Failure> {
    let status = connect(&args)?.status().await?;
    if args.json {
        return output::json(&status);
    }
    output::facts([
        ("stream", format!("{} ({})", status.stream, status.stream_id)),
        ("phase", status.phase),
        ("revision", status.revision.to_string()),
        ("lag", format!("{} revisions", status.lag_revisions)),
        ("hash", status.hash.to_string()),
        ("digest", status.digest.to_string()),
        ("entries", format!("{} (the stream's own schemas included)", status.entries)),
        ("bytes", status.bytes.to_string()),
        ("last commit", status.last_commit_at.map_or("none".to_owned(), output::time)),
        (
            "log",
            format!(
                "{} at position {}{}",
                status.log.kind,
                status.log.position,
                place(status.log.place)
            ),
        ),
        ("role", status.role),
        ("version", status.version),
        ("started", output::time(status.started_at)),
    ])
}

fn place(place: Option<String>) -> String {
    place.map(|place| format!(", {place}")).unwrap_or_default()
}
