//! How often something may be done: a bucket of permits that fills up again.

/// Permits that come back at a steady rate.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    /// Permits it holds at most.
    burst: u32,
    per_s: u32,
    /// Thousandths of a permit.
    left_millis: u64,
    filled_ms: u64,
}

impl Budget {
    /// A full budget of `burst` permits, of which `per_s` come back in a second.
    pub(crate) const fn new(burst: u32, per_s: u32) -> Self {
        Self { burst, per_s, left_millis: burst as u64 * 1_000, filled_ms: 0 }
    }

    /// Takes a permit, if one is left at `now_ms`, a time that never goes back.
    pub(crate) fn take(&mut self, now_ms: u64) -> bool {
        let passed_ms = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = self.filled_ms.max(now_ms);
        let back = passed_ms.saturating_mul(u64::from(self.per_s));
        self.left_millis = self.left_millis.saturating_add(back).min(u64::from(self.burst) * 1_000);
        let left = self.left_millis.checked_sub(1_000);
        self.left_millis = left.unwrap_or(self.left_millis);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_so_many_in_a_second() {
        let mut budget = Budget::new(5, 2);
        let mut taken = |now_ms, tries| (0..tries).filter(|_| budget.take(now_ms)).count();
        assert_eq!(taken(0, 100), 5);
        assert_eq!(taken(499, 100), 0);
        assert_eq!(taken(500, 100), 1);
        assert_eq!(taken(10_500, 100), 5);
        assert_eq!(taken(10_000, 100), 0);
        assert_eq!(taken(u64::MAX, 100), 5);
    }
}
