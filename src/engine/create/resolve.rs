//! From a valid request to its payment method: which merchant, which product, which buyer.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::progress::RequestKey;
use crate::domain::caller::CallerContext;
use crate::domain::channel::{PayType, PaymentMethod, Product, ProviderId, select};
use crate::domain::ids::Pid;
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
            let choice = provider.alipay_choice();
            let (pay_type, product) = select(request.provider, &caller, qrcode, choice)?;
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
            openid: openid(&request, product)?,
            address: self.address(product, &caller)?,
        };
        let fingerprint = request.terms.fingerprint();
        Ok(Resolved { request, caller, provider, key: RequestKey { method, fingerprint } })
    }

    /// The buyer's address, where the product is bound to it: WeChat Pay H5 compares it with the
    /// address that opens the pay page (V3, H5 order, `scene_info.payer_client_ip`).
    fn address(&self, product: Product, caller: &CallerContext) -> Result<Option<IpAddr>, Error> {
        if product != Product::H5 {
            return Ok(None);
        }
        match caller.client_ip {
            Some(ip) if self.settings.simulated || crate::domain::address::is_public(ip) => {
                Ok(Some(ip))
            }
            _ => Err(Error::new(Kind::PayTypeNotPossible).text(Text::new(
                "wxpay_mweb 需要付款人的公网 IP：若在代理之后运行，请设置 PAYGATE_TRUSTED_PROXIES",
                "wxpay_mweb needs the buyer's public address: behind a proxy, set \
                 PAYGATE_TRUSTED_PROXIES",
            ))),
        }
    }

    /// What a caller on this platform could use instead.
    fn not_possible(&self, pid: &Pid, caller: &CallerContext) -> Error {
        let mut possible = BTreeSet::new();
        for (id, provider) in self.providers.merchants.get(pid).into_iter().flatten() {
            let choice = provider.alipay_choice();
            let ways = [false, true].map(|qrcode| select(*id, caller, qrcode, choice));
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

fn openid(request: &CreateRequest, product: Product) -> Result<Option<String>, Error> {
    if !product.needs_openid() {
        return Ok(None);
    }
    match &request.openid {
        Some(openid) => Ok(Some(openid.clone())),
        None => Err(Error::invalid(vec![Violation {
            code: Code::Openid,
            path: "/data/openid".to_owned(),
            rule: "required",
            message: match request.provider {
                ProviderId::Wxpay => Text::new(
                    "openid 不能为空：小程序和公众号支付需要付款人的 openid",
                    "is required: the buyer's openid under the paying app",
                ),
                ProviderId::Alipay => Text::new(
                    "openid 不能为空：支付宝小程序支付需要付款人的 user_id 或 open_id",
                    "is required: the buyer's user_id or open_id at Alipay",
                ),
            },
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
