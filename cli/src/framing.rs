//! How the table's values are framed: plainly, or by the id that a registry of schemas gave.

use std::sync::Arc;

use futures::FutureExt;
use headwater_client::SchemaRegistry;
use headwater_publisher::table::Framings;
use headwater_schemas::{Framing, StreamName, same_schema, table_schema};
use tokio::sync::OnceCell;

use crate::exit::Failure;

/// Asks the registry, if one is set, each time until it has answered once.
pub(crate) fn of(registry: Option<&str>, stream: &StreamName) -> Result<Framings, Failure> {
    let Some(url) = registry.filter(|url| !url.is_empty()) else {
        return Ok(Arc::new(|| async { Ok(Framing::SingleObject) }.boxed()));
    };
    let registry = SchemaRegistry::new(url)
        .map_err(|error| Failure::failed(format_args!("--schema-registry: {error}")))?;
    // What Confluent's own serializers call the schema of a topic's values.
    let subject = format!("{stream}.config-value");
    let known: Arc<OnceCell<Framing>> = Arc::default();
    Ok(Arc::new(move || {
        let (registry, subject, known) = (registry.clone(), subject.clone(), Arc::clone(&known));
        async move { known.get_or_try_init(|| register(&registry, &subject)).await.copied() }
            .boxed()
    }))
}

async fn register(registry: &SchemaRegistry, subject: &str) -> Result<Framing, String> {
    let id = registry.register(subject, table_schema()).await.map_err(|error| error.to_string())?;
    let stored = registry.schema(id).await.map_err(|error| error.to_string())?;
    if !same_schema(&stored, table_schema()) {
        return Err(format!("it gave the id {id} for {subject}, and has another schema under it"));
    }
    Ok(Framing::Registry(id))
}
