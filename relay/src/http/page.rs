//! What pages have in common. History ends a page by the size of its values; in JSON they may take more.

use headwater_api::EntryBody;

/// What an item costs beside its values, in bytes of JSON.
const ITEM_BYTES: usize = 256;

/// About how large an entry's JSON is, in bytes.
pub(super) fn entry_bytes(entry: &EntryBody) -> usize {
    let value = entry.value.as_ref().map_or(0, |value| value.get().len());
    let base64 = entry.value_base64.as_ref().map_or(0, String::len);
    value + base64 + entry.key.as_str().len() + entry.actor.len() + ITEM_BYTES
}

/// Leaves out what would make a page larger than `max_bytes`, but for the first item; says whether anything was.
pub(super) fn cut<T>(
    items: Vec<T>,
    max_bytes: usize,
    size: impl Fn(&T) -> usize,
) -> (Vec<T>, bool) {
    let (mut kept, mut bytes, many) = (Vec::with_capacity(items.len()), 0, items.len());
    for item in items {
        if bytes >= max_bytes && !kept.is_empty() {
            break;
        }
        bytes += size(&item);
        kept.push(item);
    }
    let is_cut = kept.len() < many;
    (kept, is_cut)
}

/// How many bytes of values to ask for, so that in base64 they make a page of `page_bytes`.
pub(super) fn values_of(page_bytes: usize) -> usize {
    page_bytes / 4 * 3
}
