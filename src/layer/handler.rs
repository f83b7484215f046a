//! Handles one payment request, from HTTP in to HTTP out, in the order of the checks.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use tracing::{Instrument as _, Span};

use super::cors::Origins;
use crate::caller::{self, CallerContext, CallerRules, ClientClaims, ClientInfo};
use crate::clock::throttled_count::ThrottledCount;
use crate::domain::channel::ProviderId;
use crate::domain::ids::Pid;
use crate::domain::request::{CreateRequest, NeedQrcode};
use crate::engine::Engine;
use crate::error::{Error, Kind, Text};
use crate::guard::request_head::{check_host, check_transfer_coding};
use crate::guard::{ClientRequest, Guard, PaymentOperation, RouteDecision};
use crate::pricing::{self, PriceCallback, PriceOperation, PriceQuery, PriceSource, Pricing};
use crate::reply::{self, Language, ReplyWriter};

use super::qrcode;

/// Finds the peer's address in a request.
pub(super) type FindPeer = Arc<dyn Fn(&Parts) -> Option<SocketAddr> + Send + Sync>;

/// Handles payment requests between HTTP and the engine.
#[derive(Clone)]
pub(super) struct PaymentHandler {
    pub(super) engine: Engine,
    pub(super) pricing: Pricing,
    pub(super) guard: Guard,
    pub(super) rules: CallerRules,
    pub(super) origins: Origins,
    pub(super) peer_addr: Option<FindPeer>,
    pub(super) inject_context: bool,
    pub(super) rejected: Arc<ThrottledCount>,
}

/// The span of a request: every line about it names it.
fn request_span(route: &RouteDecision, request_id: &str) -> Span {
    let operation = match route {
        RouteDecision::Operation(operation) => Some(operation.name()),
        RouteDecision::PassThrough | RouteDecision::Refuse => None,
    };
    tracing::error_span!("request", requestId = request_id, operation)
}

impl PaymentHandler {
    /// Prepares a request that is not a payment operation for the inner service.
    pub(super) fn forward<B>(&self, request: Request<B>) -> Request<B> {
        if !self.inject_context {
            return request;
        }
        let (mut parts, body) = request.into_parts();
        let peer = self.peer(&parts);
        let context = caller::observe(&parts.headers, peer, &self.rules.trusted);
        parts.extensions.insert(context);
        Request::from_parts(parts, body)
    }

    /// Answers a payment operation, or a path that the guard refuses.
    pub(super) async fn answer<B>(
        &self,
        route: RouteDecision,
        request: Request<B>,
    ) -> Response<Bytes>
    where
        B: Body,
    {
        let (mut parts, body) = request.into_parts();
        let request_id = caller::request_id(&parts.headers);
        if let Ok(value) = request_id.parse() {
            // The caller's context reads it, so that the reply and the records have the same id.
            parts.headers.insert(reply::REQUEST_ID, value);
        }
        let reply = ReplyWriter {
            request_id: &request_id,
            language: Language::preferred(&parts.headers),
            mock: self.engine.is_simulated(),
        };
        let answer = match self.origins.preflight_answer(&parts, &reply) {
            Some(answer) => answer,
            None => {
                let span = request_span(&route, &request_id);
                self.dispatch(route, &parts, body, &reply).instrument(span).await
            }
        };
        self.origins.finish(&parts, answer)
    }

    async fn dispatch<B: Body>(
        &self,
        route: RouteDecision,
        parts: &Parts,
        body: B,
        reply: &ReplyWriter<'_>,
    ) -> Response<Bytes> {
        let done = self.try_dispatch(route, parts, body, reply).await;
        done.unwrap_or_else(|error| {
            let (code, reason) = (error.code(), error.texts().1);
            tracing::debug!(code, reason, "paygate refused a request");
            reply.refusal(&error)
        })
    }

    async fn try_dispatch<B: Body>(
        &self,
        route: RouteDecision,
        parts: &Parts,
        body: B,
        reply: &ReplyWriter<'_>,
    ) -> Result<Response<Bytes>, Error> {
        check_host(&parts.headers)?;
        check_transfer_coding(&parts.headers)?;
        match route {
            RouteDecision::PassThrough | RouteDecision::Refuse => Err(Error::new(Kind::NotFound)),
            RouteDecision::Operation(PaymentOperation::CreatePayment) => {
                self.create(parts, body, reply).await
            }
            RouteDecision::Operation(PaymentOperation::QueryPayment) => {
                self.query(parts, body, reply).await
            }
            RouteDecision::Operation(PaymentOperation::Notify { provider, merchant, .. }) => {
                Ok(match self.notify(provider, &merchant, parts, body).await {
                    Ok(()) => reply.acknowledged(provider),
                    Err(error) => reply.not_acknowledged(provider, &error),
                })
            }
        }
    }

    async fn notify<B: Body>(
        &self,
        provider: ProviderId,
        merchant: &Pid,
        parts: &Parts,
        body: B,
    ) -> Result<(), Error> {
        let _operation = self.engine.begin_operation()?;
        let read = self.guard.notification(parts, body);
        let bytes = self.engine.until_cut_off(read).await?;
        self.engine.notify(provider, merchant, &parts.headers, bytes).await
    }

    /// Token, guard, pricing, context, engine: in this order.
    async fn create<B: Body>(
        &self,
        parts: &Parts,
        body: B,
        reply: &ReplyWriter<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let _operation = self.engine.begin_operation()?;
        let read = self.read_priced_request(parts, body);
        let request = self.engine.until_cut_off(read).await?;
        let caller = self.caller(parts, &request.claims, request.is_pc)?;
        let out_trade_no = request.terms.out_trade_no.clone();
        let (provider, platform) = (request.provider, caller.platform);
        let need_qrcode = request.need_qrcode;
        let created = self.engine.create(request, caller).await;
        let created = created.map_err(|error| self.with_address_advice(error))?;
        let code_url = created.code_url.as_deref();
        let image = code_url.filter(|_| need_qrcode == NeedQrcode::Image);
        let image = image.and_then(qrcode::data_uri);
        Ok(reply.created(&reply::CreatedPayment {
            order_info: &created.order_info,
            out_trade_no: &out_trade_no,
            provider,
            pay_type: created.pay_type,
            // As the request has it: by this vk-uni-pay's component shows a code or opens the app.
            need_qrcode: need_qrcode != NeedQrcode::No,
            qrcode_image: image.as_deref(),
            total_fee: created.total_fee,
            platform,
            replayed: created.replayed,
        }))
    }

    /// The refusal of a buyer without a public address, with where the address comes from.
    fn with_address_advice(&self, error: Error) -> Error {
        if error.kind() != Kind::BuyerAddressUnknown {
            return error;
        }
        let (zh, en) = if self.rules.trusts_client_context {
            (
                "请由业务系统后端在 context.CLIENTIP 中传入",
                "the shop's backend sends it as context.CLIENTIP",
            )
        } else if self.peer_addr.is_none() {
            (
                "请在 PaymentLayer 上设置 peer_addr()",
                "the app sets peer_addr() on the PaymentLayer, which finds the peer's address",
            )
        } else {
            (
                "若在代理之后运行，请设置 PAYGATE_TRUSTED_PROXIES（Rust：PaymentLayer::trusted_proxies）",
                "behind a proxy, PAYGATE_TRUSTED_PROXIES must be set (in Rust, \
                 PaymentLayer::trusted_proxies)",
            )
        };
        let text = {
            let (own_zh, own_en) = error.texts();
            Text::new(format!("{own_zh}：{zh}"), format!("{own_en}: {en}"))
        };
        error.text(text)
    }

    /// Reads the whole request, with the price from its source. It refuses a caller before the
    /// engine sees the order, so that an unauthorised caller cannot find out which orders exist.
    async fn read_priced_request<B: Body>(
        &self,
        parts: &Parts,
        body: B,
    ) -> Result<CreateRequest, Error> {
        self.guard.check_method(&parts.method)?;
        self.authorize(parts)?;
        match self.pricing.source() {
            PriceSource::Caller(_) => self.guard.create(parts, body).await,
            PriceSource::Quote(key) => {
                let client = self.guard.client(parts, body).await?;
                let quote = client.quote.as_deref();
                let price = key.price(quote, &client.out_trade_no, self.engine.now())?;
                client.priced(&price)
            }
            PriceSource::Callback(callback) => {
                let client = self.guard.client(parts, body).await?;
                let price = callback.price(self.price_query(callback, parts, &client)?).await?;
                client.priced(&price)
            }
        }
    }

    /// Checks the right to ask that a request's headers give, before its body costs any work.
    pub(super) fn authorize(&self, parts: &Parts) -> Result<(), Error> {
        match self.pricing.source() {
            PriceSource::Caller(access) => {
                let from = self.peer(parts);
                access.authorize(&parts.headers, from).inspect_err(|_| {
                    if let Some(count) = self.rejected.count(self.engine.now()) {
                        let from = from.map(tracing::field::display);
                        tracing::warn!(count, from, "paygate refused callers without the right");
                    }
                })
            }
            PriceSource::Quote(_) | PriceSource::Callback(_) => Ok(()),
        }
    }

    fn price_query(
        &self,
        callback: &PriceCallback,
        parts: &Parts,
        client: &ClientRequest,
    ) -> Result<PriceQuery, Error> {
        let (authorization, cookie) = pricing::credentials(&parts.headers)?;
        let (provider, need_qrcode) = (client.provider, client.need_qrcode);
        Ok(PriceQuery {
            operation: PriceOperation::CreatePayment { provider, need_qrcode },
            out_trade_no: client.out_trade_no.clone(),
            data: client.data.clone(),
            context: self.caller(parts, &client.claims, client.is_pc)?,
            authorization,
            cookie,
            headers: callback.named_headers(&parts.headers),
            extensions: parts.extensions.clone(),
        })
    }

    pub(super) fn caller(
        &self,
        parts: &Parts,
        claims: &ClientClaims,
        is_pc: Option<bool>,
    ) -> Result<CallerContext, Error> {
        caller::resolve(&parts.headers, self.peer(parts), ClientInfo { claims, is_pc }, &self.rules)
    }

    pub(super) fn peer(&self, parts: &Parts) -> Option<IpAddr> {
        self.peer_addr.as_ref().and_then(|find| find(parts)).map(|socket| socket.ip())
    }
}

impl fmt::Debug for PaymentHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentHandler")
            .field("engine", &self.engine)
            .field("pricing", &self.pricing)
            .field("guard", &self.guard)
            .field("rules", &self.rules)
            .field("origins", &self.origins)
            .field("inject_context", &self.inject_context)
            .finish_non_exhaustive()
    }
}
