//! What a buyer does: opens the cashier with a code, pays.

use serde::{Deserialize, Serialize};

use super::alipay::gateway;
use super::alipay::gateway::Gateway;
use super::alipay::validate;
use super::world::faults::FaultKind;
use super::world::ledger::{Merchant, Offer, Order, Payment, State, Terms};
use super::world::numbers;
use super::world::{NotWritten, Providers};
use super::{alipay, notifier};
use crate::domain::channel::ProviderId;
use crate::domain::money::Fen;
use crate::domain::product::Product;
use crate::domain::time::{MINUTE_MS, Millis};

/// A buyer in front of a cashier.
///
/// As JSON: `{"provider":"wxpay","out_trade_no":"…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purchase {
    /// Where.
    pub provider: ProviderId,
    /// What the buyer holds.
    #[serde(flatten)]
    pub with: PayWith,
    /// Who; the order's own buyer, or some buyer, when absent.
    #[serde(default)]
    pub payer: Option<String>,
}

/// What a buyer pays with: one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayWith {
    /// The merchant's number: whatever was handed out for it last.
    OutTradeNo(String),
    /// WeChat Pay JSAPI and APP.
    PrepayId(String),
    /// A QR code of either provider.
    CodeUrl(String),
    /// WeChat Pay H5, with or without a `redirect_url`.
    H5Url(String),
    /// Alipay's trade number, as mini programs have it.
    TradeNo(String),
    /// Alipay's order string for apps.
    OrderString(String),
    /// The address of Alipay's pay page.
    PayUrl(String),
}

/// Why a cashier turns a buyer away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Declined {
    /// The provider's code.
    pub code: String,
    /// Words.
    pub message: String,
}

impl Declined {
    pub(super) fn new(code: &str, message: &str) -> Declined {
        Declined { code: code.to_owned(), message: message.to_owned() }
    }
}

impl From<NotWritten> for Declined {
    fn from(_: NotWritten) -> Declined {
        Declined::new("SYSTEM_ERROR", "the ledger cannot be written")
    }
}

impl From<gateway::Refusal> for Declined {
    fn from(refusal: gateway::Refusal) -> Declined {
        Declined { code: refusal.sub_code, message: refusal.sub_msg }
    }
}

/// How far the buyer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Opens the cashier: at Alipay the trade exists from then on.
    Scan,
    /// Enters a password, for a minute: WeChat Pay closes nothing meanwhile.
    Begin,
    /// Turns away from the cashier.
    Cancel,
    /// Pays.
    Pay,
}

/// Lets a buyer act, in the ledger only.
pub(super) fn act(providers: &Providers, purchase: &Purchase, act: Act) -> Result<Order, Declined> {
    let now = providers.now();
    let target = Target::find(providers, purchase, now)?;
    let merchant = Merchant { provider: purchase.provider, id: &target.merchant };
    let order = providers.change(&merchant, &target.no, |existing| {
        let order = match existing {
            Some(order) => order,
            None => alipay::offered(&target.merchant, &target.no, target.terms.clone(), now),
        };
        let opened = match purchase.provider {
            ProviderId::Wxpay => open_wxpay(order, purchase, now)?,
            ProviderId::Alipay => open_alipay(order, &target.terms, purchase, now)?,
        };
        Ok::<_, Declined>(match act {
            Act::Scan => opened,
            Act::Cancel => Order { paying_until: None, ..opened },
            Act::Begin => Order { paying_until: Some(now.plus(MINUTE_MS)), ..opened },
            Act::Pay => paid(providers, opened, purchase, now),
        })
    })?;
    if act == Act::Pay {
        providers.wake();
    }
    Ok(order)
}

/// Nobody pays in time: what the order was given to be paid with works no longer.
pub(super) fn expire(providers: &Providers, purchase: &Purchase) -> Result<Order, Declined> {
    let now = providers.now();
    let target = Target::find(providers, purchase, now)?;
    let merchant = Merchant { provider: purchase.provider, id: &target.merchant };
    let ended = |terms: Terms| Terms { expires: terms.expires.min(now), ..terms };
    providers.change(&merchant, &target.no, |existing| {
        let order = existing.ok_or_else(unknown)?;
        let offers = order.offers.iter().cloned().map(|offer| Offer {
            terms: ended(offer.terms),
            valid_until: offer.valid_until.min(now),
            ..offer
        });
        let offers = offers.collect();
        let order = Order { offers, terms: ended(order.terms), ..order };
        Ok(order.at(now))
    })
}

/// The order a buyer is about to pay, and on which terms.
struct Target {
    merchant: String,
    no: String,
    terms: Terms,
}

impl Target {
    fn find(providers: &Providers, purchase: &Purchase, now: Millis) -> Result<Target, Declined> {
        if let PayWith::OrderString(text) | PayWith::PayUrl(text) = &purchase.with {
            return Target::read(text, now);
        }
        let expired = || Declined::new("CODE_EXPIRED", "it is too old to be paid with");
        let orders = providers.orders();
        let mut orders = orders.into_iter().filter(|it| it.provider == purchase.provider);
        match &purchase.with {
            PayWith::OutTradeNo(no) => {
                let order = orders.find(|it| it.out_trade_no == *no).ok_or_else(unknown)?;
                let stale = order.offers.last().is_some_and(|it| it.valid_until <= now);
                if order.state == State::Offered && stale {
                    return Err(expired());
                }
                Ok(Target::of(&order, order.terms.clone()))
            }
            PayWith::TradeNo(id) => {
                let traded = |it: &Order| it.transaction_id.as_ref() == Some(id);
                let order = orders.find(traded).ok_or_else(unknown)?;
                Ok(Target::of(&order, order.terms.clone()))
            }
            PayWith::PrepayId(code) | PayWith::CodeUrl(code) | PayWith::H5Url(code) => {
                let code = code.split_once("&redirect_url=").map_or(code.as_str(), |it| it.0);
                let found = orders.find_map(|order| {
                    let offer = order.offers.iter().find(|it| it.code == code)?.clone();
                    Some((order, offer))
                });
                let (order, offer) = found.ok_or_else(unknown)?;
                let payable = matches!(order.state, State::Offered | State::Unpaid);
                if payable && offer.valid_until <= now {
                    return Err(expired());
                }
                Ok(Target::of(&order, offer.terms))
            }
            PayWith::OrderString(_) | PayWith::PayUrl(_) => Err(unknown()),
        }
    }

    /// Reads what the merchant only signed: Alipay sees it with the buyer.
    fn read(text: &str, now: Millis) -> Result<Target, Declined> {
        let gateway = Gateway::from_text(text);
        let content = gateway.check()?;
        let (no, terms) = validate::order(&gateway, &content, now)?;
        match terms.product {
            Product::AppPay | Product::WapPay | Product::PagePay => {
                Ok(Target { merchant: gateway.merchant(), no, terms })
            }
            _ => Err(Declined::new("isv.invalid-method", "no buyer gets to see this call")),
        }
    }

    fn of(order: &Order, terms: Terms) -> Target {
        Target { merchant: order.merchant.clone(), no: order.out_trade_no.clone(), terms }
    }
}

fn open_wxpay(order: Order, purchase: &Purchase, now: Millis) -> Result<Order, Declined> {
    match order.state {
        State::Paid => Err(Declined::new("ORDER_PAID", "该订单已支付")),
        State::Closed => Err(Declined::new("ORDER_CLOSED", "该订单已关闭")),
        _ if order.terms.expires <= now => Err(Declined::new("ORDER_EXPIRED", "订单已过期")),
        _ if is_another(purchase, &order.terms) => {
            Err(Declined::new("OPENID_MISMATCH", "支付者与下单的openid不一致"))
        }
        _ => Ok(order),
    }
}

fn open_alipay(
    order: Order,
    terms: &Terms,
    purchase: &Purchase,
    now: Millis,
) -> Result<Order, Declined> {
    let order = alipay::open_for(order, terms)?;
    if order.state == State::Unpaid {
        if is_another(purchase, &order.terms) {
            return Err(Declined::new("ACQ.TRADE_BUYER_NOT_MATCH", "交易买家不匹配"));
        }
        return Ok(order);
    }
    if terms.expires <= now {
        let code = "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR";
        return Err(Declined::new(code, "已超过订单允许的支付截止时间"));
    }
    let buyer = purchase.payer.clone().unwrap_or_else(|| some_buyer(ProviderId::Alipay));
    Ok(alipay::traded(order, Terms { buyer: Some(buyer), ..terms.clone() }, now))
}

fn paid(providers: &Providers, order: Order, purchase: &Purchase, now: Millis) -> Order {
    let transaction_id = match &order.transaction_id {
        Some(id) => id.clone(),
        None => numbers::transaction_id(now),
    };
    let own = order.terms.buyer.clone();
    let payer = purchase.payer.clone().or(own);
    let wrong = |it: &FaultKind| matches!(it, FaultKind::WrongAmount);
    let wrong = providers.faults().take_of_payment(order.provider, wrong);
    let more = wrong.and_then(|_| Fen::new(order.terms.amount.fen().saturating_add(1)));
    let notice = notifier::notice(providers, &order, now);
    let payment = Payment {
        transaction_id: transaction_id.clone(),
        amount: more.unwrap_or(order.terms.amount),
        payer: payer.unwrap_or_else(|| some_buyer(order.provider)),
        paid_at: now.floor_to_second(),
        notice,
        refunds: Vec::new(),
    };
    let transaction_id = Some(transaction_id);
    let payments = vec![payment];
    Order { state: State::Paid, transaction_id, paying_until: None, payments, ..order }
}

/// Whether somebody else than the order's only buyer is paying.
fn is_another(purchase: &Purchase, terms: &Terms) -> bool {
    match (&purchase.payer, &terms.buyer) {
        (Some(payer), Some(buyer)) => payer != buyer,
        _ => false,
    }
}

fn some_buyer(provider: ProviderId) -> String {
    match provider {
        ProviderId::Wxpay => "oMockBuyer000000000000000001".to_owned(),
        ProviderId::Alipay => "2088000000000999".to_owned(),
    }
}

fn unknown() -> Declined {
    Declined::new("ORDER_NOT_EXIST", "no such order or code here")
}
