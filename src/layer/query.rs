//! `queryPayment`: who may ask for an order, and by which of its numbers.

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body::Body;
use serde::Serialize;
use serde_json::value::RawValue;

use super::handler::Edge;
use crate::caller::ClientClaims;
use crate::domain::ids::{OutTradeNo, TransactionId};
use crate::domain::json::RawJson;
use crate::domain::order::payment::PaymentRole;
use crate::engine::{OrderNumber, Queried, Query};
use crate::error::{Error, Kind, Text};
use crate::guard::{AskedBy, QueryRequest};
use crate::pricing::{self, Ask, Authority, Question, QuoteKey};
use crate::reply::{Known, Reply};

impl Edge {
    /// Guard, pricing, engine: in this order.
    pub(super) async fn query<B: Body>(
        &self,
        parts: &Parts,
        body: B,
        reply: &Reply<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let request = self.guard.query(parts, body).await?;
        let number = match self.pricing.authority() {
            Authority::Caller(access) => {
                access.admit(&parts.headers, self.peer(parts))?;
                order_number(request.number)
            }
            Authority::Quote(key) => OrderNumber::OutTradeNo(self.quoted(key, &request).await?),
            Authority::Callback(ask) => {
                OrderNumber::OutTradeNo(self.allowed(ask, parts, &request).await?)
            }
        };
        let await_accepted = request.await_accepted;
        let queried = self.engine.query(Query { number, await_accepted }).await?;
        Ok(reply.known(&known(&queried, None)))
    }

    /// The order of the request's quote, if it is the one that is asked for. It is looked up by
    /// the number that the shop signed, so that an order of somebody else and none at all take
    /// the same way.
    async fn quoted(&self, key: &QuoteKey, request: &QueryRequest) -> Result<OutTradeNo, Error> {
        let number = key.order(request.quote.as_deref(), self.engine.now())?;
        match &request.number {
            AskedBy::OutTradeNo(asked) if *asked != number => {
                Err(Error::new(Kind::CallerNotAllowed)
                    .text(Text::new("报价quote属于其他订单", "the quote is for another order")))
            }
            AskedBy::OutTradeNo(_) => Ok(number),
            AskedBy::TransactionId(id) => {
                let own = self.find(OrderNumber::OutTradeNo(number.clone())).await?;
                let is_its = own.order.payments.iter().any(|it| it.transaction_id == *id);
                if is_its { Ok(number) } else { Err(Error::new(Kind::NoSuchOrder)) }
            }
        }
    }

    /// The order that is asked for, if the shop lets this client ask. The shop knows orders by
    /// its own number; who has only the provider's does not learn whose it is.
    async fn allowed(
        &self,
        ask: &Ask,
        parts: &Parts,
        request: &QueryRequest,
    ) -> Result<OutTradeNo, Error> {
        let (number, transaction_id) = match &request.number {
            AskedBy::OutTradeNo(number) => (number.clone(), None),
            AskedBy::TransactionId(id) => {
                let found = self.find(OrderNumber::TransactionId(id.clone())).await?;
                (found.order.out_trade_no().clone(), Some(id))
            }
        };
        let question = self.query_question(parts, &number, transaction_id)?;
        match ask.allows(question, self.engine.now()).await {
            Err(error) if transaction_id.is_some() && error.kind() == Kind::ShopRefused => {
                Err(Error::new(Kind::NoSuchOrder))
            }
            answer => answer.map(|()| number),
        }
    }

    async fn find(&self, number: OrderNumber) -> Result<Queried, Error> {
        self.engine.query(Query { number, await_accepted: None }).await
    }

    fn query_question(
        &self,
        parts: &Parts,
        number: &OutTradeNo,
        transaction_id: Option<&TransactionId>,
    ) -> Result<Question, Error> {
        let (authorization, cookie) = pricing::credentials(&parts.headers)?;
        let transaction_id = transaction_id.map(|it| &*it.0);
        let data = Named { out_trade_no: number.as_str(), transaction_id };
        let data = serde_json::to_string(&data).expect("two texts are JSON");
        Ok(Question {
            operation: pricing::Operation::QueryPayment,
            out_trade_no: number.clone(),
            data: RawJson::parse(&data).expect("two texts are JSON"),
            context: self.caller(parts, &ClientClaims::default(), None)?,
            authorization,
            cookie,
        })
    }
}

/// `data` of the question to the shop.
#[derive(Serialize)]
struct Named<'a> {
    out_trade_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<&'a str>,
}

/// The engine's word for the number that is asked for.
pub(crate) fn order_number(number: AskedBy) -> OrderNumber {
    match number {
        AskedBy::OutTradeNo(out_trade_no) => OrderNumber::OutTradeNo(out_trade_no),
        AskedBy::TransactionId(id) => OrderNumber::TransactionId(id),
    }
}

/// What is told of an order, with `pay_order` where its own record is.
pub(crate) fn known<'a>(queried: &'a Queried, pay_order: Option<&'a RawValue>) -> Known<'a> {
    let order = &queried.order;
    let winning = order.payments.iter().find(|it| it.role == PaymentRole::Winning);
    Known {
        out_trade_no: order.out_trade_no(),
        status: order.status,
        transaction_id: winning.map(|it| &it.transaction_id),
        user_order_success: queried.user_order_success,
        trade_state: queried.trade_state.as_deref(),
        pay_order,
    }
}
