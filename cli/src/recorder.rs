//! Where every crate's metrics end up.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::metrics;

/// From 50 µs, a loopback round trip, to 10 s, where every time-out has ended.
const SECONDS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_4, 0.000_8, 0.001_6, 0.003, 0.006, 0.012, 0.025, 0.05, 0.1,
    0.5, 1.0, 5.0, 10.0,
];
/// From one record to a full group.
const RECORDS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 512.0, 2048.0];
/// From a millisecond, the grain of a commit's time, to a minute, where somebody should look.
const END_TO_END: [f64; 14] =
    [0.001, 0.002, 0.004, 0.008, 0.016, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];
/// How often what histograms gathered is folded; otherwise it grows until somebody asks for it.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the process's recorder, once, and names what each part counts.
pub(crate) fn install() -> Result<PrometheusHandle, Failure> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_records".to_owned()), &RECORDS)
        })
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_commits".to_owned()), &RECORDS)
        })
        .and_then(|builder| {
            let longer = Matcher::Full(headwater_replica::END_TO_END.to_owned());
            builder.set_buckets_for_metric(longer, &END_TO_END)
        });
    let installed = builder.and_then(PrometheusBuilder::install_recorder);
    let handle = installed.map_err(|error| Failure::failed(format_args!("metrics: {error}")))?;
    headwater_server::describe();
    headwater_log_kafka::metrics::describe();
    headwater_replica::describe();
    headwater_snapshotter::metrics::describe();
    metrics::begin_spans();
    Ok(handle)
}

/// Folds what was gathered, until `stop`.
pub(crate) async fn upkeep(handle: PrometheusHandle, stop: CancellationToken) {
    let mut tick = tokio::time::interval(UPKEEP);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        handle.run_upkeep();
    }
}
