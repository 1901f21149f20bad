//! `headwater edit`: a value in an editor, written back only if nobody changed it meanwhile.

mod editor;

use clap::Args;
use headwater_api::DEFAULT_MEDIA_TYPE;
use headwater_client::{Client, If, Raw, Read, Written};
use headwater_schemas::{Key, Namespace};

use crate::args::{Provenance, Remote};
use crate::commands::{connect, write};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::signals::Signals;
use crate::unified::{Side, unified};
use editor::Draft;

const NOTES: &str = "\
The editor is $VISUAL, else $EDITOR, else vi. What changed is shown and asked about; it is written only if the key was \
not changed meanwhile. What is not written stays in its file, whose name is told, however that came. A key that is absent is created. Where \
nobody can answer, say --yes. With --json the receipt is printed; where nothing was written, its commit_id is null.

Example:
  EDITOR='code --wait' headwater edit payments.prod db/pool -m 'more traffic'";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct Edit {
    /// Where the key stands: payments.prod
    namespace: Namespace,
    /// Which key: db/pool
    key: Key,
    /// What the value is [default: what it was, application/json for a new one]
    #[arg(long, short = 't', value_name = "TYPE")]
    content_type: Option<String>,
    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,
    #[command(flatten)]
    provenance: Provenance,
    #[command(flatten)]
    remote: Remote,
}

/// How an edit ended that did not fail.
enum Done {
    Unchanged,
    Declined,
    Written(Written),
}

pub(super) async fn run(args: Edit) -> Result<(), Failure> {
    if !args.yes && !output::has_somebody_to_ask() {
        return Err(output::nobody_to_ask());
    }
    // A Ctrl-C in the editor is the editor's, and one at the question loses no text.
    let mut signals = Signals::listen().map_err(Failure::failed)?;
    let client = connect(&args.remote)?;
    let held = client.get_raw(&args.namespace, &args.key, &Read::default()).await?;
    let old = held.as_ref().map_or(&b""[..], |raw| &raw.value);
    let revision = held.as_ref().map(|raw| raw.mod_revision);
    let draft = Draft::open(&args.key, &content_type(&args, held.as_ref()), old)?;
    match edited(&args, &client, held.as_ref(), &draft, &mut signals).await {
        Ok(Done::Written(written)) => {
            draft.discard();
            write::told(&written, if written.created { "created" } else { "set" }, args.remote.json)
        }
        Ok(Done::Unchanged) => {
            draft.discard();
            write::nothing(revision, "nothing was changed", args.remote.json)
        }
        Ok(Done::Declined) => {
            let told = format!("nothing was written; your text is in {}", draft.path().display());
            if args.remote.json {
                output::note(&told);
            }
            write::nothing(revision, &told, args.remote.json)
                .map_err(|failure| kept(&failure, &args, &draft))
        }
        // An editor that took the file away left no text in it.
        Err(failure) if !draft.path().exists() => Err(failure),
        Err(failure) if draft.is(old) => {
            draft.discard();
            Err(failure)
        }
        Err(failure) => Err(kept(&failure, &args, &draft)),
    }
}

/// Has it edited, shown, asked about and written.
async fn edited(
    args: &Edit,
    client: &Client,
    held: Option<&Raw>,
    draft: &Draft,
    signals: &mut Signals,
) -> Result<Done, Failure> {
    let old = held.map_or(&b""[..], |raw| &raw.value);
    let content_type = content_type(args, held);
    let edited = draft.edit(old, signals).await?;
    if edited == old && held.is_none_or(|raw| raw.content_type == content_type) {
        return Ok(Done::Unchanged);
    }
    show(args, held, &content_type, &edited)?;
    if !args.yes && !agreed(signals).await? {
        return Ok(Done::Declined);
    }
    let condition = held.map_or(If::Absent, |raw| If::Revision(raw.mod_revision));
    let how = write::write(args.provenance.clone(), condition, None);
    let done = client.put(&args.namespace, &args.key, &content_type, edited, &how).await;
    done.map(Done::Written).map_err(write::outcome)
}

async fn agreed(signals: &mut Signals) -> Result<bool, Failure> {
    tokio::select! {
        name = signals.next() => Err(Failure::failed(format_args!("ended by {name}; nothing was written"))),
        answer = output::confirmed("Write this?") => answer,
    }
}

fn content_type(args: &Edit, held: Option<&Raw>) -> String {
    let given = args.content_type.clone();
    let held = || held.map(|raw| raw.content_type.clone());
    given.or_else(held).unwrap_or_else(|| DEFAULT_MEDIA_TYPE.to_owned())
}

/// What changes, where the question is.
fn show(args: &Edit, held: Option<&Raw>, content_type: &str, edited: &[u8]) -> Result<(), Failure> {
    let name = format!("{}/{}", args.namespace, args.key);
    let old = held.map_or_else(Side::absent, |raw| {
        let place = format!("{name} at revision {}", raw.mod_revision);
        Side::new(&place, &raw.content_type, &raw.value)
    });
    let diff = unified(&old, &Side::new(&name, content_type, edited), output::colours_beside());
    output::beside(&diff)
}

/// Nobody's text is lost: where it is, and how it is written after all.
fn kept(failure: &Failure, args: &Edit, draft: &Draft) -> Failure {
    let (Edit { namespace, key, .. }, file) = (args, draft.path().display());
    let kept = Failure::new(failure.exit(), format_args!("{failure}\nyour text is in {file}"));
    let there = format!("what is there now (`headwater get {namespace} {key}`)");
    match failure.exit() {
        Exit::Precondition => kept.hint(format!(
            "compare it with {there}, then `headwater put {namespace} {key} @{file}`"
        )),
        Exit::Unknown => kept.hint(format!("{there} says whether it was written")),
        _ => kept,
    }
}
