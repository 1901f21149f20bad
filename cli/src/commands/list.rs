//! `headwater list`: the keys of a namespace, or all namespaces.

use headwater_api::{EntryBody, NamespaceBody};
use headwater_client::{Client, ListQuery};
use headwater_schemas::Namespace;

use crate::args::List;
use crate::commands::connect;
use crate::exit::Failure;
use crate::output::{self, Rows, one_line, shown};

pub(super) async fn run(args: List) -> Result<(), Failure> {
    let client = connect(&args.remote)?;
    match &args.namespace {
        Some(namespace) => entries(&client, namespace, &args).await,
        None => namespaces(&client, args.remote.json).await,
    }
}

async fn entries(client: &Client, namespace: &Namespace, args: &List) -> Result<(), Failure> {
    let query = ListQuery {
        prefix: Some(args.prefix.clone()).filter(|prefix| !prefix.is_empty()),
        keys_only: args.keys_only,
        at: args.at,
        ..ListQuery::default()
    };
    let mut pages = client.pages(namespace, &query);
    let mut rows = Rows::new(["KEY", "VALUE", "VERSION", "REVISION", "UPDATED", "BY"]);
    let (mut count, mut revision) = (0usize, 0);
    while let Some(page) = pages.next().await? {
        revision = page.revision;
        for entry in &page.entries {
            count += 1;
            if args.remote.json {
                output::json(entry)?;
            } else {
                rows.add(row(entry, args.keys_only))?;
            }
        }
    }
    if !args.remote.json {
        rows.print()?;
        let keys = output::count(count, "key");
        output::note(format_args!("{keys} in {namespace} at revision {revision}"));
    }
    Ok(())
}

fn row(entry: &EntryBody, keys_only: bool) -> [String; 6] {
    let value = match entry.bytes() {
        Ok(value) if !keys_only => shown(&entry.content_type, &value),
        _ => format!("({} bytes of {})", entry.size, entry.content_type),
    };
    [
        entry.key.to_string(),
        value,
        entry.version.to_string(),
        entry.mod_revision.to_string(),
        output::time(entry.updated_at),
        one_line(&entry.actor),
    ]
}

async fn namespaces(client: &Client, json: bool) -> Result<(), Failure> {
    let mut rows = Rows::new(["NAMESPACE", "KEYS", "BYTES", "REVISION"]);
    let mut cursor = None;
    loop {
        let page = client.namespaces(None, cursor.as_deref()).await?;
        for namespace in &page.namespaces {
            if json { output::json(namespace)? } else { rows.add(totals(namespace))? }
        }
        cursor = page.next;
        if cursor.is_none() {
            return if json { Ok(()) } else { rows.print() };
        }
    }
}

fn totals(namespace: &NamespaceBody) -> [String; 4] {
    [
        namespace.name.to_string(),
        namespace.entries.to_string(),
        namespace.bytes.to_string(),
        namespace.mod_revision.to_string(),
    ]
}
