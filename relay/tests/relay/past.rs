//! What was: `at`, `/v1/history`, `/v1/diff`, single commits, from the tail and from history.

use std::sync::Arc;

use headwater_replica::history_conformance::{Dice, Model, conforms};
use headwater_replica::{History, Recent, RemoteHistory, Settings};

use crate::world::World;

/// Where a world has its past from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// Its own tail.
    Tail,
    /// Another replica in its process.
    Beside,
    /// Another server.
    Http,
}

const ALL: [From; 3] = [From::Tail, From::Beside, From::Http];

/// A world that has its past from there; `write` writes it.
async fn world(from: From, mut write: impl AsyncFnMut(&mut World)) -> World {
    let mut twin = World::new().await;
    write(&mut twin).await;
    let url = format!("http://{}", twin.address);
    let history: Option<Arc<dyn History>> = match from {
        From::Tail => None,
        From::Beside => Some(Arc::new(Recent::new(twin.replica.clone()))),
        From::Http => Some(Arc::new(RemoteHistory::new(&url).unwrap())),
    };
    let tail_bytes = if from == From::Tail { 1 << 20 } else { 1 };
    let settings = Settings { tail_bytes, ..Settings::default() };
    let mut world = World::with(settings, |relay| relay.history = history).await;
    world.beside.push(twin);
    write(&mut world).await;
    world
}

#[tokio::test]
async fn every_read_answers_as_a_naive_model_of_the_log_wherever_the_past_comes_from() {
    for (from, seed) in ALL.into_iter().flat_map(|from| (0..3).map(move |seed| (from, seed))) {
        let mut dice = Dice::new(seed);
        let (step_ms, commits) = ([0, 1, 1_000][dice.roll(3)], dice.commits(40));
        let world = world(from, async |world: &mut World| {
            world.chain.step_ms = step_ms;
            for (actor, changes) in &commits {
                world.commit(actor, changes.clone()).await;
            }
        })
        .await;
        println!("seed {seed} from {from:?}");
        let records = world.log.records().into_iter().map(|record| record.bytes).collect();
        let model = Model::of(records);
        // What it answers over HTTP, whose own history may be over HTTP, too.
        let asked = RemoteHistory::new(&format!("http://{}", world.address)).unwrap();
        conforms(&asked, &model, &mut dice).await;
        conforms(&Recent::new(world.beside[0].replica.clone()), &model, &mut dice).await;
    }
}
