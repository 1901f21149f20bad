//! The background tasks of a server: one that ends early or panics ends the process, so that it is never half-dead.

use std::future::Future;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};

/// Tasks with names.
#[derive(Default)]
pub(crate) struct Tasks {
    set: JoinSet<()>,
    names: Vec<(AbortHandle, &'static str)>,
}

impl Tasks {
    pub(crate) fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.names.push((self.set.spawn(task), name));
    }

    /// Waits until one ends, and says which and how. Only a fault ends one while the server runs.
    pub(crate) async fn fault(&mut self) -> String {
        match self.set.join_next_with_id().await {
            Some(Ok((id, ()))) => format!("the {} ended by itself", self.name(id)),
            Some(Err(error)) if error.is_panic() => {
                format!("the {} panicked: {error}", self.name(error.id()))
            }
            Some(Err(error)) => format!("the {} was cancelled", self.name(error.id())),
            None => std::future::pending().await,
        }
    }

    fn name(&self, id: tokio::task::Id) -> &'static str {
        Self::name_in(&self.names, id)
    }

    /// Waits until all have ended, at most so long, and names those that had not.
    pub(crate) async fn finish(mut self, within: Duration) -> Result<(), String> {
        let mut faults = Vec::new();
        let all = async {
            while let Some(ended) = self.set.join_next_with_id().await {
                if let Err(error) = ended {
                    faults.push(format!(
                        "the {} panicked: {error}",
                        Self::name_in(&self.names, error.id())
                    ));
                }
            }
        };
        let in_time = tokio::time::timeout(within, all).await.is_ok();
        if !in_time {
            let late = self.names.iter().filter(|(task, _)| !task.is_finished());
            faults
                .extend(late.map(|(_, name)| format!("the {name} had not ended after {within:?}")));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    }

    fn name_in(names: &[(AbortHandle, &'static str)], id: tokio::task::Id) -> &'static str {
        names.iter().find(|(task, _)| task.id() == id).map_or("unnamed task", |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_a_fault_with_its_name() {
        let mut tasks = Tasks::default();
        tasks.spawn("writer", std::future::pending());
        tasks.spawn("replica", async { panic!("boom") });
        assert!(tasks.fault().await.starts_with("the replica panicked"));
    }

    #[tokio::test]
    async fn a_task_that_ends_by_itself_is_a_fault() {
        let mut tasks = Tasks::default();
        tasks.spawn("writer", async {});
        assert_eq!(tasks.fault().await, "the writer ended by itself");
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("writer", async {});
        tasks.spawn("replica", std::future::pending());
        assert_eq!(
            tasks.finish(Duration::from_millis(20)).await,
            Err("the replica had not ended after 20ms".to_owned())
        );
    }
}
