//! The provider's product behind a pay type, and the payment method of one attempt.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::channel::{PayType, ProviderId};
use super::time::{HOUR_MS, MINUTE_MS};

/// The provider's product behind a pay type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    /// WeChat Pay JSAPI: mini programs and WeChat's browser.
    Jsapi,
    /// WeChat Pay APP.
    App,
    /// WeChat Pay H5: phone browsers.
    H5,
    /// WeChat Pay Native: QR code.
    Native,
    /// `alipay.trade.app.pay`.
    AppPay,
    /// `alipay.trade.create` with `JSAPI_PAY`: Alipay mini programs.
    Create,
    /// `alipay.trade.precreate`: QR code.
    Precreate,
    /// `alipay.trade.wap.pay`: Alipay's page on a phone.
    WapPay,
    /// `alipay.trade.page.pay`: Alipay's page on a PC.
    PagePay,
}

/// The facts of a product, from its provider's documents.
struct ProductTraits {
    needs_openid: bool,
    binds_client_ip: bool,
    is_local: bool,
    has_trade_when_opened: bool,
    shows_trade_to_buyer: bool,
    material_lifetime_ms: Option<i64>,
    attempt_lifetime_max_ms: Option<i64>,
}

/// A product whose trade the provider makes when it answers, and whose material lives 2 h: WeChat
/// Pay V3 `prepay_id` and `code_url`.
const ORDERED: ProductTraits = ProductTraits {
    needs_openid: false,
    binds_client_ip: false,
    is_local: false,
    has_trade_when_opened: true,
    shows_trade_to_buyer: false,
    material_lifetime_ms: Some(HOUR_MS.saturating_mul(2)),
    attempt_lifetime_max_ms: None,
};

const JSAPI: ProductTraits = ProductTraits { needs_openid: true, ..ORDERED };

/// WeChat Pay V3 `h5_url` lives 5 min. WeChat Pay compares `scene_info.payer_client_ip` with the
/// address that opens the pay page (V3, H5 order).
const H5: ProductTraits = ProductTraits {
    binds_client_ip: true,
    material_lifetime_ms: Some(MINUTE_MS.saturating_mul(5)),
    ..ORDERED
};

/// A product that paygate signs, and whose trade Alipay makes when the buyer acts: its material
/// lives as long as the attempt.
const SIGNED: ProductTraits = ProductTraits {
    is_local: true,
    has_trade_when_opened: false,
    material_lifetime_ms: None,
    ..ORDERED
};

/// alipay.trade.create makes a trade that the buyer finds in Alipay.
const CREATE: ProductTraits = ProductTraits {
    needs_openid: true,
    shows_trade_to_buyer: true,
    material_lifetime_ms: None,
    ..ORDERED
};

/// Alipay's QR code lives 2 h (alipay.trade.precreate, `qr_code`).
const PRECREATE: ProductTraits = ProductTraits {
    has_trade_when_opened: false,
    attempt_lifetime_max_ms: Some(HOUR_MS.saturating_mul(2)),
    ..ORDERED
};

impl Product {
    const fn traits(self) -> &'static ProductTraits {
        match self {
            Product::Jsapi => &JSAPI,
            Product::App | Product::Native => &ORDERED,
            Product::H5 => &H5,
            Product::AppPay | Product::WapPay | Product::PagePay => &SIGNED,
            Product::Create => &CREATE,
            Product::Precreate => &PRECREATE,
        }
    }

    /// Whether `openid` names the buyer when the attempt opens.
    #[must_use]
    pub const fn needs_openid(self) -> bool {
        self.traits().needs_openid
    }

    /// Whether the buyer must pay from the address that created the order.
    #[must_use]
    pub const fn binds_client_ip(self) -> bool {
        self.traits().binds_client_ip
    }

    /// Whether paygate opens an attempt by a signature, without a call to the provider.
    #[must_use]
    pub const fn is_local(self) -> bool {
        self.traits().is_local
    }

    /// Whether the provider has a trade as soon as it has opened the attempt. It makes the others
    /// when the buyer acts.
    #[must_use]
    pub const fn has_trade_when_opened(self) -> bool {
        self.traits().has_trade_when_opened
    }

    /// Whether the buyer finds the trade at the provider, without material from paygate.
    #[must_use]
    pub const fn shows_trade_to_buyer(self) -> bool {
        self.traits().shows_trade_to_buyer
    }

    /// How long the buyer can pay with the product's material, in milliseconds; `None` when the
    /// buyer can until the attempt expires.
    #[must_use]
    pub const fn material_lifetime_ms(self) -> Option<i64> {
        self.traits().material_lifetime_ms
    }

    /// The longest that an attempt may live, in milliseconds, where the provider limits it.
    #[must_use]
    pub const fn attempt_lifetime_max_ms(self) -> Option<i64> {
        self.traits().attempt_lifetime_max_ms
    }
}

/// A payment method: the pay type, the product, and the app, buyer or address that it is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentMethod {
    /// vk-uni-pay's pay type.
    pub pay_type: PayType,
    /// The provider's product.
    pub product: Product,
    /// The app that pays: the provider's `appid`, or the `sub_appid` where one was given.
    pub app_id: String,
    /// The buyer, where the product names one.
    pub openid: Option<String>,
    /// The buyer's address, where the product is bound to it (WeChat Pay H5).
    pub client_ip: Option<IpAddr>,
}

impl PaymentMethod {
    /// The provider that the buyer pays through.
    #[must_use]
    pub fn provider(&self) -> ProviderId {
        self.pay_type.provider()
    }
}

/// A merchant's choices among Alipay's products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlipayChoice {
    /// `alipayAppPayToH5Pay`: apps pay through the QR product.
    pub app_to_h5: bool,
    /// Browsers pay on Alipay's own pages instead of by QR code.
    pub web_pages: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The facts of a product that are true, and its lifetimes in minutes.
    fn facts(product: Product) -> (Vec<&'static str>, Option<i64>, Option<i64>) {
        let facts = [
            ("openid", product.needs_openid()),
            ("address", product.binds_client_ip()),
            ("local", product.is_local()),
            ("trade at once", product.has_trade_when_opened()),
            ("shown", product.shows_trade_to_buyer()),
        ];
        let facts = facts.into_iter().filter_map(|(name, is_true)| is_true.then_some(name));
        let minutes = |ms: Option<i64>| ms.map(|ms| ms / MINUTE_MS);
        let material = minutes(product.material_lifetime_ms());
        (facts.collect(), material, minutes(product.attempt_lifetime_max_ms()))
    }

    #[test]
    fn every_product_has_its_providers_facts() {
        let h2 = Some(120);
        let rows = [
            (Product::Jsapi, vec!["openid", "trade at once"], h2, None),
            (Product::App, vec!["trade at once"], h2, None),
            (Product::Native, vec!["trade at once"], h2, None),
            (Product::H5, vec!["address", "trade at once"], Some(5), None),
            (Product::Create, vec!["openid", "trade at once", "shown"], None, None),
            (Product::Precreate, vec![], h2, h2),
            (Product::AppPay, vec!["local"], None, None),
            (Product::WapPay, vec!["local"], None, None),
            (Product::PagePay, vec!["local"], None, None),
        ];
        for (product, true_ones, material, attempt) in rows {
            assert_eq!(facts(product), (true_ones, material, attempt), "{product:?}");
        }
    }
}
