//! Remembers for a minute which caller may query which order.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use http::HeaderValue;
use sha2::{Digest, Sha256};

use super::price_query::PriceQuery;
use crate::domain::time::{MINUTE_MS, Millis};

/// An order, and its caller's credentials, address and claims, as a digest: none of them is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CallerDigest([u8; 32]);

impl CallerDigest {
    /// `None` for a caller that shows no credential: another one may look the same.
    pub(super) fn of(query: &PriceQuery) -> Option<CallerDigest> {
        let PriceQuery { authorization, cookie, headers, context, .. } = query;
        if authorization.is_none() && cookie.is_none() && headers.is_empty() {
            return None;
        }
        let address = context.client_ip.map(|ip| ip.to_string());
        let claims = [&context.os, &context.app_id, &context.device_id, &context.locale];
        let value = |value: &Option<HeaderValue>| value.as_ref().map(|it| it.as_bytes().to_vec());
        let mut parts = vec![
            Some(query.out_trade_no.as_str().as_bytes().to_vec()),
            value(authorization),
            value(cookie),
            address.map(String::into_bytes),
            Some(context.platform.name().as_bytes().to_vec()),
            Some(context.user_agent.as_bytes().to_vec()),
        ];
        parts.extend(claims.map(|claim| claim.as_ref().map(|text| text.as_bytes().to_vec())));
        for (name, value) in headers {
            parts
                .extend([Some(name.as_str().as_bytes().to_vec()), Some(value.as_bytes().to_vec())]);
        }
        let mut hash = Sha256::new();
        for part in parts {
            // The lengths keep one part from running into the next.
            let length = part.as_ref().map_or(u64::MAX, |bytes| bytes.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        Some(CallerDigest(hash.finalize().into()))
    }
}

impl fmt::Debug for CallerDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerDigest(***)")
    }
}

/// The shop's permissions that are still valid.
#[derive(Debug, Default)]
pub(super) struct PermissionCache(Mutex<Permissions>);

#[derive(Debug, Default)]
struct Permissions {
    since: HashMap<CallerDigest, Millis>,
    /// The same, oldest first.
    order: VecDeque<(CallerDigest, Millis)>,
}

impl PermissionCache {
    pub(super) fn is_valid(&self, caller: &CallerDigest, now: Millis) -> bool {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.since.get(caller).is_some_and(|since| is_fresh(*since, now))
    }

    pub(super) fn remember(&self, caller: CallerDigest, now: Millis) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.since.insert(caller, now);
        answers.order.push_back((caller, now));
        while let Some((caller, since)) = answers.order.front().copied() {
            if is_fresh(since, now) && answers.order.len() <= PERMISSIONS_MAX {
                break;
            }
            answers.order.pop_front();
            // Unless the shop allowed it again since.
            if answers.since.get(&caller) == Some(&since) {
                answers.since.remove(&caller);
            }
        }
    }
}

/// A clock that is set back does not extend a permission.
fn is_fresh(since: Millis, now: Millis) -> bool {
    (0..MINUTE_MS).contains(&now.since(since))
}

/// More than query within a minute at most shops; about a hundred bytes each.
const PERMISSIONS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(n: u16) -> CallerDigest {
        let mut digest = [0; 32];
        digest[..2].copy_from_slice(&n.to_be_bytes());
        CallerDigest(digest)
    }

    #[test]
    fn a_yes_holds_for_a_minute_and_no_longer() {
        let allowed = PermissionCache::default();
        allowed.remember(caller(1), Millis(1_000));
        for (now, holds) in [(1_000, true), (60_999, true), (61_000, false), (999, false)] {
            assert_eq!(allowed.is_valid(&caller(1), Millis(now)), holds, "{now}");
        }
        assert!(!allowed.is_valid(&caller(2), Millis(1_000)));
        allowed.remember(caller(1), Millis(50_000));
        allowed.remember(caller(2), Millis(61_000));
        assert!(allowed.is_valid(&caller(1), Millis(61_000)), "it was allowed again");
    }

    #[test]
    fn memory_is_bounded_however_many_ask() {
        let allowed = PermissionCache::default();
        for n in 0..20_000 {
            allowed.remember(caller(n), Millis(0));
        }
        let answers = allowed.0.lock().unwrap();
        assert_eq!(answers.since.len(), PERMISSIONS_MAX);
        assert_eq!(answers.order.len(), PERMISSIONS_MAX);
    }

    #[test]
    fn the_same_asker_again_and_again_takes_no_more() {
        let allowed = PermissionCache::default();
        for n in 0..1_000 {
            allowed.remember(caller(1), Millis(n * MINUTE_MS));
        }
        assert_eq!(allowed.0.lock().unwrap().order.len(), 1);
    }
}
