//! Every variable there is: THE table.
//!
//! It feeds the parsing, `--help`, the README's table and the check for unknown names.

pub use super::help::markdown_table;

/// One variable of the configuration.
#[derive(Debug)]
#[non_exhaustive]
pub struct Var {
    /// Its name: `PAYGATE_…`.
    pub name: &'static str,
    /// Under which heading it is explained.
    pub group: Group,
    /// What is used when it is not set.
    pub preset: Preset,
    /// What it is for, in one sentence.
    pub doc: &'static str,
    /// The accepted form, with units.
    pub form: &'static str,
    /// An accepted value, or the path of a file that holds one.
    pub example: &'static str,
    /// Whether its value is never shown.
    pub secret: bool,
    /// Whether `NAME_FILE` names a file that holds the value.
    pub file: bool,
}

/// What is used when a variable is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Nothing.
    None,
    /// This value.
    Value(&'static str),
    /// It depends on the mode.
    Depends {
        /// What live mode does without it.
        live: &'static str,
        /// What mock mode does without it.
        mock: &'static str,
    },
}

/// A heading of `--help` and the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Mode, addresses and routes.
    Edge,
    /// Store, replay and times.
    Orders,
    /// Who sets the price.
    Pricing,
    /// Events to the shop.
    Events,
    /// Logs.
    Logs,
    /// Every merchant but the default one.
    Merchants,
    /// The default merchant at WeChat Pay.
    Wxpay,
    /// The default merchant at Alipay.
    Alipay,
}

impl Group {
    /// Every heading, in the order they are shown in.
    pub const ALL: [Group; 8] = [
        Group::Edge,
        Group::Orders,
        Group::Pricing,
        Group::Events,
        Group::Logs,
        Group::Merchants,
        Group::Wxpay,
        Group::Alipay,
    ];

    /// The heading.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Group::Edge => "Mode, addresses and routes",
            Group::Orders => "Orders",
            Group::Pricing => "Who sets the price",
            Group::Events => "Events to the shop",
            Group::Logs => "Logs",
            Group::Merchants => "More merchants",
            Group::Wxpay => "Default merchant: WeChat Pay",
            Group::Alipay => "Default merchant: Alipay",
        }
    }
}

impl Var {
    /// The variable called `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Var> {
        VARS.iter().find(|var| var.name == name)
    }

    /// A line that sets it: `PAYGATE_CALL_TIMEOUT=8s`.
    #[must_use]
    pub fn example_line(&self) -> String {
        let in_file = self.file && self.example.starts_with('/');
        let name = if in_file { self.name_file() } else { self.name.to_owned() };
        format!("{name}={}", self.example)
    }

    /// `NAME_FILE`.
    pub(super) fn name_file(&self) -> String {
        format!("{}_FILE", self.name)
    }

    const fn new(name: &'static str, group: Group) -> Var {
        let preset = Preset::None;
        Var { name, group, preset, doc: "", form: "", example: "", secret: false, file: false }
    }

    const fn doc(self, doc: &'static str) -> Var {
        Var { doc, ..self }
    }

    const fn form(self, form: &'static str) -> Var {
        Var { form, ..self }
    }

    const fn default(self, value: &'static str) -> Var {
        Var { preset: Preset::Value(value), ..self }
    }

    const fn depends(self, live: &'static str, mock: &'static str) -> Var {
        Var { preset: Preset::Depends { live, mock }, ..self }
    }

    const fn example(self, example: &'static str) -> Var {
        Var { example, ..self }
    }

    const fn file(self, example: &'static str) -> Var {
        Var { file: true, example, ..self }
    }

    const fn secret(self, path: &'static str) -> Var {
        Var { secret: true, ..self.file(path) }
    }
}

const DURATION: &str = "a whole number with a unit: ms, s, m, h or d";
const ADDRESS: &str = "an IP address and a port";
const BOOLEAN: &str = "true or false";
const REPAYMENT: &str = "refund, or alert (tell the shop only)";
const PRIVATE_KEY: &str =
    "an RSA private key of 2048 bits or more: PKCS#1 or PKCS#8, as PEM, bare base64, or a DER file";
const PUBLIC_KEY: &str =
    "an RSA public key of 2048 bits or more, as PEM, bare base64, or a DER file";
const CERTIFICATE: &str = "an X.509 certificate, as PEM, bare base64, or a DER file";
const APP_ID: &str = "1 to 32 letters and digits";

/// Every variable, in the order in which they are explained.
pub static VARS: &[Var] = &[
    Var::new("PAYGATE_MODE", Group::Edge)
        .doc(
            "Whether real providers are called, or simulated ones that run inside with embedded \
             keys.",
        )
        .form("live or mock")
        .default("live")
        .example("mock"),
    Var::new("PAYGATE_LISTEN", Group::Edge)
        .doc("The public address.")
        .form(ADDRESS)
        .default("127.0.0.1:8787")
        .example("0.0.0.0:8787"),
    Var::new("PAYGATE_ADMIN_LISTEN", Group::Edge)
        .doc("The address of health, schemas and admin operations.")
        .form("an IP address and a port, or off")
        .default("127.0.0.1:8788")
        .example("127.0.0.1:8788"),
    Var::new("PAYGATE_ADMIN_TOKEN", Group::Edge)
        .doc("The bearer token of admin operations; without it they answer 403.")
        .form("at least 32 visible ASCII characters")
        .secret("/run/secrets/admin-token"),
    Var::new("PAYGATE_MOCK_LISTEN", Group::Edge)
        .doc("The address of the simulated providers and their cashier page, in mock mode.")
        .form(ADDRESS)
        .default("127.0.0.1:8789")
        .example("127.0.0.1:8789"),
    Var::new("PAYGATE_MOCK_EXPOSE", Group::Edge)
        .doc("Lets mock mode listen beyond loopback, where anybody can pay with play money.")
        .form(BOOLEAN)
        .default("false")
        .example("true"),
    Var::new("PAYGATE_MOUNT", Group::Edge)
        .doc("The path prefix of the payment operations.")
        .form(
            "a path that starts with / and does not end with one: letters, digits and . _ ~ - \
             between the slashes, at most 64 bytes",
        )
        .default("/pay")
        .example("/pay"),
    Var::new("PAYGATE_UPSTREAM", Group::Edge)
        .doc("Where requests that are not ours are proxied to; without it they get 404.")
        .form("an http URL without user name, path, query or fragment")
        .example("http://127.0.0.1:3000"),
    Var::new("PAYGATE_PUBLIC_URL", Group::Edge)
        .doc(
            "Where the providers reach us: the notify URL is this, the mount, and /notify/…; \
             required in live mode.",
        )
        .form(
            "an https URL (http only for loopback) without user name, query or fragment, at most \
             200 bytes",
        )
        .depends("none, required", "http://127.0.0.1 and the port listened at")
        .example("https://pay.example.com"),
    Var::new("PAYGATE_TRUSTED_PROXIES", Group::Edge)
        .doc(
            "The proxies whose X-Forwarded-For is believed; without any, forwarded headers are \
             ignored.",
        )
        .form("addresses and networks in CIDR form, with commas between them")
        .example("10.0.0.0/8,fd00::/8"),
    Var::new("PAYGATE_BODY_MAX", Group::Edge)
        .doc("The most bytes of a payment request's body.")
        .form("1KiB to 16MiB: a whole number with a unit (B, KiB or MiB)")
        .default("64KiB")
        .example("64KiB"),
    Var::new("PAYGATE_CORS_ORIGINS", Group::Edge)
        .doc("The origins whose pages may call from a browser.")
        .form(
            "origins (scheme, host and port) with commas between them; not *, and none with \
             PAYGATE_PRICING=trusted",
        )
        .example("https://shop.example.com"),
    Var::new("PAYGATE_STORE", Group::Orders)
        .doc("Where orders are kept; a store remembers its mode and opens in no other.")
        .form("sqlite:PATH (one process), or memory: (mock mode only)")
        .depends("none, required", "sqlite:paygate-mock.db")
        .file("sqlite:paygate.db"),
    Var::new("PAYGATE_REPLAY_TTL", Group::Orders)
        .doc("How long recent results are kept in memory.")
        .form(DURATION)
        .default("5m")
        .example("5m"),
    Var::new("PAYGATE_REPLAY_MAX", Group::Orders)
        .doc("How many recent results are kept in memory at most.")
        .form("a whole number, 1 to 10000000")
        .default("100000")
        .example("100000"),
    Var::new("PAYGATE_ORDER_TTL", Group::Orders)
        .doc(
            "The expiry that the provider is told when time_expire is absent; an Alipay QR code's \
             is at most 2h.",
        )
        .form("5m to 7d: a whole number with a unit (m, h or d)")
        .default("30m")
        .example("30m"),
    Var::new("PAYGATE_CALL_TIMEOUT", Group::Orders)
        .doc("The longest that one provider call, or one question for the price, may take.")
        .form(DURATION)
        .default("8s")
        .example("8s"),
    Var::new("PAYGATE_CALL_BUDGET", Group::Orders)
        .doc(
            "The longest that all provider calls of one request may take together; at least \
             PAYGATE_CALL_TIMEOUT.",
        )
        .form(DURATION)
        .default("20s")
        .example("20s"),
    Var::new("PAYGATE_LEASE", Group::Orders)
        .doc(
            "How long one of several processes owns an order it works on (PostgreSQL only); at \
             least PAYGATE_CALL_BUDGET and 10s.",
        )
        .form(DURATION)
        .default("30s")
        .example("30s"),
    Var::new("PAYGATE_SHUTDOWN_GRACE", Group::Orders)
        .doc("How long a stop waits for requests and provider calls in flight.")
        .form(DURATION)
        .default("25s")
        .example("25s"),
    Var::new("PAYGATE_SWITCH", Group::Orders)
        .doc("What another way to pay does to an order that is not paid.")
        .form("close (the old one first), or reject")
        .default("close")
        .example("close"),
    Var::new("PAYGATE_DUPLICATE", Group::Orders)
        .doc("What becomes of a second payment of a paid order.")
        .form(REPAYMENT)
        .default("refund")
        .example("refund"),
    Var::new("PAYGATE_LATE", Group::Orders)
        .doc("What becomes of a payment after closePayment; the order stays closed.")
        .form(REPAYMENT)
        .default("refund")
        .example("refund"),
    Var::new("PAYGATE_PRICING", Group::Pricing)
        .doc("Who sets the price: callers with a token, a signed quote, or the shop when asked.")
        .form("trusted, quote or callback")
        .depends("none, required", "every caller on loopback")
        .example("trusted"),
    Var::new("PAYGATE_CALLER_TOKEN", Group::Pricing)
        .doc("The bearer token that every caller shows, for pricing trusted.")
        .form("at least 32 visible ASCII characters")
        .secret("/run/secrets/caller-token"),
    Var::new("PAYGATE_QUOTE_SECRET", Group::Pricing)
        .doc("The secret that quotes are signed with (HS256), for pricing quote.")
        .form("at least 32 bytes")
        .secret("/run/secrets/quote-secret"),
    Var::new("PAYGATE_PRICING_URL", Group::Pricing)
        .doc("The shop's endpoint that is asked for the price, for pricing callback.")
        .form(
            "an http or https URL without user name or fragment, not of a link-local or metadata \
             address",
        )
        .example("http://127.0.0.1:3000/price"),
    Var::new("PAYGATE_WEBHOOK_URL", Group::Events)
        .doc("The shop's endpoint for events; {type} in it is replaced by the order's type.")
        .form(
            "an http or https URL without fragment, not of a link-local or metadata address; \
             {type} in it is replaced",
        )
        .example("http://127.0.0.1:3000/events/{type}"),
    Var::new("PAYGATE_WEBHOOK_SECRET", Group::Events)
        .doc(
            "The secret that events are signed with (Standard Webhooks); required with a webhook \
             URL.",
        )
        .form("whsec_ and base64, or any text")
        .secret("/run/secrets/webhook-secret"),
    Var::new("PAYGATE_LOG", Group::Logs)
        .doc("What is logged.")
        .form(
            "a level (off, error, warn, info, debug, trace), or target=level, with commas between \
             them",
        )
        .default("info")
        .example("info,paygate=debug"),
    Var::new("PAYGATE_LOG_FORMAT", Group::Logs)
        .doc("How it is logged.")
        .form("auto (text on a terminal, else json), text, or json")
        .default("auto")
        .example("json"),
    Var::new("PAYGATE_MERCHANTS", Group::Merchants)
        .doc(
            "vk-uni-pay's vk-pay-config documents: each one's _id is a data.pid. In mock mode \
             they carry no keys.",
        )
        .form(
            "the path of a JSON file of at most 4 MiB: an array of documents, or one document \
             after another",
        )
        .example("/run/secrets/vk-pay-config.json"),
    Var::new("PAYGATE_WXPAY_VERSION", Group::Wxpay)
        .doc("The version of WeChat Pay's API.")
        .form("3")
        .default("3")
        .example("3"),
    Var::new("PAYGATE_WXPAY_MCH_ID", Group::Wxpay)
        .doc("The merchant account that is paid.")
        .form("1 to 32 digits")
        .example("1900000001"),
    Var::new("PAYGATE_WXPAY_APP_ID", Group::Wxpay)
        .doc("The app of every pay type that has none of its own.")
        .form(APP_ID)
        .example("wxd678efh567hg6787"),
    Var::new("PAYGATE_WXPAY_APP_ID_MP_WEIXIN", Group::Wxpay)
        .doc("The app of mini programs (wxpay_mp-weixin).")
        .form(APP_ID)
        .example("wxd678efh567hg6787"),
    Var::new("PAYGATE_WXPAY_APP_ID_APP_PLUS", Group::Wxpay)
        .doc("The app of apps (wxpay_app-plus).")
        .form(APP_ID)
        .example("wxd678efh567hg6787"),
    Var::new("PAYGATE_WXPAY_APP_ID_H5", Group::Wxpay)
        .doc("The app of QR codes (wxpay_h5).")
        .form(APP_ID)
        .example("wxd678efh567hg6787"),
    Var::new("PAYGATE_WXPAY_APP_ID_H5_WEIXIN", Group::Wxpay)
        .doc("The app of WeChat's browser (wxpay_h5-weixin).")
        .form(APP_ID)
        .example("wxd678efh567hg6787"),
    Var::new("PAYGATE_WXPAY_APP_ID_MWEB", Group::Wxpay)
        .doc("The app of other phone browsers (wxpay_mweb).")
        .form(APP_ID)
        .example("wxd678efh567hg6787"),
    Var::new("PAYGATE_WXPAY_PRIVATE_KEY", Group::Wxpay)
        .doc("The merchant's API certificate's private key (apiclient_key.pem).")
        .form(PRIVATE_KEY)
        .secret("/run/secrets/apiclient_key.pem"),
    Var::new("PAYGATE_WXPAY_CERT", Group::Wxpay)
        .doc("The merchant's API certificate (apiclient_cert.pem), for its serial number.")
        .form(CERTIFICATE)
        .file("/run/secrets/apiclient_cert.pem"),
    Var::new("PAYGATE_WXPAY_SERIAL_NO", Group::Wxpay)
        .doc("The API certificate's serial number, where the certificate itself is not given.")
        .form("1 to 40 hexadecimal digits")
        .example("5157F09EFDC096DE15EBE81A47057A7232F1B8E1"),
    Var::new("PAYGATE_WXPAY_API_V3_KEY", Group::Wxpay)
        .doc("The APIv3 key.")
        .form("exactly 32 bytes")
        .secret("/run/secrets/api-v3-key"),
    Var::new("PAYGATE_WXPAY_PUBLIC_KEY", Group::Wxpay)
        .doc(
            "WeChat Pay's public key (pub_key.pem); without it, platform certificates are \
             downloaded.",
        )
        .form(PUBLIC_KEY)
        .file("/run/secrets/pub_key.pem"),
    Var::new("PAYGATE_WXPAY_PUBLIC_KEY_ID", Group::Wxpay)
        .doc("The public key's id; given together with the key.")
        .form("PUB_KEY_ID_ and letters and digits")
        .example("PUB_KEY_ID_0114232134912410000000000000"),
    Var::new("PAYGATE_WXPAY_API_V2_KEY", Group::Wxpay)
        .doc("The APIv2 key, for version 2.")
        .form("text")
        .secret("/run/secrets/api-v2-key"),
    Var::new("PAYGATE_WXPAY_H5_NAME", Group::Wxpay)
        .doc(
            "The site's name in scene_info of payments in phone browsers; given together with its \
             URL.",
        )
        .form("1 to 64 characters")
        .example("Example shop"),
    Var::new("PAYGATE_WXPAY_H5_URL", Group::Wxpay)
        .doc(
            "The site's URL in scene_info of payments in phone browsers; given together with its \
             name.",
        )
        .form("an http or https URL of at most 128 characters")
        .example("https://shop.example.com"),
    Var::new("PAYGATE_WXPAY_BASE_URL", Group::Wxpay)
        .doc("WeChat Pay's address, for every merchant.")
        .form("an https URL (http only for loopback) without user name, path, query or fragment")
        .default("https://api.mch.weixin.qq.com")
        .example("http://127.0.0.1:8789"),
    Var::new("PAYGATE_ALIPAY_APP_ID", Group::Alipay)
        .doc("The app of every pay type that has none of its own.")
        .form(APP_ID)
        .example("2014072300007148"),
    Var::new("PAYGATE_ALIPAY_APP_ID_MP_ALIPAY", Group::Alipay)
        .doc("The app of mini programs (alipay_mp-alipay).")
        .form(APP_ID)
        .example("2014072300007148"),
    Var::new("PAYGATE_ALIPAY_APP_ID_APP_PLUS", Group::Alipay)
        .doc("The app of apps (alipay_app-plus).")
        .form(APP_ID)
        .example("2014072300007148"),
    Var::new("PAYGATE_ALIPAY_APP_ID_H5", Group::Alipay)
        .doc("The app of QR codes and Alipay's pages (alipay_h5).")
        .form(APP_ID)
        .example("2014072300007148"),
    Var::new("PAYGATE_ALIPAY_PRIVATE_KEY", Group::Alipay)
        .doc("The app's private key.")
        .form(PRIVATE_KEY)
        .secret("/run/secrets/alipay_private_key.pem"),
    Var::new("PAYGATE_ALIPAY_PUBLIC_KEY", Group::Alipay)
        .doc("Alipay's public key (key mode); not the app's own.")
        .form(PUBLIC_KEY)
        .file("/run/secrets/alipay_public_key.pem"),
    Var::new("PAYGATE_ALIPAY_SELLER_ID", Group::Alipay)
        .doc("The seller (vk-uni-pay's mchId): compared in notifications when set.")
        .form("16 digits that start with 2088")
        .example("2088102146225135"),
    Var::new("PAYGATE_ALIPAY_APP_CERT", Group::Alipay)
        .doc("The app's certificate (certificate mode): appCertPublicKey_….crt.")
        .form(CERTIFICATE)
        .file("/run/secrets/appCertPublicKey.crt"),
    Var::new("PAYGATE_ALIPAY_PUBLIC_CERT", Group::Alipay)
        .doc("Alipay's certificate (certificate mode): alipayCertPublicKey_RSA2.crt.")
        .form(CERTIFICATE)
        .file("/run/secrets/alipayCertPublicKey_RSA2.crt"),
    Var::new("PAYGATE_ALIPAY_ROOT_CERT", Group::Alipay)
        .doc("Alipay's root certificates (certificate mode): alipayRootCert.crt.")
        .form(CERTIFICATE)
        .file("/run/secrets/alipayRootCert.crt"),
    Var::new("PAYGATE_ALIPAY_APP_TO_H5", Group::Alipay)
        .doc(
            "Lets app payments go through the face-to-face QR code (vk-uni-pay's \
             alipayAppPayToH5Pay).",
        )
        .form(BOOLEAN)
        .default("false")
        .example("true"),
    Var::new("PAYGATE_ALIPAY_H5_PRODUCT", Group::Alipay)
        .doc("How browsers pay.")
        .form("precreate (QR code), or web (wap.pay on phones, page.pay on PCs)")
        .default("precreate")
        .example("web"),
    Var::new("PAYGATE_ALIPAY_GATEWAY_URL", Group::Alipay)
        .doc("The gateway's address, for every merchant.")
        .form(
            "sandbox (Alipay's own test gateway), or an https URL (http only for loopback) \
             without user name, query or fragment",
        )
        .default("https://openapi.alipay.com/gateway.do")
        .example("http://127.0.0.1:8789/gateway.do"),
];
