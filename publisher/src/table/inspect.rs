//! Comparing a table with the state, and mending it, from outside of the process that writes it.

use std::sync::Arc;
use std::time::Duration;

use headwater_log::{ReadError, Table, TableError, read_table};
use headwater_replica::{Phase, Replica, Seen, View};
use headwater_schemas::{Checkpoint, Framing, TableFold};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::batch::checkpoint_of;
use super::compare::{Difference, differences};
use super::{Framings, sweep};

/// How long the state may take to move on, or the table to reach a state that is ahead of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long until a table that is written meanwhile is read again.
const READ_AGAIN: Duration = Duration::from_millis(500);
/// How long the first state may take: a server may have to cut an image first.
const FIRST: Duration = Duration::from_secs(30);
/// How often a repair is begun anew when the projector takes the table back.
const TRIES: u32 = 5;
/// The pause before it is: a projector that took over mends the table itself.
const TAKEN_BACK: Duration = Duration::from_secs(2);

/// Why a table could not be compared or mended.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// There is nothing to compare it with: the replica was closed, or has no state.
    #[error("there is no state to compare with: {0}")]
    NoState(String),
    /// The table cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is none.
    #[error("the stream has no table: {0} does not exist")]
    NoTable(String),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] TableError),
    /// The registry of schemas gave no id.
    #[error("the registry of schemas: {0}")]
    Framing(String),
}

/// What an inspection found.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The last checkpoint of the table, if there is one.
    pub checkpoint: Option<Checkpoint>,
    /// The state it was compared with.
    pub state: Checkpoint,
    /// The rows that are not the state's.
    pub differences: Vec<Difference>,
    /// How many rows a repair wrote.
    pub mended: usize,
}

impl Inspection {
    /// What is wrong with the checkpoint, if anything is.
    pub fn checkpoint_fault(&self) -> Option<String> {
        let state = &self.state;
        let Some(found) = &self.checkpoint else {
            return Some("there is no checkpoint: nobody has written this table whole".into());
        };
        // The position is a hint, and a log that was copied has others.
        if (Checkpoint { position: state.position, ..*found }) == *state {
            return None;
        }
        Some(if found.stream_id != state.stream_id {
            format!("the checkpoint is of stream {}, not {}", found.stream_id, state.stream_id)
        } else if found.revision == state.revision {
            format!("the checkpoint of revision {} is not what the log leads to", found.revision)
        } else {
            format!(
                "the checkpoint is of revision {}, the state of {}",
                found.revision, state.revision
            )
        })
    }

    /// Whether the table is the state.
    pub fn is_sound(&self) -> bool {
        self.differences.is_empty() && self.checkpoint_fault().is_none()
    }
}

/// Compares one table with the states of one replica.
pub struct Inspector {
    table: Arc<dyn Table>,
    replica: Replica,
    /// Every state the replica comes to, in order. Bounded: the replica waits for whoever looks.
    seen: mpsc::Receiver<Seen>,
    view: Option<Arc<View>>,
}

impl std::fmt::Debug for Inspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inspector({})", self.table.place())
    }
}

impl Inspector {
    /// `seen` is the other end of the observer that the replica was given. It must hold every namespace.
    pub fn new(table: Arc<dyn Table>, replica: Replica, seen: mpsc::Receiver<Seen>) -> Self {
        Self { table, replica, seen, view: None }
    }

    /// Compares the table with the state at its checkpoint; where there is none, or the state is ahead of it and it
    /// does not come after, with the state there is.
    ///
    /// # Errors
    /// [`InspectError`].
    pub async fn verify(&mut self) -> Result<Inspection, InspectError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let fold = self.read().await?;
            let checkpoint = fold.checkpoint().copied();
            let view = match &checkpoint {
                Some(checkpoint) => self.state_at(checkpoint.revision).await?,
                None => self.newest().await?,
            };
            let ahead = checkpoint.is_some_and(|it| it.revision < view.revision());
            if ahead && Instant::now() < deadline {
                tokio::time::sleep(READ_AGAIN).await;
                continue;
            }
            let state = checkpoint_of(&view);
            let differences = compare(fold, view).await?;
            return Ok(Inspection { checkpoint, state, differences, mended: 0 });
        }
    }

    /// Makes the table equal to the newest state, whatever it holds, and compares again. Who writes the table is
    /// fenced by it, and takes it back by itself a little later.
    ///
    /// # Errors
    /// [`InspectError`].
    pub async fn repair(
        &mut self,
        framings: Option<&Framings>,
    ) -> Result<Inspection, InspectError> {
        let (mut mended, mut tries) = (0, 0);
        loop {
            match self.mend(framings).await {
                Ok(rows) => mended += rows,
                Err(InspectError::Write(TableError::Fenced(by))) if tries < TRIES => {
                    tracing::info!(by, "the projector took the table back, and mends it");
                    tokio::time::sleep(TAKEN_BACK).await;
                }
                Err(error) => return Err(error),
            }
            tries += 1;
            let inspection = Inspection { mended, ..self.verify().await? };
            if inspection.is_sound() || tries >= TRIES {
                return Ok(inspection);
            }
        }
    }

    async fn mend(&mut self, framings: Option<&Framings>) -> Result<usize, InspectError> {
        // Nobody is fenced before there is something to write.
        self.newest().await?;
        let mut writer = self.table.writer().await?;
        let fold = self.read().await?;
        let framing = match framings {
            Some(framings) => framings().await.map_err(InspectError::Framing)?,
            // As the table's own writer frames.
            None => fold.framing().unwrap_or(Framing::SingleObject),
        };
        // What it wrote last was in the log.
        let written = fold.checkpoint().map_or(0, |checkpoint| checkpoint.revision);
        self.state_at(written).await?;
        let view = self.newest().await?;
        let tail = self.replica.tail();
        Ok(sweep::sweep(writer.as_mut(), fold, &view, tail, framing).await?)
    }

    async fn read(&self) -> Result<TableFold, InspectError> {
        let table = self.table.as_ref();
        let read = read_table(table, TableFold::default(), TableFold::is_settled).await?;
        read.ok_or_else(|| InspectError::NoTable(self.table.place().to_owned()))
    }

    /// The state at a revision: exactly there unless the first one was later, or the last one is earlier.
    async fn state_at(&mut self, revision: u64) -> Result<Arc<View>, InspectError> {
        loop {
            if let Some(view) = &self.view
                && view.revision() >= revision
            {
                return Ok(Arc::clone(view));
            }
            match tokio::time::timeout(self.patience(), self.seen.recv()).await {
                Ok(Some(seen)) => self.saw(seen),
                Ok(None) | Err(_) => return self.view.clone().ok_or_else(|| self.no_state()),
            }
        }
    }

    /// The newest state there is, once the log's end was reached.
    async fn newest(&mut self) -> Result<Arc<View>, InspectError> {
        loop {
            while let Ok(seen) = self.seen.try_recv() {
                self.saw(seen);
            }
            let live = self.replica.progress().borrow().phase == Phase::Live;
            if let Some(view) = &self.view
                && live
                && self.replica.view().is_some_and(|now| now.revision() == view.revision())
            {
                return Ok(Arc::clone(view));
            }
            match tokio::time::timeout(self.patience(), self.seen.recv()).await {
                Ok(Some(seen)) => self.saw(seen),
                Ok(None) | Err(_) => return self.view.clone().ok_or_else(|| self.no_state()),
            }
        }
    }

    fn patience(&self) -> Duration {
        if self.view.is_none() { FIRST } else { PATIENCE }
    }

    fn saw(&mut self, seen: Seen) {
        if let Seen::Reset { view } | Seen::Applied { view, .. } | Seen::Advanced { view } = seen {
            self.view = Some(view);
        }
    }

    fn no_state(&self) -> InspectError {
        let told = self.replica.status();
        let why = told.alarm.map(|alarm| alarm.detail).or(told.last_error);
        InspectError::NoState(why.unwrap_or_else(|| "there is no stream in the log".into()))
    }
}

async fn compare(fold: TableFold, view: Arc<View>) -> Result<Vec<Difference>, InspectError> {
    let compared = tokio::task::spawn_blocking(move || differences(fold, &view, None)).await;
    compared.map_err(|error| InspectError::NoState(error.to_string()))
}
