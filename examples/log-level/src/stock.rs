//! What is left.

const FULL: u32 = 1_000;

/// The pieces in stock.
pub(crate) struct Stock {
    left: u32,
}

impl Stock {
    pub(crate) fn full() -> Self {
        Self { left: FULL }
    }

    /// Takes one piece and says how many are left.
    pub(crate) fn take_one(&mut self) -> u32 {
        self.left = self.left.saturating_sub(1);
        tracing::debug!(left = self.left, "one piece less");
        self.left
    }
}
