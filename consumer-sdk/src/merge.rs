//! A value made of all layers of one key: JSON documents merged by RFC 7396.

use std::sync::Arc;

use headwater_replica::View;
use headwater_schemas::{EntryRef, Namespace};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::decode::{decode, refused, to_json};
use crate::error::ValueError;
use crate::overlay::Overlay;
use crate::recipe::{Made, Recipe};
use crate::step::Step;

/// What the layers held: the era, and the revision of each entry, 0 where there is none.
type Marks = (u64, Vec<u64>);

/// The recipe of a merged handle.
pub(crate) struct Merged {
    key: String,
    overlay: Overlay,
    /// None while no layer holds the key.
    seen: Option<Marks>,
}

impl Merged {
    pub(crate) fn new(key: &str, overlay: Overlay) -> Self {
        Self { key: key.to_owned(), overlay, seen: None }
    }

    /// What stands in the layers, the weakest first.
    fn layers<'a>(
        &'a self,
        state: &'a View,
    ) -> impl Iterator<Item = (&'a Namespace, Option<EntryRef<'a>>)> {
        let layers = self.overlay.layers();
        layers.map(|namespace| (namespace, state.get(namespace.as_str(), &self.key)))
    }

    fn merge<T: DeserializeOwned>(
        &self,
        layers: &[(&Namespace, EntryRef<'_>)],
    ) -> Result<T, ValueError> {
        if let [(namespace, entry)] = layers {
            return decode(namespace.as_str(), &self.key, *entry);
        }
        let mut merged = Json::Null;
        let mut at = ("", 0);
        for (namespace, entry) in layers {
            at = (namespace.as_str(), entry.mod_revision);
            let document = to_json(*entry);
            let document = document.map_err(|reason| refused(at.0, &self.key, at.1, reason))?;
            // The weakest layer is what is patched; what stands in it stays as it is.
            merged = if merged.is_null() { document } else { patch(merged, document) };
        }
        let read = serde_json::from_value(merged);
        read.map_err(|error| refused(at.0, &self.key, at.1, format!("merged: {error}")))
    }
}

impl<T: DeserializeOwned> Recipe<T> for Merged {
    fn changed(&mut self, step: &Step) -> bool {
        let revisions = self.layers(&step.view);
        let revisions = revisions.map(|(_, entry)| entry.map_or(0, |entry| entry.mod_revision));
        let marks = (step.view.era(), revisions.collect::<Vec<_>>());
        let now = marks.1.iter().any(|revision| *revision > 0).then_some(marks);
        let changed = self.seen != now;
        self.seen = now;
        changed
    }

    fn make(&mut self, state: Option<&Arc<View>>) -> Result<Option<Made<T>>, ValueError> {
        let layers = state.into_iter().flat_map(|state| self.layers(state));
        let layers: Vec<_> = layers.filter_map(|(name, entry)| Some((name, entry?))).collect();
        let newest = layers.iter().max_by_key(|(_, entry)| entry.mod_revision);
        let (Some((_, newest)), Some((strongest, _))) = (newest, layers.last()) else {
            return Ok(None);
        };
        let value = self.merge(&layers)?;
        Ok(Some(Made::of_entry(value, strongest, *newest)))
    }
}

/// RFC 7396: members of the patch replace those of the target, null removes them, and what is no object replaces all.
fn patch(target: Json, patch_with: Json) -> Json {
    let Json::Object(members) = patch_with else { return patch_with };
    let mut merged = match target {
        Json::Object(target) => target,
        _ => Map::new(),
    };
    for (name, value) in members {
        let old = merged.remove(&name).unwrap_or(Json::Null);
        if !value.is_null() {
            merged.insert(name, patch(old, value));
        }
    }
    Json::Object(merged)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The examples of the RFC's appendix.
    #[test]
    fn it_merges_as_the_rfc_shows() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (target, with, expected) in cases {
            assert_eq!(patch(target.clone(), with.clone()), expected, "{target} with {with}");
        }
    }

    fn documents() -> impl Strategy<Value = Json> {
        let leaf =
            prop_oneof![Just(Json::Null), any::<bool>().prop_map(Json::from), Just(json!(1))];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop::collection::btree_map("[abc]", inner, 0..4)
                .prop_map(|members| Json::Object(members.into_iter().collect()))
        })
    }

    proptest! {
        #[test]
        fn a_patch_holds_once_it_is_in_and_twice_is_once(target in documents(), with in documents()) {
            let once = patch(target, with.clone());
            prop_assert_eq!(patch(once.clone(), with), once);
        }
    }
}
