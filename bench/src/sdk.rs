//! The SDK inside a service, each figure beside what else a service could use.

mod folds;
mod gets;
mod memory;
mod publish;
mod stream;
mod typed;

use crate::Result;
use crate::report::Report;

/// Measures states of up to `keys` keys.
pub(crate) fn measure(report: &mut Report, keys: usize, rounds: usize) -> Result<()> {
    typed::measure(report, rounds)?;
    let sizes = [1_000, 10_000, 100_000, 1_000_000].into_iter().filter(|size| *size < keys);
    for size in sizes.chain([keys]) {
        gets::measure(report, size, rounds)?;
    }
    publish::measure(report, keys, rounds)?;
    memory::measure(report, keys, rounds)?;
    folds::measure(report, keys, rounds)
}
