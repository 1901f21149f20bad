//! Whatever is committed, a client shows what a plain map of the overlays holds.

use std::collections::BTreeMap;

use headwater::{Client, Handle};
use proptest::prelude::*;

use crate::stream::{Stream, delete, put, soon};

const NAMESPACES: [&str; 3] = ["global", "app", "other"];
const KEYS: [&str; 5] = ["a", "a/b", "a-b", "ab", "b"];

/// One change: where, what, and the number to set; none deletes.
type Step = (usize, usize, Option<u32>);
type Model = BTreeMap<(usize, usize), u32>;

fn commits() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = (0..NAMESPACES.len(), 0..KEYS.len(), proptest::option::weighted(0.7, any::<u32>()));
    prop::collection::vec(prop::collection::vec(step, 1..4), 1..25)
}

/// Commits the steps that make sense (a key once a commit, only what is there is deleted); the revision, if any did.
async fn commit(stream: &Stream, model: &mut Model, steps: &[Step]) -> Option<u64> {
    let mut changes = BTreeMap::new();
    for (namespace, key, number) in steps {
        let at = (*namespace, *key);
        let (name, path) = (NAMESPACES[*namespace], KEYS[*key]);
        if changes.contains_key(&at) {
            continue;
        }
        match number {
            Some(number) => {
                model.insert(at, *number);
                changes.insert(at, put(name, path, &number.to_string()));
            }
            None if model.remove(&at).is_some() => {
                changes.insert(at, delete(name, path));
            }
            None => {}
        }
    }
    if changes.is_empty() { None } else { Some(stream.commit(changes.into_values()).await) }
}

/// What the overlays global and app show of one key.
fn shown(model: &Model, key: usize) -> Option<u32> {
    model.get(&(1, key)).or_else(|| model.get(&(0, key))).copied()
}

fn compare(hw: &Client, handles: &[Handle<u32>], model: &Model) -> Result<(), TestCaseError> {
    let view = hw.view();
    for prefix in ["", "a", "a/", "b"] {
        let mut expected: Vec<(&str, String)> = (0..KEYS.len())
            .filter(|key| KEYS[*key].starts_with(prefix))
            .filter_map(|key| Some((KEYS[key], shown(model, key)?.to_string())))
            .collect();
        expected.sort();
        let read: Vec<(&str, String)> = view
            .prefix(prefix)
            .map(|(key, entry)| (key, String::from_utf8_lossy(entry.value).into_owned()))
            .collect();
        prop_assert_eq!(read, expected);
    }
    for (key, handle) in handles.iter().enumerate() {
        let expected = shown(model, key);
        prop_assert_eq!(view.get::<u32>(KEYS[key]).unwrap(), expected);
        prop_assert_eq!(*handle.load(), expected.unwrap_or(u32::MAX));
        prop_assert!(expected.is_none() || !handle.is_deleted());
    }
    Ok(())
}

proptest! {
    // Each case runs a client of its own.
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn views_and_handles_show_what_a_plain_map_of_the_overlays_holds(commits in commits()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let stream = Stream::found().await;
            let mut model = Model::new();
            let hw = stream.client(&["global", "app"]).await;
            let bind = |key: &&str| hw.bind(key).default(u32::MAX).build();
            let early: Vec<Handle<u32>> = KEYS.iter().map(bind).collect();
            for (round, steps) in commits.iter().enumerate() {
                let Some(revision) = commit(&stream, &mut model, steps).await else { continue };
                // Sometimes several commits are taken together.
                if round % 3 != 2 {
                    soon(hw.wait_for(revision)).await.unwrap();
                    compare(&hw, &early, &model)?;
                }
            }
            let last = commit(&stream, &mut model, &[(2, 0, Some(1))]).await.unwrap();
            soon(hw.wait_for(last)).await.unwrap();
            let late: Vec<Handle<u32>> = KEYS.iter().map(bind).collect();
            compare(&hw, &early, &model)?;
            compare(&hw, &late, &model)
        })?;
    }
}
