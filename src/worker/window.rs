//! How much of unfinished sagas a process keeps in memory while they are with the stores.
//!
//! Counted over all partitions, in sagas and in bytes: a store that is away costs a bounded amount of memory,
//! whatever is owned and however large memories are. Beyond it sagas wait in the ledger, and beyond the backlog
//! in the log.
//!
//! **Invariant**: every partition has an even share that no other can take, so that sagas of one space which are
//! stuck hold back no other partition.

use std::sync::Arc;

use parking_lot::Mutex;

/// The bound, and who has how much of it.
#[derive(Debug)]
pub(super) struct Window {
    count_max: usize,
    bytes_max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Held {
    count: usize,
    bytes: usize,
    partitions: usize,
}

/// What one partition has of the window; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    window: Arc<Window>,
    count: usize,
    bytes: usize,
}

impl Window {
    /// So many sagas, and so many bytes.
    pub(super) fn new(count_max: usize, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { count_max, bytes_max, held: Mutex::default() })
    }

    /// One more partition takes part.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        self.held.lock().partitions += 1;
        Share { window: Arc::clone(self), count: 0, bytes: 0 }
    }
}

impl Share {
    /// Whether anything more may go to the stores.
    pub(super) fn has_room(&self) -> bool {
        self.room(*self.window.held.lock(), 1) > 0
    }

    /// Takes room for up to `wanted` sagas of about `each` bytes; for how many there is any.
    pub(super) fn reserve(&mut self, wanted: usize, each: usize) -> usize {
        let window = Arc::clone(&self.window);
        let mut held = window.held.lock();
        let granted = self.room(*held, each).min(wanted);
        self.set(&mut held, self.count + granted, self.bytes + granted * each);
        granted
    }

    /// What there is now, instead of what was thought.
    pub(super) fn settle(&mut self, count: usize, bytes: usize) {
        let window = Arc::clone(&self.window);
        self.set(&mut window.held.lock(), count, bytes);
    }

    fn room(&self, held: Held, each: usize) -> usize {
        let Window { count_max, bytes_max, .. } = *self.window;
        let left = |max: usize, all: usize, own: usize| {
            let even = (max / held.partitions.max(1)).max(1);
            max.saturating_sub(all).max(even.saturating_sub(own))
        };
        let bytes = left(bytes_max, held.bytes, self.bytes);
        // One that is larger than what is left goes alone rather than never.
        let by_bytes = if bytes == 0 { 0 } else { (bytes / each.max(1)).max(1) };
        left(count_max, held.count, self.count).min(by_bytes)
    }

    fn set(&mut self, held: &mut Held, count: usize, bytes: usize) {
        held.count = held.count - self.count + count;
        held.bytes = held.bytes - self.bytes + bytes;
        (self.count, self.bytes) = (count, bytes);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.settle(0, 0);
        self.window.held.lock().partitions -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_partition_may_have_it_all_and_gives_it_back() {
        let window = Window::new(10, 1_000);
        let mut one = window.share();
        assert_eq!(one.reserve(25, 1), 10);
        assert!(!one.has_room());
        one.settle(4, 40);
        assert_eq!(one.reserve(25, 1), 6);
        drop(one);
        assert_eq!(window.share().reserve(25, 1), 10);
    }

    #[test]
    fn what_one_has_taken_leaves_the_others_their_even_share() {
        let window = Window::new(10, 1_000);
        let (mut one, mut other) = (window.share(), window.share());
        assert_eq!(one.reserve(10, 1), 10);
        assert_eq!(other.reserve(10, 1), 5);
        assert_eq!((one.reserve(1, 1), other.reserve(1, 1)), (0, 0));
        one.settle(2, 2);
        assert_eq!(one.reserve(10, 1), 3);
    }

    #[test]
    fn bytes_bound_it_where_they_are_many_and_the_largest_goes_alone() {
        let window = Window::new(1_000, 1_000);
        let (mut one, mut other) = (window.share(), window.share());
        assert_eq!(one.reserve(100, 300), 3);
        one.settle(3, 1_200);
        assert!(!one.has_room());
        assert_eq!(other.reserve(100, 4_000), 1);
        other.settle(1, 4_000);
        assert!(!other.has_room());
        one.settle(0, 0);
        assert_eq!(one.reserve(100, 300), 1);
    }
}
