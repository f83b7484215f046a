//! Leads a request to the simulated provider that it calls, and spoils the call on demand.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use super::buyer::{self, BuyerAction};
use super::http::control;
use super::page::{self, BrowserPage, PageMessage};
use super::provider::{RefusalReason, SimulatedProvider};
use super::purchase::{PayWith, SimulatedPurchase};
use super::reply::{self, UnsignedReply};
use super::world::World;
use super::world::faults::{FaultKind, ProviderOperation};
use super::{cashier, providers};

/// What the caller of a simulated provider gets.
#[derive(Debug)]
pub(super) enum CallOutcome {
    /// A response, after a delay.
    Response(Response<Bytes>, Duration),
    /// The connection ends without a response.
    Hangup,
    /// The connection is reset.
    Reset,
}

/// Executes `request` and answers it, unless a fault prevents either. Every response carries the
/// clock's time as its `Date`.
pub(super) fn answer(world: &World, request: &Request<Bytes>) -> CallOutcome {
    match call(world, request) {
        CallOutcome::Response(mut response, delay) => {
            reply::set_date(&mut response, world.clock_time());
            CallOutcome::Response(response, delay)
        }
        lost @ (CallOutcome::Hangup | CallOutcome::Reset) => lost,
    }
}

/// Executes the delayed requests that have arrived by now. Nobody waits for the replies.
pub(super) fn execute_late_requests(world: &World) {
    for request in world.take_late_requests() {
        if let Some((provider, _)) = find_provider(&request) {
            provider.act(world, &request);
        }
    }
}

fn call(world: &World, request: &Request<Bytes>) -> CallOutcome {
    execute_late_requests(world);
    if let Some(response) = own_page(world, request) {
        return CallOutcome::Response(response, Duration::ZERO);
    }
    let Some((provider, operation)) = find_provider(request) else {
        return CallOutcome::Response(no_such_interface(request), Duration::ZERO);
    };
    world.count_call(provider.id(), operation);
    let fault = world.faults().take(provider.id(), operation);
    let reply = match &fault {
        Some(FaultKind::LoseRequest) => return CallOutcome::Hangup,
        Some(FaultKind::Reset) => return CallOutcome::Reset,
        Some(FaultKind::Late { ms }) => {
            world.delay_request(request.clone(), *ms);
            return CallOutcome::Hangup;
        }
        Some(FaultKind::Refuse(refuse)) => {
            provider.refuse(request, RefusalReason::Requested(refuse))
        }
        Some(FaultKind::NotEnough) => provider.refuse(request, RefusalReason::InsufficientBalance),
        Some(FaultKind::TooSoon) => provider.refuse(request, RefusalReason::RefundTooSoon),
        Some(FaultKind::PayFirst) => {
            pay_order_of(world, provider, request);
            provider.act(world, request)
        }
        Some(FaultKind::PayBeforeReply { .. }) => {
            let reply = provider.act(world, request);
            pay_order_of(world, provider, request);
            reply
        }
        _ => provider.act(world, request),
    };
    respond(world, reply.as_ref(), fault.as_ref())
}

fn respond(world: &World, reply: &dyn UnsignedReply, fault: Option<&FaultKind>) -> CallOutcome {
    match fault {
        Some(FaultKind::LoseReply) => CallOutcome::Hangup,
        Some(FaultKind::Status500) => CallOutcome::Response(reply::status_500(), Duration::ZERO),
        fault => {
            let delay = fault.map_or(Duration::ZERO, FaultKind::delay);
            CallOutcome::Response(reply.sign(fault, world.clock_time()), delay)
        }
    }
}

/// The response where `request` asks for the mock's own operations or pages.
fn own_page(world: &World, request: &Request<Bytes>) -> Option<Response<Bytes>> {
    let path = request.uri().path();
    match path.strip_prefix("/_mock/") {
        Some(operation) => Some(control::answer(world, request, operation)),
        None => cashier::page(request.method(), request.uri()).map(|page| page.response()),
    }
}

fn find_provider(
    request: &Request<Bytes>,
) -> Option<(&'static dyn SimulatedProvider, ProviderOperation)> {
    let mut providers = providers::ALL.into_iter();
    providers.find_map(|provider| Some((provider, provider.operation(request)?)))
}

/// WeChat Pay V3 answers both without a body. A person gets a page in words.
fn no_such_interface(request: &Request<Bytes>) -> Response<Bytes> {
    let path = request.uri().path();
    if page::is_for_browser(request) {
        let message = PageMessage {
            status: StatusCode::NOT_FOUND,
            title: ["没有这个页面", "No such page"],
            text: [
                "模拟的微信支付和支付宝没有这个地址。支付链接请整条粘贴到收银台。",
                "The simulated WeChat Pay and Alipay have no such address. Paste a whole pay link \
                 into the cashier.",
            ],
            detail: path.to_owned(),
        };
        return BrowserPage::Message(message).response();
    }
    match providers::ALL.iter().any(|provider| provider.has_path(path)) {
        true => reply::empty(StatusCode::METHOD_NOT_ALLOWED),
        false => reply::empty(StatusCode::NOT_FOUND),
    }
}

/// Lets a buyer pay the order that `request` names, if there is one that can be paid.
fn pay_order_of(world: &World, provider: &dyn SimulatedProvider, request: &Request<Bytes>) {
    let Some(number) = provider.order_number(request) else { return };
    let with = PayWith::OutTradeNo(number);
    let purchase = SimulatedPurchase { provider: provider.id(), with, payer: None };
    if let Err(refused) = buyer::perform(world, &purchase, BuyerAction::Pay) {
        tracing::debug!(refused.code, "the provider refused the payment that a fault demands");
    }
}
