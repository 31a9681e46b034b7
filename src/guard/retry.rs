//! A budget for repeated reads: a tenth of the traffic, so that retries cannot keep a store down.

use parking_lot::Mutex;

/// What one call puts into the budget, in retries.
const SHARE: f64 = 0.1;
/// Most retries that can be saved up.
const SAVED_MAX: f64 = 10.0;

/// How many calls may be repeated. Bounded: see [`SAVED_MAX`].
#[derive(Debug)]
pub(super) struct Budget(Mutex<f64>);

impl Budget {
    /// A full one.
    pub(super) fn new() -> Self {
        Self(Mutex::new(SAVED_MAX))
    }

    /// A call was made for the first time.
    pub(super) fn earn(&self) {
        let mut saved = self.0.lock();
        *saved = (*saved + SHARE).min(SAVED_MAX);
    }

    /// Whether a call may be repeated.
    pub(super) fn spend(&self) -> bool {
        let mut saved = self.0.lock();
        let may = *saved >= 1.0;
        if may {
            *saved -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_stay_within_a_tenth_of_the_traffic() {
        let budget = Budget::new();
        let mut retried = 0;
        for _ in 0..10_000 {
            budget.earn();
            while budget.spend() {
                retried += 1;
            }
        }
        assert!((1_000..=1_010).contains(&retried), "{retried}");
    }
}
