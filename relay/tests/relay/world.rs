//! A relay on a real socket, over a log in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use headwater_client::Client;
use headwater_log::MemoryLog;
use headwater_relay::Relay;
use headwater_replica::{Follow, Replica, Settings};
use headwater_schemas::Change;
use headwater_server::{Identity, Server, ServerSettings};
use tokio_util::sync::CancellationToken;

use crate::chain::Chain;
use crate::wire::{self, Answer};

/// Everything between a log and a client. Ends when it is dropped.
pub(crate) struct World {
    pub(crate) log: MemoryLog,
    pub(crate) chain: Chain,
    pub(crate) replica: Replica,
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    /// Other worlds that this one asks.
    pub(crate) beside: Vec<World>,
    /// How often an image was asked for.
    pub(crate) wanted: Arc<AtomicUsize>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default(), |_| {}).await
    }

    /// A world whose relay is `shape`d before it serves.
    pub(crate) async fn with(settings: Settings, shape: impl FnOnce(&mut Relay)) -> Self {
        let log = MemoryLog::new();
        let chain = Chain::found(Arc::new(log.clone()), 7).await;
        Self::over(log, chain, settings, shape).await
    }

    /// The same over a log that is there.
    pub(crate) async fn over(
        log: MemoryLog,
        chain: Chain,
        settings: Settings,
        shape: impl FnOnce(&mut Relay),
    ) -> Self {
        let stop = CancellationToken::new();
        let (replica, keeper) = Replica::new(settings, Follow::Log(Arc::new(log.clone())), None);
        tokio::spawn(keeper.run(stop.clone()));
        replica.caught_up().await.unwrap();
        let mut relay = Relay::new(replica.clone(), Arc::new(log.clone()), "default");
        let wanted = Arc::new(AtomicUsize::new(0));
        let counted = wanted.clone();
        relay.request_image = Some(Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        relay.shutdown = stop.clone();
        shape(&mut relay);
        let listener = headwater_server::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let at = replica.clone();
        let identity =
            Identity::new(move || at.view().map(|view| (view.revision(), view.head().stream_id)));
        let server =
            Server::new(headwater_relay::routes(relay), ServerSettings::default(), identity);
        tokio::spawn(server.serve(vec![listener], stop.clone()));
        Self { log, chain, replica, address, stop, beside: Vec::new(), wanted }
    }

    pub(crate) async fn commit(&mut self, actor: &str, changes: Vec<Change>) -> u64 {
        let revision = self.chain.commit(actor, changes).await;
        self.replica.wait_for(revision).await.unwrap();
        revision
    }

    pub(crate) async fn each(&mut self, changes: impl IntoIterator<Item = Change>) -> u64 {
        let revision = self.chain.each(changes).await;
        self.replica.wait_for(revision).await.unwrap();
        revision
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        wire::call(self.address, "GET", path, headers).await
    }

    pub(crate) async fn head(&self, path: &str) -> Answer {
        wire::call(self.address, "HEAD", path, &[]).await
    }

    pub(crate) fn client(&self) -> Client {
        Client::builder().server(format!("http://{}", self.address)).build().unwrap()
    }
}
