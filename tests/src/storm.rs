//! Writes without end on several servers, each under a key of its own, and what must be true of them afterwards.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater_api::CommitBody;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::http::{Answer, Ask, Connection};

/// The pause after an answer that asks for one, or after none.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a write whose outcome is open is asked about again once the storm is over.
const SETTLE: Duration = Duration::from_secs(90);

/// What became of a write.
#[derive(Debug, Clone)]
pub enum Fate {
    /// It is a commit.
    Acknowledged {
        /// Its revision.
        revision: u64,
        /// The answer, whole.
        answer: Answer,
        /// When the answer came.
        at: Instant,
        /// The server that gave it; another than it was sent to first, if that one left it open.
        by: usize,
        /// The exchanges before that left its outcome open.
        open: Vec<Open>,
    },
    /// It was refused with this code, and nothing was done.
    Refused {
        /// The problem's code.
        code: String,
    },
}

/// An exchange that left a write's outcome open.
#[derive(Debug, Clone, Copy)]
pub struct Open {
    /// Whether the server said so, by 504; else no answer came.
    pub told: bool,
    /// How long it took.
    pub took: Duration,
}

/// One write and its fate.
#[derive(Debug, Clone)]
pub struct Written {
    /// Its number, which is its value.
    pub number: u64,
    /// The server it was sent to first.
    pub server: usize,
    /// When it was sent first.
    pub began: Instant,
    /// What became of it.
    pub fate: Fate,
}

/// Clients that write until they are told to stop.
#[derive(Debug)]
pub struct Storm {
    clients: JoinSet<Vec<Written>>,
    stop: CancellationToken,
    done: Arc<AtomicU64>,
    began: Instant,
}

impl Storm {
    /// So many clients on each of these servers, `host:port`.
    pub fn on(hosts: &[&str], clients: usize) -> Self {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let all: Vec<usize> = (0..hosts.len()).flat_map(|server| vec![server; clients]).collect();
        Self::with(hosts, &all)
    }

    /// One client for each number, which says which server it writes to.
    pub fn with(hosts: Vec<String>, servers: &[usize]) -> Self {
        let (stop, done) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let (next, hosts) = (Arc::new(AtomicU64::new(0)), Arc::new(hosts));
        let began = Instant::now();
        let mut clients = JoinSet::new();
        for server in servers {
            let client = One {
                hosts: hosts.clone(),
                server: *server,
                next: next.clone(),
                done: done.clone(),
                stop: stop.clone(),
                lines: HashMap::new(),
            };
            clients.spawn(client.run());
        }
        Self { clients, stop, done, began }
    }

    /// How many writes have their fate.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Ends it, settles what is open, and gives every write's fate.
    pub async fn end(self) -> Fates {
        self.stop.cancel();
        let ended = Instant::now();
        let all = self.clients.join_all().await.into_iter().flatten().collect();
        Fates { all, began: self.began, ended }
    }
}

struct One {
    hosts: Arc<Vec<String>>,
    server: usize,
    next: Arc<AtomicU64>,
    done: Arc<AtomicU64>,
    stop: CancellationToken,
    lines: HashMap<usize, Connection>,
}

impl One {
    async fn run(mut self) -> Vec<Written> {
        let mut written = Vec::new();
        while !self.stop.is_cancelled() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let began = Instant::now();
            let fate = self.decide(number).await;
            if matches!(fate, Fate::Refused { .. }) {
                tokio::time::sleep(PAUSE).await;
            }
            written.push(Written { number, server: self.server, began, fate });
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        written
    }

    /// Asks until the outcome is known; another server each time it is not.
    async fn decide(&mut self, number: u64) -> Fate {
        let (ask, mut server, mut open) = (write(number), self.server, Vec::new());
        let mut over = None;
        loop {
            let asked = Instant::now();
            match self.ask(server, &ask).await {
                Some(answer) if matches!(answer.status, 200 | 201) => {
                    let (revision, at) = (answer.revision(), Instant::now());
                    return Fate::Acknowledged { revision, answer, at, by: server, open };
                }
                // Nothing was done, if nothing was open before.
                Some(answer) if matches!(answer.status, 429 | 503) && open.is_empty() => {
                    let code = answer.json::<serde_json::Value>()["code"].to_string();
                    return Fate::Refused { code: code.trim_matches('"').to_owned() };
                }
                Some(answer) => {
                    let known = matches!(answer.status, 409 | 429 | 503 | 504);
                    assert!(known, "{ask:?}: {}", answer.text());
                    if answer.status == 504 {
                        open.push(Open { told: true, took: asked.elapsed() });
                    }
                }
                None => open.push(Open { told: false, took: asked.elapsed() }),
            }
            if self.stop.is_cancelled() {
                let since = *over.get_or_insert_with(Instant::now);
                assert!(since.elapsed() < SETTLE, "write {number} is open for ever");
            }
            server = (server + 1) % self.hosts.len();
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask(&mut self, server: usize, ask: &Ask) -> Option<Answer> {
        let mut line = match self.lines.remove(&server) {
            Some(line) => line,
            None => Connection::open(&self.hosts[server]).await.ok()?,
        };
        let answer = line.send(ask).await.ok()?;
        self.lines.insert(server, line);
        Some(answer)
    }
}

/// The write with a number: its value is the number, its key one of fifty.
pub fn write(number: u64) -> Ask {
    Ask::put(format!("/v1/config/storm/k{}", number % 50), number.to_string())
        .keyed(format!("storm-{number}"))
}

/// What became of every write.
#[derive(Debug)]
pub struct Fates {
    all: Vec<Written>,
    began: Instant,
    ended: Instant,
}

impl Fates {
    /// Those that are commits.
    pub fn acknowledged(&self) -> impl Iterator<Item = &Written> {
        self.all.iter().filter(|written| matches!(written.fate, Fate::Acknowledged { .. }))
    }

    /// Every exchange that left an outcome open.
    pub fn open(&self) -> impl Iterator<Item = Open> {
        let open = self.all.iter().filter_map(|written| match &written.fate {
            Fate::Acknowledged { open, .. } => Some(open),
            Fate::Refused { .. } => None,
        });
        open.flatten().copied()
    }

    /// How many were refused on a server, by this code; by any where none is given.
    pub fn refused(&self, server: usize, code: Option<&str>) -> usize {
        let of = |written: &&Written| {
            let Fate::Refused { code: theirs } = &written.fate else { return false };
            written.server == server && code.is_none_or(|code| code == theirs)
        };
        self.all.iter().filter(of).count()
    }

    /// The longest time in which one of the servers acknowledged no write, from the storm's beginning to its end.
    pub fn longest_gap(&self) -> Duration {
        let servers: BTreeSet<usize> = self.all.iter().map(|written| written.server).collect();
        servers.into_iter().map(|server| self.gap_of(server)).max().unwrap_or_default()
    }

    fn gap_of(&self, server: usize) -> Duration {
        let acknowledged = self.all.iter().filter_map(|written| match &written.fate {
            Fate::Acknowledged { at, by, .. } => (*by == server).then_some(*at),
            Fate::Refused { .. } => None,
        });
        // What was settled after the end is no sign that it still wrote then.
        let mut times: Vec<_> = acknowledged.filter(|at| *at < self.ended).collect();
        times.extend([self.began, self.ended]);
        times.sort();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// Every acknowledged write stands in the chain once, at the revision and hash its answer named, and a refused one
    /// nowhere.
    ///
    /// # Panics
    /// When that is not so.
    pub fn assert_told_truly(&self, chain: &[CommitBody]) {
        let mut found: HashMap<u64, Vec<u64>> = HashMap::new();
        for commit in chain {
            for change in
                commit.changes.iter().filter(|change| change.namespace.as_str() == "storm")
            {
                let number = change.value.as_ref().and_then(|value| value.get().parse().ok());
                let number = number.unwrap_or_else(|| panic!("not a storm's value: {commit:?}"));
                found.entry(number).or_default().push(commit.revision);
            }
        }
        for Written { number, fate, .. } in &self.all {
            let found = found.remove(number).unwrap_or_default();
            match fate {
                Fate::Refused { code } => {
                    assert!(
                        found.is_empty(),
                        "write {number}, refused ({code}), shows at {found:?}"
                    );
                }
                Fate::Acknowledged { revision, answer, .. } => {
                    assert_eq!(found, [*revision], "write {number}, acknowledged at {revision}");
                    let commit = &chain[usize::try_from(revision - 1).expect("a small number")];
                    let receipt: serde_json::Value = answer.json();
                    assert_eq!(receipt["hash"], commit.hash.to_string(), "write {number}");
                }
            }
        }
        assert!(found.is_empty(), "nobody is told of {found:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server of two acknowledged, in seconds after the beginning of a storm of 10 s.
    fn fates(acknowledged: &[(usize, u64)]) -> Fates {
        let began = Instant::now();
        let all = acknowledged.iter().map(|(by, seconds)| {
            let answer = Answer { status: 200, headers: Default::default(), body: "".into() };
            let at = began + Duration::from_secs(*seconds);
            let fate = Fate::Acknowledged { revision: 1, answer, at, by: *by, open: Vec::new() };
            Written { number: 0, server: 0, began, fate }
        });
        let mut all: Vec<_> = all.collect();
        let fate = Fate::Refused { code: "contended".into() };
        all.push(Written { number: 0, server: 1, began, fate });
        Fates { all, began, ended: began + Duration::from_secs(10) }
    }

    #[test]
    fn a_server_that_begins_late_ends_early_or_lets_the_other_answer_has_a_gap() {
        let gap = |acknowledged: &[(usize, u64)]| fates(acknowledged).longest_gap().as_secs();
        assert_eq!(gap(&[(0, 4), (1, 3), (0, 7), (1, 6), (1, 9)]), 4);
        assert_eq!(gap(&[(0, 6), (1, 3), (1, 7)]), 6, "until the first");
        assert_eq!(gap(&[(0, 4), (1, 3), (1, 7), (0, 11)]), 6, "what is settled later is none");
        assert_eq!(gap(&[(0, 4), (0, 7)]), 10, "the other one never wrote");
    }
}
