//! What operators order for single sagas: a letter box between whoever takes an order and the partition's
//! owner, which may be another process.
//!
//! ```text
//! operator ─▶ order() ─▶ row ─▶ orders(), at the owner's next round ─▶ carried out, row gone: one transaction
//! ```
//!
//! Leaving an order locks no partition and changes no saga. Of a saga that has ended meanwhile it means
//! nothing, and the owner takes it away.
//!
//! **Invariant**: the order of a resolve is the durable decision itself. It stays until the transaction that
//! ends its saga, and no other order takes its place: an owner that begins anew finds it and goes on in the
//! same direction.

use async_trait::async_trait;

use super::Error;
use crate::model::{PartitionId, Position};

/// What is to be done with a saga that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    /// Send it again now, as it stands.
    Retry,
    /// End it: failed if it waits, else undone.
    Cancel,
    /// End it so, by writes that are newer than its own and than its undo.
    Resolve(Side),
}

/// Which of a saga's two images its records are to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// What stood before it.
    Before,
    /// What it writes.
    After,
}

impl Order {
    /// The stored number. Stable: never renumber.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Retry => 0,
            Self::Cancel => 1,
            Self::Resolve(Side::Before) => 2,
            Self::Resolve(Side::After) => 3,
        }
    }

    /// From the stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        let all = [Self::Retry, Self::Cancel, Self::Resolve(Side::Before), Self::Resolve(Side::After)];
        all.into_iter().find(|order| order.number() == number)
    }

    /// Whether another order may take its place.
    #[must_use]
    pub fn can_be_replaced(self) -> bool {
        !matches!(self, Self::Resolve(_))
    }
}

/// Most orders that one call answers.
pub const ORDERS_MAX: usize = 1_000;

/// Orders, as one shared thing.
#[async_trait]
pub trait Orders: Send + Sync {
    /// Leaves an order for the saga at `position`, in the place of an earlier one; the same again changes
    /// nothing. `false`: a resolve stands there, and stays.
    async fn order(&self, position: Position, order: Order) -> Result<bool, Error>;

    /// The orders of a partition for offsets from `from` on, by offset, at most [`ORDERS_MAX`].
    async fn orders(&self, partition: PartitionId, from: u64) -> Result<Vec<(u64, Order)>, Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_numbers_round_trip() {
        for number in 0..4 {
            assert_eq!(Order::from_number(number).map(Order::number), Some(number));
        }
        assert_eq!(Order::from_number(4), None);
    }
}
