//! The admin operations that refund a payment, query a refund, and close an order.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;

use super::AdminParts;
use crate::domain::money::Fen;
use crate::engine::Refunded;
use crate::error::Error;
use crate::guard::{RefundQuery, body, read_close, read_query_refund, read_refund};
use crate::reply::ReplyWriter;
use crate::reply::admin::{ClosedBody, RefundBody, RefundListBody, RefundReplyBody};

impl AdminParts {
    pub(in crate::sidecar) async fn refund<B: Body>(
        &self,
        request: Request<B>,
        reply: &ReplyWriter<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let refund_request = read_refund(&self.read(request).await?)?;
        let out_trade_no = refund_request.out_trade_no.as_str();
        let out_refund_no = refund_request.out_refund_no.as_deref();
        let refund_fee = refund_request.refund_fee.map(Fen::fen);
        tracing::info!(out_trade_no, out_refund_no, refund_fee, "an operator requests a refund");
        let refunded = self.engine.get()?.refund(refund_request).await?;
        Ok(reply.ok(&RefundReplyBody { code: 0, refund: refund_body(&refunded) }))
    }

    pub(in crate::sidecar) async fn query_refund<B: Body>(
        &self,
        request: Request<B>,
        reply: &ReplyWriter<'_>,
    ) -> Result<Response<Bytes>, Error> {
        match read_query_refund(&self.read(request).await?)? {
            RefundQuery::OutRefundNo(number) => {
                let refunded = self.engine.get()?.query_refund(&number).await?;
                Ok(reply.ok(&RefundReplyBody { code: 0, refund: refund_body(&refunded) }))
            }
            RefundQuery::OutTradeNo(out_trade_no) => {
                let refunds = self.engine.get()?.query_refunds(&out_trade_no).await?;
                Ok(reply.ok(&RefundListBody {
                    code: 0,
                    refund_list: refunds.refunds.iter().map(refund_body).collect(),
                    refund_fee: refunds.refund_fee,
                    refund_unknown: refunds.refund_unknown,
                }))
            }
        }
    }

    pub(in crate::sidecar) async fn close_payment<B: Body>(
        &self,
        request: Request<B>,
        reply: &ReplyWriter<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let out_trade_no = read_close(&self.read(request).await?)?;
        tracing::info!(%out_trade_no, "an operator closes an order");
        self.engine.get()?.close(&out_trade_no).await?;
        let out_trade_no = out_trade_no.as_str();
        Ok(reply.ok(&ClosedBody { code: 0, out_trade_no, status: -1 }))
    }

    /// Reads the body of an operation.
    pub(in crate::sidecar) async fn read<B: Body>(
        &self,
        request: Request<B>,
    ) -> Result<Bytes, Error> {
        let (parts, body) = request.into_parts();
        body::read_json(&parts.headers, body, self.body_bytes_max).await
    }
}

fn refund_body(refunded: &Refunded) -> RefundBody<'_> {
    RefundBody::new(&refunded.out_trade_no, &refunded.transaction_id, &refunded.refund)
}
