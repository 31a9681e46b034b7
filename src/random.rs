//! Randomness, handed in: seeded from the system in production, from a number in the simulator.

use std::sync::Arc;

use parking_lot::Mutex;
use rand_chacha::ChaCha8Rng;
use rand_core::{OsRng, RngCore, SeedableRng, TryRngCore};

/// A source of random numbers that can be shared. Clones draw from the same stream.
#[derive(Debug, Clone)]
pub struct Random(Arc<Mutex<ChaCha8Rng>>);

impl Random {
    /// Unpredictable.
    ///
    /// # Panics
    /// When the system has no randomness to give: nothing can be safe then.
    #[must_use]
    pub fn from_system() -> Self {
        let mut seed = [0; 32];
        OsRng.try_fill_bytes(&mut seed).expect("the system gives random bytes");
        Self(Arc::new(Mutex::new(ChaCha8Rng::from_seed(seed))))
    }

    /// The same numbers for the same seed. Streams of different `stream` are independent.
    #[must_use]
    pub fn from_seed(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(Arc::new(Mutex::new(generator)))
    }

    /// Any u64.
    #[must_use]
    pub fn next_u64(&self) -> u64 {
        self.0.lock().next_u64()
    }

    /// Any u128 but 0: a nonce.
    #[must_use]
    pub fn nonce(&self) -> u128 {
        let mut generator = self.0.lock();
        ((u128::from(generator.next_u64()) << 64) | u128::from(generator.next_u64())).max(1)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        // Multiply-shift: its bias is below 2^-32 for every bound used here, and it draws once.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `0.0..1.0`.
    #[must_use]
    pub fn unit(&self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    #[must_use]
    pub fn chance(&self, probability: f64) -> bool {
        self.unit() < probability
    }
}
