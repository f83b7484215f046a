//! The pages behind the addresses that a merchant signs: `alipay.trade.wap.pay`,
//! `alipay.trade.page.pay`.

use http::StatusCode;
use serde_json::Value;

use super::request::{AlipayApiError, AlipayRequest};
use super::{trade, validate};
use crate::mock::page::{BrowserPage, PageMessage};
use crate::mock::world::World;
use crate::mock::world::order::State;

/// Leads to the cashier, also of an order that has ended. It creates no trade: the cashier does.
pub(super) fn page(
    world: &World,
    request: &AlipayRequest,
    checked: Result<Value, AlipayApiError>,
) -> BrowserPage {
    let is_payable = checked.and_then(|content| {
        let (number, terms) = validate::order(request, &content, world.now())?;
        let known = world.find(&trade::account(&request.merchant()), &number);
        let unpaid = known.filter(|order| order.state == State::Unpaid);
        unpaid.map_or(Ok(()), |order| trade::check_payable(order, &terms).map(drop))
    });
    match is_payable {
        Ok(()) => BrowserPage::Order(request.query()),
        Err(error) => refusal(&error),
    }
}

/// The refusal in words: a person is in front of the browser.
pub(super) fn refusal(error: &AlipayApiError) -> BrowserPage {
    let AlipayApiError { sub_code, sub_msg, .. } = error;
    let text = match sub_code.as_str() {
        "isv.missing-method" => [
            "这个地址是支付宝网关的接口，不带参数时没有可付的订单。请打开商户给出的完整支付链接。",
            "This address is the interface of Alipay's gateway. Without parameters there is no \
             order to pay: open the whole pay link that the shop gave.",
        ],
        "isv.invalid-signature" | "isv.missing-signature" => [
            "签名与参数不符：链接被截断或改动过，或者不是用模拟商户的密钥签的。",
            "The signature does not fit the parameters: the link was cut off or changed, or \
             another key than the simulated merchant's signed it.",
        ],
        "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR" => [
            "订单已过支付截止时间，请回到商户重新下单。",
            "The time to pay is over: order again at the shop.",
        ],
        "ACQ.CONTEXT_INCONSISTENT" => [
            "买家已打开过这个订单号的另一笔交易，金额或内容不同。",
            "A buyer has opened this order number with another amount or content before.",
        ],
        _ => [
            "支付宝拒绝了这个请求，原因见下。",
            "Alipay refuses this request for the reason below.",
        ],
    };
    BrowserPage::Message(PageMessage {
        status: StatusCode::BAD_REQUEST,
        title: ["无法打开支付页", "No payment to open"],
        text,
        detail: format!("{sub_code} {sub_msg}"),
    })
}
