//! From an attempt's material to the answer: signed for the client, and kept for repeats.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::created::{Created, OrderInfo};
use super::resolve::Resolved;
use crate::domain::order::Order;
use crate::domain::order::attempt::{Attempt, AttemptState, Material};
use crate::domain::time::{MINUTE_MS, Millis};
use crate::engine::failures::different_order;
use crate::engine::parts::EngineParts;
use crate::engine::replay_cache::ReplayEntry;
use crate::error::{Error, Kind};
use crate::provider::SigningContext;
use crate::secret::random_text;

impl EngineParts {
    /// The answer to a repeat from memory, without the store and without a signature.
    pub(super) fn replay_from_cache(&self, resolved: &Resolved) -> Option<Result<Created, Error>> {
        let terms = &resolved.request.terms;
        let now = self.clock.now();
        let entry = self.commits.replays.find(&terms.out_trade_no, now)?;
        let differences = entry.fingerprint.differences(&resolved.key.fingerprint);
        if !differences.is_empty() {
            return Some(Err(different_order(&differences)));
        }
        let method = &resolved.key.method;
        (*entry.method == *method).then(|| {
            let order_info = (entry.order_info, entry.code_url);
            Ok(Created { replayed: true, ..Created::new(method, terms.total_fee, order_info) })
        })
    }

    /// Signs the attempt's material for the client, and keeps the answer for repeats.
    ///
    /// # Errors
    ///
    /// 5001 when this configuration cannot sign for the attempt: its pay type, or its merchant
    /// account, was removed.
    pub(super) fn present(
        &self,
        resolved: &Resolved,
        order: &Order,
        attempt: &Attempt,
    ) -> Result<Created, Error> {
        let AttemptState::Payable { material, valid_until } = &attempt.state else {
            return Err(Error::new(Kind::OutcomeUnknown));
        };
        let now = self.clock.now();
        let signing = SigningContext { material, now, nonce: &random_text() };
        let text = resolved.provider.present(attempt, signing).map_err(not_presentable)?;
        let (order_info, code_url) = order_info(text, material)?;
        let entry = ReplayEntry {
            fingerprint: Box::new(order.fingerprint.clone()),
            method: Arc::new(attempt.method.clone()),
            order_info: order_info.clone(),
            code_url: code_url.clone(),
            fresh_until: fresh_until(material, *valid_until, now),
            since: now,
        };
        self.commits.replays.remember(order.out_trade_no(), order.version, entry);
        Ok(Created::new(&attempt.method, order.terms.total_fee, (order_info, code_url)))
    }
}

fn order_info(text: String, material: &Material) -> Result<OrderInfo, Error> {
    let order_info = RawValue::from_string(text).map_err(not_presentable)?;
    let code_url: Option<Arc<str>> = match material {
        Material::QrCode { code_url, .. } => Some(code_url.as_str().into()),
        _ => None,
    };
    Ok((order_info.into(), code_url))
}

/// Until when the same answer serves a repeat: an answer that was signed with a time for a minute,
/// any other one as long as its material is valid.
fn fresh_until(material: &Material, valid_until: Millis, now: Millis) -> Millis {
    match material {
        Material::Prepay { .. } | Material::Signed => valid_until.min(now.plus(MINUTE_MS)),
        Material::QrCode { .. } | Material::H5 { .. } | Material::Trade { .. } => valid_until,
    }
}

fn not_presentable(why: impl std::fmt::Display) -> Error {
    tracing::error!(%why, "the configuration cannot sign an attempt's material");
    Error::new(Kind::NotSent)
}
