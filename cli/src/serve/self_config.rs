//! What a server is told by its own stream: Headwater's first user of its own handles.

use std::time::Duration;

use headwater::Client;
use headwater::log_filter::{self, LogFilter};
use headwater_replica::Replica;
use headwater_schemas::Namespace;

use crate::exit::Failure;
use crate::logging::FilterHandle;
use crate::metrics;

/// The key of the filter of the server's logs, in the namespace of `self_config`.
const LOGS: &str = "headwater.logs";

/// The values that the server follows, for as long as this lives.
pub(super) struct SelfConfig {
    logs: LogFilter,
    _client: Client,
}

impl SelfConfig {
    /// Follows the server's own replica. Until that has a state, and while a key is absent, the flags count.
    pub(super) async fn follow(
        namespace: &Namespace,
        replica: &Replica,
        filter: FilterHandle,
    ) -> Result<Self, Failure> {
        let client = Client::builder()
            .replica(replica.clone())
            .namespaces([namespace.as_str()])
            .startup_timeout(Duration::ZERO)
            .allow_empty()
            .connect()
            .await
            .map_err(Failure::failed)?;
        let logs = log_filter::bind(&client, LOGS, filter);
        Ok(Self { logs, _client: client })
    }

    /// Whether what was told is refused.
    pub(super) fn refresh_metrics(&self) {
        metrics::log_filter_refused(self.logs.rejected().is_some());
    }
}
