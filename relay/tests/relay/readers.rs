//! Replicas that follow this relay, as an SDK's does.

use std::path::Path;
use std::time::Duration;

use headwater_replica::{AlarmKind, Follow, Phase, Replica, Settings};
use headwater_schemas::{
    Codec, Digest, Hash, Namespace, commit_fingerprint, commit_schema, encode_commit,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::chain::{Chain, json};
use crate::images::{cut, cut_at};
use crate::world::World;

/// A bound on every wait; what is waited for takes milliseconds, but for a reader's back-off.
const SOON: Duration = Duration::from_secs(30);

struct Reader {
    replica: Replica,
    _stop: DropGuard,
}

impl Reader {
    fn of(world: &World, namespaces: Option<&[&str]>) -> Self {
        let namespaces = namespaces
            .map(|names| names.iter().map(|name| Namespace::parse(name).unwrap()).collect());
        Self::with(world, Settings { namespaces, ..Settings::default() })
    }

    fn with(world: &World, settings: Settings) -> Self {
        let (replica, keeper) = Replica::new(settings, Follow::Relays(vec![world.client()]), None);
        let stop = CancellationToken::new();
        tokio::spawn(keeper.run(stop.clone()));
        Self { replica, _stop: stop.drop_guard() }
    }

    async fn live(&self) {
        let mut progress = self.replica.progress();
        let live = progress.wait_for(|now| now.phase == Phase::Live);
        tokio::time::timeout(SOON, live).await.unwrap().unwrap();
    }

    async fn at(&self, revision: u64) {
        let reached = tokio::time::timeout(SOON, self.replica.wait_for(revision)).await;
        reached.unwrap_or_else(|_| panic!("{:?}", self.replica.status())).unwrap();
    }

    async fn says(&self, what: &str) {
        let said = async {
            while !self.replica.status().last_error.is_some_and(|error| error.contains(what)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let said = tokio::time::timeout(SOON, said).await;
        said.unwrap_or_else(|_| panic!("{:?}", self.replica.status()));
    }
}

async fn world(dir: &Path, tail_bytes: usize) -> World {
    let shelf = dir.to_path_buf();
    let settings = Settings { tail_bytes, ..Settings::default() };
    World::with(settings, |relay| relay.image_dir = Some(shelf)).await
}

/// Appends a commit whose writer computed another digest.
async fn commit_wrong(chain: &mut Chain, value: &str) -> u64 {
    let mut codec = Codec::default();
    codec.learn(&commit_fingerprint().to_string(), commit_schema().as_bytes()).unwrap();
    let mut state = chain.state.clone();
    let mut wrong = codec.decode(&chain.next("eve", vec![json("n", "k", value)])).unwrap();
    wrong.digest = Digest([9; 32]);
    let record = encode_commit(&wrong);
    state.apply(&wrong, Hash::of(&record));
    chain.state = state;
    chain.append(vec![record]).await;
    chain.state.head().revision
}

#[tokio::test]
async fn a_commit_whose_writer_was_wrong_is_folded_by_every_reader_without_a_newer_image() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = world(dir.path(), 1 << 20).await;
    world.each([json("n", "k", "1"), json("m", "k", "1")]).await;
    cut(&world.chain, dir.path());
    let (whole, some) = (Reader::of(&world, None), Reader::of(&world, Some(&["n"])));
    whole.live().await;
    some.live().await;
    for value in ["2", "3"] {
        let revision = commit_wrong(&mut world.chain, value).await;
        whole.at(revision).await;
        some.at(revision).await;
    }
    assert_eq!(whole.replica.alarm().unwrap().kind, AlarmKind::Divergence);
    assert_eq!(whole.replica.view().unwrap().totals(), world.chain.state.totals());
    // What a relay filters it has folded itself.
    assert_eq!(some.replica.alarm(), None);
    assert_eq!(some.replica.view().unwrap().head().hash, world.chain.state.head().hash);
}

/// Leaves a state in a cache that claims to be the chain's at its head, and is not.
async fn forge(chain: &Chain, cache: &Path) {
    let images = tempfile::tempdir().unwrap();
    let (mut forged, _) = Chain::begin(chain.state.head().stream_id.0[0]);
    forged.next("eve", vec![json("n", "k", "666")]);
    cut_at(chain.state.head(), &forged, images.path());
    let settings = Settings {
        cache_dir: Some(cache.to_owned()),
        image_dirs: vec![images.path().to_owned()],
        ..Settings::default()
    };
    let (replica, keeper) = Replica::new(settings, Follow::Images, None);
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(keeper.run(stop.clone()));
    tokio::time::timeout(SOON, replica.caught_up()).await.unwrap().unwrap();
    stop.cancel();
    keeping.await.unwrap();
}

#[tokio::test]
async fn a_state_that_differs_at_the_heartbeats_revision_is_told_of_and_taken_anew() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut world = world(dir.path(), 1 << 20).await;
    world.each([json("n", "k", "1")]).await;
    cut(&world.chain, dir.path());
    forge(&world.chain, cache.path()).await;
    let settings = Settings { cache_dir: Some(cache.path().into()), ..Settings::default() };
    let reader = Reader::with(&world, settings);
    let truth = world.chain.state.totals().digest();
    let mut views = reader.replica.progress();
    let mended = async {
        while reader.replica.view().is_none_or(|view| view.totals().digest() != truth) {
            views.changed().await.unwrap();
        }
    };
    tokio::time::timeout(SOON, mended).await.unwrap();
    world.each([json("n", "k", "2")]).await;
    reader.at(2).await;
    reader.live().await;
    assert_eq!(reader.replica.view().unwrap().totals(), world.chain.state.totals());
}

#[tokio::test]
async fn a_reader_that_is_too_old_waits_for_an_image_that_is_newer_than_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = world(dir.path(), 1).await;
    world.each([json("n", "k", "1")]).await;
    cut(&world.chain, dir.path());
    world.each((0..10).map(|n| json("n", "k", &n.to_string()))).await;
    let reader = Reader::of(&world, None);
    reader.says("newest image is of revision 1, and 2 or later is needed").await;
    cut(&world.chain, dir.path());
    reader.at(11).await;
    reader.live().await;
}
