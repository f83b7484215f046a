//! Who was allowed to ask for which order, for a minute.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use http::HeaderValue;
use sha2::{Digest, Sha256};

use super::callback::Question;
use crate::domain::time::{MINUTE_MS, Millis};

/// An order and the credentials of who asks for it, as a digest: no credential is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Asker([u8; 32]);

impl Asker {
    /// Who shows no credential is told apart by its address.
    pub(super) fn of(question: &Question) -> Asker {
        let Question { authorization, cookie, .. } = question;
        let shows_none = authorization.is_none() && cookie.is_none();
        let address = question.context.client_ip.filter(|_| shows_none).map(|it| it.to_string());
        let parts = [
            Some(question.out_trade_no.as_str().as_bytes()),
            authorization.as_ref().map(HeaderValue::as_bytes),
            cookie.as_ref().map(HeaderValue::as_bytes),
            address.as_deref().map(str::as_bytes),
        ];
        let mut hash = Sha256::new();
        for part in parts {
            // The lengths keep one part from running into the next.
            let length = part.map_or(u64::MAX, |it| it.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        Asker(hash.finalize().into())
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asker(***)")
    }
}

/// The shop's answers that still hold.
#[derive(Debug, Default)]
pub(super) struct Allowed(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    since: HashMap<Asker, Millis>,
    /// The same, oldest first.
    order: VecDeque<(Asker, Millis)>,
}

impl Allowed {
    pub(super) fn holds(&self, asker: &Asker, now: Millis) -> bool {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.since.get(asker).is_some_and(|since| is_fresh(*since, now))
    }

    pub(super) fn remember(&self, asker: Asker, now: Millis) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.since.insert(asker, now);
        answers.order.push_back((asker, now));
        while let Some((asker, since)) = answers.order.front().copied() {
            if is_fresh(since, now) && answers.order.len() <= ANSWERS_MAX {
                break;
            }
            answers.order.pop_front();
            // Unless it was allowed again since.
            if answers.since.get(&asker) == Some(&since) {
                answers.since.remove(&asker);
            }
        }
    }
}

/// A clock that was set back makes no answer hold for longer.
fn is_fresh(since: Millis, now: Millis) -> bool {
    (0..MINUTE_MS).contains(&now.since(since))
}

/// More than ask within a minute at most shops; about a hundred bytes each.
const ANSWERS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(n: u16) -> Asker {
        let mut digest = [0; 32];
        digest[..2].copy_from_slice(&n.to_be_bytes());
        Asker(digest)
    }

    #[test]
    fn a_yes_holds_for_a_minute_and_no_longer() {
        let allowed = Allowed::default();
        allowed.remember(asker(1), Millis(1_000));
        for (now, holds) in [(1_000, true), (60_999, true), (61_000, false), (999, false)] {
            assert_eq!(allowed.holds(&asker(1), Millis(now)), holds, "{now}");
        }
        assert!(!allowed.holds(&asker(2), Millis(1_000)));
        allowed.remember(asker(1), Millis(50_000));
        allowed.remember(asker(2), Millis(61_000));
        assert!(allowed.holds(&asker(1), Millis(61_000)), "it was allowed again");
    }

    #[test]
    fn memory_is_bounded_however_many_ask() {
        let allowed = Allowed::default();
        for n in 0..20_000 {
            allowed.remember(asker(n), Millis(0));
        }
        let answers = allowed.0.lock().unwrap();
        assert_eq!(answers.since.len(), ANSWERS_MAX);
        assert_eq!(answers.order.len(), ANSWERS_MAX);
    }

    #[test]
    fn the_same_asker_again_and_again_takes_no_more() {
        let allowed = Allowed::default();
        for n in 0..1_000 {
            allowed.remember(asker(1), Millis(n * MINUTE_MS));
        }
        assert_eq!(allowed.0.lock().unwrap().order.len(), 1);
    }
}
