//! `queryPayment`: checks that the caller may query the order, and queries it.

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body::Body;
use serde::Serialize;

use super::handler::PaymentHandler;
use crate::caller::ClientClaims;
use crate::domain::ids::{OrderNumber, OutTradeNo, TransactionId};
use crate::domain::json::RawJson;
use crate::engine::{Queried, Query};
use crate::error::{Error, Kind};
use crate::guard::QueryRequest;
use crate::pricing::{self, PriceCallback, PriceOperation, PriceQuery, PriceSource, QuoteKey};
use crate::reply::{OrderView, ReplyWriter};

impl PaymentHandler {
    /// Token, guard, pricing, engine: in this order.
    pub(super) async fn query<B: Body>(
        &self,
        parts: &Parts,
        body: B,
        reply: &ReplyWriter<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let _operation = self.engine.begin_operation()?;
        let read = self.read_permitted_query(parts, body);
        let query = self.engine.until_cut_off(read).await?;
        let queried = self.engine.query(query).await?;
        Ok(reply.order(&OrderView {
            order: &queried.order,
            user_order_success: queried.user_order_success,
            trade_state: queried.trade_state.as_deref(),
            pay_order: None,
        }))
    }

    async fn read_permitted_query<B: Body>(&self, parts: &Parts, body: B) -> Result<Query, Error> {
        self.guard.check_method(&parts.method)?;
        self.authorize(parts)?;
        let request = self.guard.query(parts, body).await?;
        let number = match self.pricing.source() {
            PriceSource::Caller(_) => request.number,
            PriceSource::Quote(key) => {
                OrderNumber::OutTradeNo(self.quoted_order(key, &request).await?)
            }
            PriceSource::Callback(callback) => {
                OrderNumber::OutTradeNo(self.permitted_order(callback, parts, &request).await?)
            }
        };
        Ok(Query { number, await_accepted: request.await_accepted })
    }

    /// The order of the request's quote, if it is the requested one. The engine looks up the number
    /// that the shop signed, so that another buyer's order and an unknown one get the same answer.
    async fn quoted_order(
        &self,
        key: &QuoteKey,
        request: &QueryRequest,
    ) -> Result<OutTradeNo, Error> {
        let number = key.order(request.quote.as_deref(), self.engine.now())?;
        match &request.number {
            OrderNumber::OutTradeNo(requested) if *requested != number => {
                Err(QuoteKey::other_order())
            }
            OrderNumber::OutTradeNo(_) => Ok(number),
            OrderNumber::TransactionId(id) => {
                let own = self.query_engine(OrderNumber::OutTradeNo(number.clone())).await?;
                let is_its = own.order.payments.iter().any(|payment| payment.transaction_id == *id);
                if is_its { Ok(number) } else { Err(Error::new(Kind::NoSuchOrder)) }
            }
        }
    }

    /// The requested order, if the shop permits this client to query it. The shop knows orders by
    /// its own number; a client with only the provider's number cannot find out the order's.
    async fn permitted_order(
        &self,
        callback: &PriceCallback,
        parts: &Parts,
        request: &QueryRequest,
    ) -> Result<OutTradeNo, Error> {
        let (number, transaction_id) = match &request.number {
            OrderNumber::OutTradeNo(number) => (number.clone(), None),
            OrderNumber::TransactionId(id) => {
                let found = self.query_engine(OrderNumber::TransactionId(id.clone())).await?;
                (found.order.out_trade_no().clone(), Some(id))
            }
        };
        let query = self.price_query_for_order(callback, parts, &number, transaction_id)?;
        match callback.may_query(query, self.engine.now()).await {
            Err(error) if transaction_id.is_some() && error.kind() == Kind::ShopRefused => {
                Err(Error::new(Kind::NoSuchOrder))
            }
            answer => answer.map(|()| number),
        }
    }

    async fn query_engine(&self, number: OrderNumber) -> Result<Queried, Error> {
        self.engine.query(Query { number, await_accepted: None }).await
    }

    fn price_query_for_order(
        &self,
        callback: &PriceCallback,
        parts: &Parts,
        number: &OutTradeNo,
        transaction_id: Option<&TransactionId>,
    ) -> Result<PriceQuery, Error> {
        let (authorization, cookie) = pricing::credentials(&parts.headers)?;
        let transaction_id = transaction_id.map(|id| &*id.0);
        let data = OrderNumbersBody { out_trade_no: number.as_str(), transaction_id };
        let data = serde_json::to_string(&data).expect("two texts are JSON");
        Ok(PriceQuery {
            operation: PriceOperation::QueryPayment,
            out_trade_no: number.clone(),
            data: RawJson::parse(&data).expect("two texts are JSON"),
            context: self.caller(parts, &ClientClaims::default(), None)?,
            authorization,
            cookie,
            headers: callback.named_headers(&parts.headers),
            extensions: parts.extensions.clone(),
        })
    }
}

/// `data` of the price query.
#[derive(Serialize)]
struct OrderNumbersBody<'a> {
    out_trade_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<&'a str>,
}
