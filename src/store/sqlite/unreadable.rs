//! Rows that this program cannot read: a newer paygate wrote them, or somebody changed them.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The numbers of the rows that could not be read since the store was opened. They stay due, so
/// that the lists of what is due pass over them: otherwise they would fill every list, once there
/// are as many as a list is long.
#[derive(Debug, Default)]
pub(super) struct UnreadableRows(Mutex<BTreeSet<String>>);

/// The bound of the memory that the numbers take.
const NUMBERS_MAX: usize = 10_000;

impl UnreadableRows {
    /// Adds a number; whether it is new.
    pub(super) fn add(&self, number: &str) -> bool {
        let mut numbers = self.numbers();
        numbers.len() < NUMBERS_MAX && numbers.insert(number.to_owned())
    }

    /// Removes the number of a row that could be read.
    pub(super) fn remove(&self, number: &str) {
        self.numbers().remove(number);
    }

    /// `limit` and so many more as a list may have to pass over.
    pub(super) fn beyond(&self, limit: usize) -> usize {
        limit.saturating_add(self.numbers().len())
    }

    /// Whether the row with this number could not be read.
    pub(super) fn contains(&self, number: &str) -> bool {
        self.numbers().contains(number)
    }

    fn numbers(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_passed_over_until_it_can_be_read() {
        let rows = UnreadableRows::default();
        assert!(rows.add("A") && rows.add("B"));
        assert!(!rows.add("A"), "it is known");
        assert!(rows.contains("A") && !rows.contains("C"));
        assert_eq!(rows.beyond(10), 12);
        rows.remove("A");
        assert!(!rows.contains("A") && rows.contains("B"));
        assert_eq!(rows.beyond(10), 11);
    }

    #[test]
    fn at_most_ten_thousand_numbers_are_kept() {
        let rows = UnreadableRows::default();
        assert!((0..NUMBERS_MAX).all(|number| rows.add(&number.to_string())));
        assert!(!rows.add("another"));
        assert_eq!(rows.beyond(0), NUMBERS_MAX);
    }
}
