//! From a valid request to its payment method: which merchant, which product, which buyer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::progress::RequestKey;
use crate::domain::caller::CallerContext;
use crate::domain::channel::PayType;
use crate::domain::ids::Pid;
use crate::domain::product::{PaymentMethod, Product};
use crate::domain::request::{CreateRequest, NeedQrcode};
use crate::engine::parts::EngineParts;
use crate::error::{Code, Error, Kind, Text, Violation};
use crate::provider::Provider;

/// A request, and what follows from it before the store is read.
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
            return Err(self.not_possible(pid, &caller));
        };
        let method = PaymentMethod {
            pay_type,
            product,
            app_id,
            openid: openid(&request, product, &*provider)?,
            client_ip: self.address(pay_type, product, &caller)?,
        };
        let fingerprint = request.terms.fingerprint();
        Ok(Resolved { request, caller, provider, key: RequestKey { method, fingerprint } })
    }

    /// The buyer's address, where the product is bound to it.
    fn address(
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
            _ => Err(Error::new(Kind::PayTypeNotPossible).text(Text::new(
                format!(
                    "{pay_type} 需要付款人的公网 IP：若在代理之后运行，请设置 PAYGATE_TRUSTED_PROXIES"
                ),
                format!(
                    "{pay_type} needs the buyer's public address: behind a proxy, set \
                     PAYGATE_TRUSTED_PROXIES"
                ),
            ))),
        }
    }

    /// What a caller on this platform could use instead.
    fn not_possible(&self, pid: &Pid, caller: &CallerContext) -> Error {
        let mut possible = BTreeSet::new();
        for provider in self.providers.merchants.get(pid).into_iter().flat_map(BTreeMap::values) {
            let ways = [false, true].map(|qrcode| provider.select(caller, qrcode));
            let configured = provider.pay_types();
            possible.extend(
                ways.into_iter().flatten().map(|(it, _)| it).filter(|it| configured.contains(it)),
            );
        }
        let names: Vec<&str> = possible.iter().map(|it: &PayType| it.name()).collect();
        let list = if names.is_empty() { "-".to_owned() } else { names.join(", ") };
        let platform = caller.platform.name();
        Error::new(Kind::PayTypeNotPossible).text(Text::new(
            format!("{platform} 平台不支持该支付方式，可用的支付方式：{list}"),
            format!("this way to pay is not possible on {platform}; possible are: {list}"),
        ))
    }
}

fn openid(
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
        message: Text::new("pid 对应的商户未配置", "names no configured merchant"),
    }])
}
