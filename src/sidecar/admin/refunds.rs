//! The operations that send money back, ask where it is, and end an order.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use serde::Serialize;

use super::AdminParts;
use crate::engine::{Refunded, Refunds};
use crate::error::Error;
use crate::guard::{RefundQuery, body, read_close, read_query_refund, read_refund};
use crate::reply::Reply;

impl AdminParts {
    pub(in crate::sidecar) async fn refund<B: Body>(
        &self,
        request: Request<B>,
        reply: &Reply<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let wanted = read_refund(&self.read(request).await?)?;
        let refunded = self.engine.refund(wanted).await?;
        Ok(reply.done(&One { code: 0, refund: Returned::of(&refunded) }))
    }

    pub(in crate::sidecar) async fn query_refund<B: Body>(
        &self,
        request: Request<B>,
        reply: &Reply<'_>,
    ) -> Result<Response<Bytes>, Error> {
        match read_query_refund(&self.read(request).await?)? {
            RefundQuery::OutRefundNo(number) => {
                let refunded = self.engine.query_refund(&number).await?;
                Ok(reply.done(&One { code: 0, refund: Returned::of(&refunded) }))
            }
            RefundQuery::OutTradeNo(out_trade_no) => {
                let refunds = self.engine.query_refunds(&out_trade_no).await?;
                Ok(reply.done(&All::of(&refunds)))
            }
        }
    }

    pub(in crate::sidecar) async fn close_payment<B: Body>(
        &self,
        request: Request<B>,
        reply: &Reply<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let out_trade_no = read_close(&self.read(request).await?)?;
        self.engine.close(&out_trade_no).await?;
        Ok(reply.done(&Closed { code: 0, out_trade_no: out_trade_no.as_str(), status: -1 }))
    }

    /// The body of an operation.
    pub(in crate::sidecar) async fn read<B: Body>(
        &self,
        request: Request<B>,
    ) -> Result<Bytes, Error> {
        let (parts, body) = request.into_parts();
        body::read_json(&parts.headers, body, self.body_bytes_max).await
    }
}

#[derive(Serialize)]
struct One<'a> {
    code: u16,
    #[serde(flatten)]
    refund: Returned<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct All<'a> {
    code: u16,
    refund_list: Vec<Returned<'a>>,
    refund_fee: u64,
    /// Something went back that nobody here knows the amount of.
    #[serde(rename = "refund_unknown", skip_serializing_if = "is_known")]
    refund_unknown: bool,
}

impl All<'_> {
    fn of(refunds: &Refunds) -> All<'_> {
        All {
            code: 0,
            refund_list: refunds.refunds.iter().map(Returned::of).collect(),
            refund_fee: refunds.refund_fee,
            refund_unknown: refunds.refund_unknown,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_known(refund_unknown: &bool) -> bool {
    !*refund_unknown
}

/// A refund in vk-uni-pay's words.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Returned<'a> {
    out_trade_no: &'a str,
    transaction_id: &'a str,
    out_refund_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_id: Option<&'a str>,
    refund_fee: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cash_refund_fee: Option<u64>,
    refund_status: &'static str,
}

impl Returned<'_> {
    fn of(refunded: &Refunded) -> Returned<'_> {
        let refund = &refunded.refund;
        Returned {
            out_trade_no: refunded.out_trade_no.as_str(),
            transaction_id: &refunded.transaction_id.0,
            out_refund_no: &refund.out_refund_no,
            refund_id: refund.refund_id.as_deref(),
            refund_fee: refund.refund_fee.fen(),
            cash_refund_fee: refund.cash_refund_fee.map(|it| it.fen()),
            refund_status: refund.state.name(),
        }
    }
}

#[derive(Serialize)]
struct Closed<'a> {
    code: u16,
    out_trade_no: &'a str,
    status: i8,
}
