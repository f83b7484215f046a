//! Finds the merchant, the payment method and the buyer of a valid request.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::domain::caller::CallerContext;
use crate::domain::channel::PayType;
use crate::domain::ids::Pid;
use crate::domain::product::{PaymentMethod, Product};
use crate::domain::request::{CreateRequest, NeedQrcode};
use crate::engine::parts::EngineParts;
use crate::engine::progress::RequestKey;
use crate::error::{Code, Error, Kind, Text, Violation};
use crate::provider::Provider;

/// A request with its provider and its payment method, before paygate reads the store.
pub(super) struct Resolved {
    pub(super) request: CreateRequest,
    pub(super) caller: CallerContext,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) key: RequestKey,
}

impl EngineParts {
    /// Finds the merchant, the pay type and the buyer of a request.
    ///
    /// # Errors
    ///
    /// 4003 for an unknown merchant, 4004 for a pay type that is not possible here, 1006 without
    /// the `openid` that the pay type needs.
    pub(super) fn resolve(
        &self,
        request: CreateRequest,
        caller: CallerContext,
    ) -> Result<Resolved, Error> {
        let pid = &request.terms.pid;
        if !self.providers.merchants.contains_key(pid) {
            return Err(unknown_merchant());
        }
        let qrcode = request.need_qrcode != NeedQrcode::No;
        let found = self.providers.provider(pid, request.provider).and_then(|provider| {
            let (pay_type, product) = provider.select(&caller, qrcode)?;
            let app_id = provider.app_id(pay_type, &request.terms)?;
            Some((provider.clone(), pay_type, product, app_id))
        });
        let Some((provider, pay_type, product, app_id)) = found else {
            return Err(self.pay_type_not_possible(pid, &caller));
        };
        let method = PaymentMethod {
            pay_type,
            product,
            app_id,
            openid: buyer_openid(&request, product, &*provider)?,
            client_ip: self.buyer_ip(pay_type, product, &caller)?,
        };
        let fingerprint = request.terms.fingerprint();
        Ok(Resolved { request, caller, provider, key: RequestKey { method, fingerprint } })
    }

    /// The buyer's address, where the product is bound to it.
    ///
    /// # Errors
    ///
    /// 4004 when the address is unknown or not public.
    fn buyer_ip(
        &self,
        pay_type: PayType,
        product: Product,
        caller: &CallerContext,
    ) -> Result<Option<IpAddr>, Error> {
        if !product.binds_client_ip() {
            return Ok(None);
        }
        match caller.client_ip {
            Some(ip) if self.settings.simulated || crate::domain::address::is_public(ip) => {
                Ok(Some(ip))
            }
            _ => Err(Error::new(Kind::BuyerAddressUnknown).text(Text::new(
                format!("{pay_type} 需要付款人的公网 IP"),
                format!("{pay_type} needs the buyer's public address"),
            ))),
        }
    }

    /// 4004, with the pay types that are possible on the caller's platform.
    fn pay_type_not_possible(&self, pid: &Pid, caller: &CallerContext) -> Error {
        let mut possible = BTreeSet::new();
        for provider in self.providers.merchants.get(pid).into_iter().flat_map(BTreeMap::values) {
            let selected = [false, true].map(|qrcode| provider.select(caller, qrcode));
            let configured = provider.pay_types();
            let pay_types = selected.into_iter().flatten().map(|(pay_type, _)| pay_type);
            possible.extend(pay_types.filter(|pay_type| configured.contains(pay_type)));
        }
        let names: Vec<&str> = possible.iter().map(|pay_type: &PayType| pay_type.name()).collect();
        let list = if names.is_empty() { "-".to_owned() } else { names.join(", ") };
        let platform = caller.platform.name();
        Error::new(Kind::PayTypeNotPossible).text(Text::new(
            format!("{platform} 平台不支持该支付方式，可用的支付方式：{list}"),
            format!("this pay type is not possible on {platform}; possible are: {list}"),
        ))
    }
}

fn buyer_openid(
    request: &CreateRequest,
    product: Product,
    provider: &dyn Provider,
) -> Result<Option<String>, Error> {
    if !product.needs_openid() {
        return Ok(None);
    }
    match &request.openid {
        Some(openid) => Ok(Some(openid.clone())),
        None => Err(Error::invalid(vec![Violation {
            code: Code::Openid,
            path: "/data/openid".to_owned(),
            rule: "required",
            message: provider.missing_openid(),
        }])),
    }
}

fn unknown_merchant() -> Error {
    Error::invalid(vec![Violation {
        code: Code::Pid,
        path: "/data/pid".to_owned(),
        rule: "configured",
        message: Text::new("pid 对应的商户未配置", "pid names no configured merchant"),
    }])
}
