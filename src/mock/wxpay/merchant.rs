//! The merchant that a call is for: a direct merchant, or a partner's sub-merchant.

use bytes::Bytes;
use http::Request;
use serde_json::Value;

use super::responses::WxpayApiError;
use super::route::MerchantRole;
use super::validate::text;
use crate::domain::channel::ProviderId;
use crate::mock::keys;
use crate::mock::page::parameter;
use crate::mock::world::order::MerchantAccount;

/// The account of `merchant` at WeChat Pay.
pub(super) fn account(merchant: &str) -> MerchantAccount<'_> {
    MerchantAccount { provider: ProviderId::Wxpay, id: merchant }
}

/// The merchant, or its sub-merchant `sub_mch_id`: `mchid`, `sp_mchid/sub_mchid`.
pub(super) fn of_sub(sub_mch_id: Option<&str>) -> String {
    match sub_mch_id {
        None => keys::MCH_ID.to_owned(),
        Some(sub_mch_id) => format!("{}/{sub_mch_id}", keys::MCH_ID),
    }
}

/// The merchant that a body names.
pub(super) fn of_body(body: &Value, role: MerchantRole) -> String {
    match role {
        MerchantRole::Direct => of_sub(None),
        MerchantRole::Partner => of_sub(Some(text(body, "/sub_mchid").unwrap_or_default())),
    }
}

/// The merchant that a query names in its parameters.
pub(super) fn of_query(
    request: &Request<Bytes>,
    role: MerchantRole,
) -> Result<String, WxpayApiError> {
    let (own, sub) = match role {
        MerchantRole::Direct => ("mchid", None),
        MerchantRole::Partner => ("sp_mchid", Some("sub_mchid")),
    };
    if parameter(request, own).as_deref() != Some(keys::MCH_ID) {
        let issue = "differs from the Authorization's";
        return Err(WxpayApiError::parameter(own, &Value::Null, issue));
    }
    match sub {
        None => Ok(of_sub(None)),
        Some(sub) => match parameter(request, sub) {
            Some(sub_mch_id) => Ok(of_sub(Some(&sub_mch_id))),
            None => Err(WxpayApiError::parameter(sub, &Value::Null, "is required")),
        },
    }
}
