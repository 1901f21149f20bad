//! What the service does all day.

use std::time::Duration;

use crate::stock::Stock;

/// Takes an order at every tick, without end.
pub(crate) async fn take(pace: Duration) {
    let mut stock = Stock::full();
    let mut ticks = tokio::time::interval(pace);
    for order in 1_u64.. {
        ticks.tick().await;
        let left = stock.take_one();
        tracing::debug!(order, "an order is taken");
        if left == 0 {
            stock = Stock::full();
            tracing::info!(order, "the stock is filled again");
        }
    }
}
