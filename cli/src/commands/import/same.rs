//! Whether a key is already as an import has it: the same type, and the same bytes.

use headwater_api::{EntryBody, PreviewBody};
use headwater_client::{Client, Read};

use super::source::{Change, Item};
use crate::exit::Failure;

/// What a dry run says of an item. Bytes that its answer does not hold are asked for.
pub(super) async fn is(client: &Client, item: &Item, shown: &PreviewBody) -> Result<bool, Failure> {
    let (Some(old), Some(new)) = (&shown.old, &shown.new) else { return Ok(false) };
    match told(item, old, new) {
        Some(same) => Ok(same),
        None => stored(client, item, old).await,
    }
}

/// Whether it is the same, as far as the answer tells: white space around JSON is not in its JSON form, and an answer
/// has room for so many bytes only.
fn told(item: &Item, old: &EntryBody, new: &EntryBody) -> Option<bool> {
    let Change::Put { value, .. } = &item.change else { return Some(false) };
    if old.content_type != new.content_type || old.size != value.len() as u64 {
        return Some(false);
    }
    let held = old.bytes().ok().filter(|held| held.len() as u64 == old.size)?;
    Some(held == value)
}

async fn stored(client: &Client, item: &Item, old: &EntryBody) -> Result<bool, Failure> {
    let Change::Put { value, .. } = &item.change else { return Ok(false) };
    let read = Read { min_revision: Some(old.mod_revision), ..Read::default() };
    let raw = client.get_raw(&old.namespace, &old.key, &read).await?;
    // Whatever came meanwhile is not what was compared: the import says what it is to be.
    Ok(raw.is_some_and(|raw| raw.mod_revision == old.mod_revision && raw.value == value))
}

#[cfg(test)]
mod tests {
    use super::super::source::put;
    use super::*;

    fn entry(content_type: &str, value: Option<&str>, size: u64) -> EntryBody {
        let mut entry = serde_json::json!({
            "namespace": "demo", "key": "k", "content_type": content_type, "size": size, "version": 1,
            "create_revision": 1, "mod_revision": 1, "updated_at": "2026-11-22T08:15:30.123Z", "actor": "ada",
        });
        if let Some(value) = value {
            entry["value"] = serde_json::from_str(value).unwrap();
        }
        serde_json::from_value(entry).unwrap()
    }

    #[test]
    fn the_same_type_and_bytes_are_the_same_and_what_is_not_shown_is_not_guessed() {
        let (json, text) = ("application/json", "text/plain");
        let item = put("k".parse().unwrap(), json, "1 ".into());
        let new = entry(json, Some("1"), 2);
        for (old, wanted) in [
            (entry(json, Some("1"), 1), Some(false)),
            (entry(json, Some("12"), 2), Some(false)),
            // The white space may stand on the other side.
            (entry(json, Some("1"), 2), None),
            (entry(json, None, 2), None),
            (entry(text, Some("\"1 \""), 2), Some(false)),
        ] {
            assert_eq!(told(&item, &old, &new), wanted, "{old:?}");
        }
        let item = put("k".parse().unwrap(), text, "1 ".into());
        let held = entry(text, Some("\"1 \""), 2);
        assert_eq!(told(&item, &held, &held), Some(true));
    }
}
