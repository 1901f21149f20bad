//! The database behind a pool that follows its settings while queries run.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use deadpool_postgres::tokio_postgres::{self, NoTls, Row, types::ToSql};
use deadpool_postgres::{BuildError, Manager, Object, Pool, PoolError, Runtime, Status, Timeouts};
use tokio::sync::Mutex;

use crate::settings::{Database, PoolSettings, Times, millis};

/// Why the database does not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DbError {
    /// Mend the settings or the file.
    #[error("the password is not to be had from {}: {error}", .file.display())]
    Password { file: PathBuf, error: std::io::Error },
    #[error("no such pool can be: {0}")]
    Pool(#[from] BuildError),
    /// None was free in time, or none could be made.
    #[error("no connection: {}", with_cause(.0))]
    NoConnection(#[from] PoolError),
    #[error("the statement failed: {}", with_cause(.0))]
    Statement(#[from] tokio_postgres::Error),
}

/// What `tokio_postgres` says alone is "db error".
fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_cause(cause)),
        None => error.to_string(),
    }
}

/// The database. Every query takes the pool as it is when it begins, and keeps it to its end.
pub(crate) struct Db {
    current: ArcSwap<Served>,
    /// One change after the other.
    turn: Mutex<()>,
}

/// One pool, with what it was made for.
pub(crate) struct Served {
    pool: Pool,
    pub(crate) database: Database,
    pub(crate) times: Times,
    /// The revision of the settings.
    pub(crate) revision: u64,
    /// When it came into force.
    pub(crate) since: SystemTime,
}

impl Db {
    /// Connects.
    pub(crate) async fn open(settings: &PoolSettings, revision: u64) -> Result<Self, DbError> {
        let served = Served::proven(settings, revision).await?;
        Ok(Self { current: ArcSwap::from_pointee(served), turn: Mutex::default() })
    }

    /// Takes on new settings. Another size or other times cost no connection. Another database is connected to first,
    /// and taken only when it answers; the old pool's connections close as the last of its queries end. What is older than
    /// what is in force is passed over.
    pub(crate) async fn follow(
        &self,
        settings: &PoolSettings,
        revision: u64,
    ) -> Result<(), DbError> {
        let _turn = self.turn.lock().await;
        let now = self.current.load_full();
        if revision <= now.revision {
            return Ok(());
        }
        let next = if now.database == settings.database {
            now.resized(settings, revision)
        } else {
            Served::proven(settings, revision).await?
        };
        self.current.store(Arc::new(next));
        Ok(())
    }

    /// The pool now.
    pub(crate) fn served(&self) -> Arc<Served> {
        self.current.load_full()
    }
}

impl Served {
    /// A pool whose database has answered.
    async fn proven(settings: &PoolSettings, revision: u64) -> Result<Self, DbError> {
        let manager = Manager::new(connection(&settings.database).await?, NoTls);
        let pool = Pool::builder(manager)
            .max_size(settings.max_connections.get().into())
            .runtime(Runtime::Tokio1)
            .build()?;
        let (database, times) = (settings.database.clone(), settings.times);
        let served = Self { pool, database, times, revision, since: SystemTime::now() };
        served.rows("select 1", &[]).await?;
        Ok(Self { since: SystemTime::now(), ..served })
    }

    /// The same pool with room for more or fewer. Connections that are in use above the new size close when they come
    /// back.
    fn resized(&self, settings: &PoolSettings, revision: u64) -> Self {
        self.pool.resize(settings.max_connections.get().into());
        let (pool, database) = (self.pool.clone(), self.database.clone());
        Self { pool, database, times: settings.times, revision, since: SystemTime::now() }
    }

    /// What a statement gives, within the times of the settings.
    pub(crate) async fn rows(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DbError> {
        let connection = self.connection().await?;
        let statement = connection.prepare_cached(statement).await?;
        // Sent in one go: the time limit costs no round trip of its own.
        let limit = format!("set statement_timeout = {}", self.times.statement_ms);
        let limited = connection.batch_execute(&limit);
        let (_, rows) = tokio::try_join!(limited, connection.query(&statement, parameters))?;
        Ok(rows)
    }

    async fn connection(&self) -> Result<Object, PoolError> {
        let limit = |ms: NonZeroU32| Some(millis(ms));
        let Times { wait_ms, connect_ms, .. } = self.times;
        let (wait, create) = (limit(wait_ms), limit(connect_ms));
        self.pool.timeout_get(&Timeouts { wait, create, recycle: create }).await
    }

    /// How many connections there are, and how many wait for one.
    pub(crate) fn status(&self) -> Status {
        self.pool.status()
    }
}

/// How to reach a database. The password is read anew each time, so that it may change, too.
async fn connection(database: &Database) -> Result<tokio_postgres::Config, DbError> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(&database.host)
        .port(database.port)
        .dbname(&database.name)
        .user(&database.user)
        .application_name("db-pool");
    if let Some(file) = &database.password_file {
        let password = tokio::fs::read_to_string(file).await;
        let password = password.map_err(|error| DbError::Password { file: file.clone(), error })?;
        config.password(password.trim_end());
    }
    Ok(config)
}
