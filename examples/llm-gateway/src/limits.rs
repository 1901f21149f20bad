//! How often each tenant has asked in this minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// Counts requests. The limit is told with each: a new one counts from the next request on.
#[derive(Default)]
pub(crate) struct Limits {
    // Only tenants that the configuration knows get in here, so strangers cannot make it grow.
    minutes: Mutex<HashMap<String, Minute>>,
}

#[derive(Clone, Copy)]
struct Minute {
    began: Instant,
    asked: u32,
}

impl Limits {
    /// Counts a request of a tenant, unless it is one too many.
    ///
    /// # Errors
    /// How long to wait.
    pub(crate) fn admit(
        &self,
        tenant: &str,
        per_minute: u32,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Minute { began: now, asked: 0 };
        let minute = minutes.entry(tenant.to_owned()).or_insert(fresh);
        if now.saturating_duration_since(minute.began) >= MINUTE {
            *minute = fresh;
        }
        if minute.asked >= per_minute {
            return Err(MINUTE.saturating_sub(now.saturating_duration_since(minute.began)));
        }
        minute.asked += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_counts_by_tenant_and_minute_and_a_higher_one_at_once() {
        let (limits, began) = (Limits::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(limits.admit("a", 1, at(0)), Ok(()));
        assert_eq!(limits.admit("a", 1, at(20)), Err(Duration::from_secs(40)));
        assert_eq!(limits.admit("b", 1, at(20)), Ok(()));
        assert_eq!(limits.admit("a", 2, at(20)), Ok(()));
        assert_eq!(limits.admit("a", 0, at(60)), Err(MINUTE), "none at all");
        assert_eq!(limits.admit("a", 1, at(61)), Ok(()));
    }
}
