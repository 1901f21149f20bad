//! `headwater archive`.

use headwater_audit::archive::{Archived, archive};

use super::args::Archive;
use super::progress::Bar;
use super::source::{Opened, failed};
use crate::exit::Failure;
use crate::output;

pub(crate) async fn run(args: Archive) -> Result<(), Failure> {
    let opened = args.source.open().await?;
    let archived = of(&args, &opened).await;
    let archived = archived?;
    if args.json {
        return output::json(&archived);
    }
    let Archived { added, segments, head } = archived;
    output::line(format_args!(
        "archived {added} records in {segments} segments; {} ends at revision {} ({})",
        args.dir.display(),
        head.revision,
        head.hash
    ))
}

async fn of(args: &Archive, opened: &Opened) -> Result<Archived, Failure> {
    let mut reader = opened.reader().await?;
    let bar = Bar::new("archiving");
    let archived = archive(reader.as_mut(), &args.dir, |at| bar.show(at)).await;
    bar.end();
    archived.map_err(failed)
}
