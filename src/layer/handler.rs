//! One payment request, from HTTP in to HTTP out, in the order of the checks.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;

use super::cors::Origins;
use crate::caller::{self, CallerContext, CallerRules, ClientClaims, ClientInfo};
use crate::domain::request::{CreateRequest, NeedQrcode};
use crate::engine::Engine;
use crate::error::{Error, Kind};
use crate::guard::{ClientRequest, Guard, Operation, Route};
use crate::pricing::{self, Authority, Pricing, Question};
use crate::reply::{self, Language, Reply};

use super::qrcode;

/// How to find the peer's address in a request.
pub(super) type FindPeer = Arc<dyn Fn(&Parts) -> Option<SocketAddr> + Send + Sync>;

/// Everything that stands between HTTP and the engine.
#[derive(Clone)]
pub(super) struct Edge {
    pub(super) engine: Engine,
    pub(super) pricing: Pricing,
    pub(super) guard: Guard,
    pub(super) rules: CallerRules,
    pub(super) origins: Origins,
    pub(super) peer_addr: Option<FindPeer>,
    pub(super) inject_context: bool,
}

impl Edge {
    /// A request that is not ours, on its way to the inner service.
    pub(super) fn pass<B>(&self, request: Request<B>) -> Request<B> {
        if !self.inject_context {
            return request;
        }
        let (mut parts, body) = request.into_parts();
        let peer = self.peer(&parts);
        let context = caller::observe(&parts.headers, peer, &self.rules.trusted);
        parts.extensions.insert(context);
        Request::from_parts(parts, body)
    }

    /// The answer to a payment operation.
    pub(super) async fn answer<B>(&self, route: Route, request: Request<B>) -> Response<Bytes>
    where
        B: Body,
    {
        let (mut parts, body) = request.into_parts();
        let request_id = caller::request_id(&parts.headers);
        if let Ok(value) = request_id.parse() {
            // The context reads it back, so that the answer and the records name the same.
            parts.headers.insert(reply::REQUEST_ID, value);
        }
        let reply = Reply {
            request_id: &request_id,
            language: Language::preferred(&parts.headers),
            mock: self.engine.is_simulated(),
        };
        let origin = self.origins.listed(&parts.headers);
        let mut answer = if self.origins.is_preflight(&parts.method, &parts.headers) {
            let mut answer = reply.empty();
            self.origins.preflight(answer.headers_mut());
            answer
        } else {
            let done = self.operate(route, &parts, body, &reply).await;
            done.unwrap_or_else(|error| reply.refusal(&error))
        };
        self.origins.allow(origin, answer.headers_mut());
        answer
    }

    async fn operate<B: Body>(
        &self,
        route: Route,
        parts: &Parts,
        body: B,
        reply: &Reply<'_>,
    ) -> Result<Response<Bytes>, Error> {
        match route {
            Route::Pass | Route::Refuse => Err(Error::new(Kind::NotFound)),
            Route::Operation(Operation::CreatePayment) => self.create(parts, body, reply).await,
            Route::Operation(Operation::QueryPayment) => self.query(parts, body, reply).await,
            Route::Operation(Operation::Notify { provider, merchant, .. }) => {
                let taken = match self.guard.notification(parts, body).await {
                    Ok(bytes) => {
                        self.engine.notify(provider, &merchant, &parts.headers, bytes).await
                    }
                    Err(refused) => Err(refused),
                };
                Ok(match taken {
                    Ok(()) => reply.acknowledged(provider),
                    Err(error) => reply.not_acknowledged(provider, &error),
                })
            }
        }
    }

    /// Guard, pricing, context, engine: in this order.
    async fn create<B: Body>(
        &self,
        parts: &Parts,
        body: B,
        reply: &Reply<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let request = self.priced(parts, body).await?;
        let caller = self.caller(parts, &request.claims, request.is_pc)?;
        let out_trade_no = request.terms.out_trade_no.clone();
        let (provider, platform) = (request.provider, caller.platform);
        let need_qrcode = request.need_qrcode;
        let created = self.engine.create(request, caller).await?;
        let code_url = created.code_url.as_deref();
        let image = code_url.filter(|_| need_qrcode == NeedQrcode::Image);
        let image = image.and_then(qrcode::data_uri);
        Ok(reply.created(&reply::Created {
            order_info: &created.order_info,
            out_trade_no: &out_trade_no,
            provider,
            pay_type: created.pay_type,
            // What was asked for: by this vk-uni-pay's component shows a code or opens the app.
            need_qrcode: need_qrcode != NeedQrcode::No,
            qrcode_image: image.as_deref(),
            total_fee: created.total_fee,
            platform,
            replayed: created.replayed,
        }))
    }

    /// The whole request, of a caller who may ask, at the price of whoever sets it. This goes
    /// before anything that knows orders, so that a stranger learns of none.
    async fn priced<B: Body>(&self, parts: &Parts, body: B) -> Result<CreateRequest, Error> {
        match self.pricing.authority() {
            Authority::Caller(access) => {
                let request = self.guard.create(parts, body).await?;
                access.admit(&parts.headers, self.peer(parts))?;
                Ok(request)
            }
            Authority::Quote(key) => {
                let client = self.guard.client(parts, body).await?;
                let quote = client.quote.as_deref();
                let price = key.price(quote, &client.out_trade_no, self.engine.now())?;
                client.priced(&price)
            }
            Authority::Callback(ask) => {
                let client = self.guard.client(parts, body).await?;
                let price = ask.price(self.question(parts, &client)?).await?;
                client.priced(&price)
            }
        }
    }

    fn question(&self, parts: &Parts, client: &ClientRequest) -> Result<Question, Error> {
        let (authorization, cookie) = pricing::credentials(&parts.headers)?;
        let (provider, need_qrcode) = (client.provider, client.need_qrcode);
        Ok(Question {
            operation: pricing::Operation::CreatePayment { provider, need_qrcode },
            out_trade_no: client.out_trade_no.clone(),
            data: client.data.clone(),
            context: self.caller(parts, &client.claims, client.is_pc)?,
            authorization,
            cookie,
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
        self.peer_addr.as_ref().and_then(|find| find(parts)).map(|it| it.ip())
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("engine", &self.engine)
            .field("pricing", &self.pricing)
            .field("guard", &self.guard)
            .field("rules", &self.rules)
            .field("origins", &self.origins)
            .field("inject_context", &self.inject_context)
            .finish_non_exhaustive()
    }
}
