//! Rng that repeats itself: SplitMix64.

use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A source of chance. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Rng(Arc<Mutex<u64>>);

impl Rng {
    pub(super) fn new(seed: u64) -> Rng {
        Rng(Arc::new(Mutex::new(seed)))
    }

    /// A source of its own, so that what one person does is not decided by another.
    pub(super) fn fork(&self) -> Rng {
        Rng::new(self.next())
    }

    fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `end` - 1.
    pub(super) fn below(&self, end: u64) -> u64 {
        self.next() % end
    }

    /// `range.start` to `range.end` - 1.
    pub(super) fn within(&self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    /// Whether something of so many percent happens.
    pub(super) fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'a, T>(&self, items: &'a [T]) -> &'a T {
        &items[usize::try_from(self.below(items.len() as u64)).unwrap()]
    }

    /// A time from now up to `most`.
    pub(super) fn time(&self, most: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(most.as_millis()).unwrap() + 1))
    }

    /// A time between two acts of a person: mostly moments, sometimes long.
    pub(super) fn pause(&self) -> Duration {
        let most_ms = match self.below(10) {
            0..4 => 50,
            4..7 => 5_000,
            7..9 => 120_000,
            _ => 600_000,
        };
        self.time(Duration::from_millis(most_ms))
    }
}
