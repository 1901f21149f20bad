//! When a view is folded into a new base.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_schemas::{Hash, Position, fold};

use super::view::genesis;
use crate::rebase::Rebase;
use crate::{Settings, View};

fn view() -> Arc<View> {
    let (_, founding) = genesis();
    let folded = fold(&founding, Hash::of(b"genesis"), &Default::default(), |_, _| None);
    Arc::new(View::founded(&folded, Position(0)))
}

/// Whether a fold begins now and what comes of it.
async fn folded(rebase: &mut Rebase, view: &Arc<View>) -> bool {
    rebase.start_if_due(view, Instant::now());
    let woken = tokio::time::timeout(Duration::from_millis(300), rebase.wakes()).await;
    woken.is_ok_and(|base| base.is_some())
}

#[tokio::test]
async fn a_state_that_came_from_the_cache_is_not_written_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { cache_dir: Some(dir.path().to_owned()), ..Settings::default() };
    let (view, mut rebase) = (view(), Rebase::new(&settings));
    rebase.begin(Some(view.revision()));
    assert!(!folded(&mut rebase, &view).await);
    rebase.begin(None);
    assert!(folded(&mut rebase, &view).await);
    assert!(!folded(&mut rebase, &view).await, "nothing is new");
}

#[tokio::test]
async fn a_cache_that_takes_nothing_costs_the_file_not_the_base_and_is_tried_again_later() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let settings = Settings { cache_dir: Some(file.path().to_owned()), ..Settings::default() };
    let (view, mut rebase) = (view(), Rebase::new(&settings));
    assert!(folded(&mut rebase, &view).await);
    assert!(!folded(&mut rebase, &view).await, "it is not tried again at once");
}

#[tokio::test]
async fn once_nothing_may_be_cached_any_more_no_fold_freshens_the_cache_and_none_is_left_at_the_end()
 {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { cache_dir: Some(dir.path().to_owned()), ..Settings::default() };
    let (view, mut rebase) = (view(), Rebase::new(&settings));
    rebase.cache_in(None);
    rebase.begin(None);
    assert!(!folded(&mut rebase, &view).await);
    rebase.finish(&view).await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
