//! One order: opened by a payment code, by what a merchant gave to the buyer, or by its number.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::pasted_text::{self, PastedText};
use super::view;
use crate::domain::channel::ProviderId;
use crate::domain::product::Product;
use crate::domain::time::Millis;
use crate::mock::buyer::{self, LocatedOrder};
use crate::mock::provider::OpenedOrder;
use crate::mock::purchase::{ActionRefused, PayWith, SimulatedPurchase};
use crate::mock::world::World;
use crate::mock::world::order::{MerchantAccount, OrderId, SimulatedOrder, State};
use crate::mock::{page, providers};

/// The order that the query of `request` names: what the buyer pays, with which purchase, and where
/// the buyer's browser goes afterwards. `with` is what the buyer holds; `provider`, `merchant` and
/// `number` name the order, also where the code is no longer valid.
pub(in crate::mock) fn opened(
    world: &World,
    request: &Request<Bytes>,
) -> Result<Value, ActionRefused> {
    let parameter = |name: &str| page::parameter(request, name);
    let provider = parameter("provider").and_then(|name| ProviderId::parse(&name));
    let named = (provider, parameter("merchant"), parameter("number"));
    let named = match named {
        (Some(provider), Some(merchant), Some(out_trade_no)) => {
            Some((provider, PayWith::Order { merchant, out_trade_no }))
        }
        _ => None,
    };
    let (provider, with) = match (parameter("with").map(|text| pasted_text::parse(&text)), &named) {
        (Some(PastedText::Code(provider, with)), _) => (provider, with),
        (Some(PastedText::Number(number)), None) => by_number(world, &number)?,
        (_, Some(named)) => named.clone(),
        (None, None) => return Err(ActionRefused::unknown_order()),
    };
    let located = buyer::locate(world, provider, &with, world.now());
    let located = located.or_else(|refused| match named {
        Some((provider, named)) => {
            let located = buyer::locate(world, provider, &named, world.now())?;
            Ok(LocatedOrder { has_expired_code: true, ..located })
        }
        None => Err(refused),
    })?;
    Ok(show(world, located, SimulatedPurchase { provider, with, payer: None }))
}

/// The only order with this number, the merchant's or the provider's.
fn by_number(world: &World, number: &str) -> Result<(ProviderId, PayWith), ActionRefused> {
    let has_number = |order: &SimulatedOrder| {
        order.out_trade_no == number || order.transaction_id.as_deref() == Some(number)
    };
    let mut found = world.orders().into_iter().filter(has_number);
    let SimulatedOrder { provider, merchant, out_trade_no, .. } =
        found.next().ok_or_else(ActionRefused::unknown_order)?;
    match found.next() {
        None => Ok((provider, PayWith::Order { merchant, out_trade_no })),
        Some(_) => Err(ActionRefused::new("SEVERAL_ORDERS", "several orders have this number")),
    }
}

fn show(world: &World, located: LocatedOrder, purchase: SimulatedPurchase) -> Value {
    let now = world.now();
    let LocatedOrder { target, has_expired_code } = located;
    let provider = purchase.provider;
    let account = MerchantAccount { provider, id: &target.merchant };
    let known = world.find(&account, &target.out_trade_no);
    let is_known = known.is_some();
    let id = OrderId { merchant: account, out_trade_no: &target.out_trade_no, created: now };
    let mut order =
        known.unwrap_or_else(|| SimulatedOrder::new(id, State::Offered, target.terms.clone()));
    if matches!(order.state, State::Offered | State::Unpaid) {
        // A buyer pays what the code names, whatever the merchant has asked for since.
        order.terms = target.terms;
    }
    let opened = OpenedOrder { order: &order, with: &purchase.with };
    let ways = providers::by_id(provider).return_urls(opened, world.clock_time());
    let mut shown = view::order(&order, now);
    shown["is_payable"] = json!(view::is_payable(&order, now) && !has_expired_code);
    if !is_known {
        // No buyer has opened it: the provider knows nothing of it.
        shown["created"] = Value::Null;
    }
    json!({
        "now": now,
        "hurry": world.time_scale(),
        "order": shown,
        "codes": codes(&order, now),
        "has_expired_code": has_expired_code,
        "purchase": purchase,
        "return_url": ways.after_payment,
        "leave_url": ways.after_leaving,
    })
}

/// The payment codes of the order, the last one first: what the merchant gives to the buyer.
fn codes(order: &SimulatedOrder, now: Millis) -> Vec<Value> {
    let name = match order.terms.product {
        Product::Native => "code_url",
        Product::H5 => "h5_url",
        Product::Precreate => "qr_code",
        _ => "prepay_id",
    };
    let codes = order.payment_codes.iter().rev().map(|code| {
        let is_valid = now < code.valid_until;
        json!({ "name": name, "text": code.code, "until": code.valid_until, "is_valid": is_valid })
    });
    codes.collect()
}
