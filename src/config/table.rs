//! The table of every variable.
//!
//! It feeds the parsing, `--help`, the manual's table and the check for unknown names.

/// One variable of the configuration.
#[derive(Debug)]
#[non_exhaustive]
pub struct Variable {
    /// Its name: `PAYGATE_…`.
    pub name: &'static str,
    /// The heading under which it is explained.
    pub group: VariableGroup,
    /// The value while it is not set.
    pub default: DefaultValue,
    /// Its purpose, in one sentence.
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

/// The value of a variable that is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// None.
    Unset,
    /// This value.
    Fixed(&'static str),
    /// One that depends on the mode.
    ByMode {
        /// In live mode.
        live: &'static str,
        /// In mock mode.
        mock: &'static str,
    },
}

/// A heading of `--help` and the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableGroup {
    /// Mode, addresses and routes.
    Edge,
    /// Limits on clients and the upstream.
    Limits,
    /// Store, replay and times.
    Orders,
    /// The party that sets the price.
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

impl VariableGroup {
    /// Every heading, in the order they are shown in.
    pub const ALL: [VariableGroup; 9] = [
        VariableGroup::Edge,
        VariableGroup::Limits,
        VariableGroup::Orders,
        VariableGroup::Pricing,
        VariableGroup::Events,
        VariableGroup::Logs,
        VariableGroup::Merchants,
        VariableGroup::Wxpay,
        VariableGroup::Alipay,
    ];

    /// The heading.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            VariableGroup::Edge => "Mode, addresses and routes",
            VariableGroup::Limits => "Limits on clients and the upstream",
            VariableGroup::Orders => "Orders",
            VariableGroup::Pricing => "Who sets the price",
            VariableGroup::Events => "Events to the shop",
            VariableGroup::Logs => "Logs",
            VariableGroup::Merchants => "More merchants",
            VariableGroup::Wxpay => "Default merchant: WeChat Pay",
            VariableGroup::Alipay => "Default merchant: Alipay",
        }
    }
}

impl Variable {
    /// The variable called `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Variable> {
        VARIABLES.iter().find(|variable| variable.name == name)
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

    const fn new(name: &'static str, group: VariableGroup) -> Variable {
        let default = DefaultValue::Unset;
        Variable {
            name,
            group,
            default,
            doc: "",
            form: "",
            example: "",
            secret: false,
            file: false,
        }
    }

    const fn doc(self, doc: &'static str) -> Variable {
        Variable { doc, ..self }
    }

    const fn form(self, form: &'static str) -> Variable {
        Variable { form, ..self }
    }

    const fn default(self, value: &'static str) -> Variable {
        Variable { default: DefaultValue::Fixed(value), ..self }
    }

    const fn depends(self, live: &'static str, mock: &'static str) -> Variable {
        Variable { default: DefaultValue::ByMode { live, mock }, ..self }
    }

    const fn example(self, example: &'static str) -> Variable {
        Variable { example, ..self }
    }

    const fn file(self, example: &'static str) -> Variable {
        Variable { file: true, example, ..self }
    }

    const fn secret(self, path: &'static str) -> Variable {
        Variable { secret: true, ..self.file(path) }
    }
}

const DURATION: &str = "a whole number with a unit: ms, s, m, h or d";
const ADDRESS: &str = "an IP address and a port";
const BOOLEAN: &str = "true or false";
const AUTO_REFUND: &str =
    "refund (refund it and send events), or alert (send an event, log an ERROR)";
const PRIVATE_KEY: &str =
    "an RSA private key of 2048 bits or more: PKCS#1 or PKCS#8, as PEM, bare base64, or a DER file";
const PUBLIC_KEY: &str =
    "an RSA public key of 2048 bits or more, as PEM, bare base64, or a DER file";
const CERTIFICATE: &str = "an X.509 certificate, as PEM, bare base64, or a DER file";
const APP_ID: &str = "1 to 32 letters and digits";

/// Every variable, in the order in which they are explained.
pub static VARIABLES: &[Variable] = &[
    Variable::new("PAYGATE_MODE", VariableGroup::Edge)
        .doc(
            "Whether real providers are called, or simulated ones that run inside with embedded \
             keys.",
        )
        .form("live or mock")
        .default("live")
        .example("mock"),
    Variable::new("PAYGATE_LISTEN", VariableGroup::Edge)
        .doc("The public address.")
        .form(ADDRESS)
        .default("127.0.0.1:8787")
        .example("0.0.0.0:8787"),
    Variable::new("PAYGATE_ADMIN_LISTEN", VariableGroup::Edge)
        .doc("The address of health, schemas and admin operations.")
        .form("an IP address and a port, or off")
        .default("127.0.0.1:8788")
        .example("127.0.0.1:8788"),
    Variable::new("PAYGATE_ADMIN_TOKEN", VariableGroup::Edge)
        .doc("The bearer token of admin operations; without it they answer 403.")
        .form("at least 32 visible ASCII characters")
        .secret("/run/secrets/admin-token"),
    Variable::new("PAYGATE_MOCK_LISTEN", VariableGroup::Edge)
        .doc("The address of the simulated providers and their cashier page, in mock mode.")
        .form(ADDRESS)
        .default("127.0.0.1:8789")
        .example("127.0.0.1:8789"),
    Variable::new("PAYGATE_MOCK_EXPOSE", VariableGroup::Edge)
        .doc("Lets mock mode listen beyond loopback, where any client can pay with play money.")
        .form(BOOLEAN)
        .default("false")
        .example("true"),
    Variable::new("PAYGATE_MOUNT", VariableGroup::Edge)
        .doc("The path prefix of the payment operations.")
        .form(
            "a path that starts with / and does not end with one: letters, digits and . _ ~ - \
             between the slashes, at most 64 bytes",
        )
        .default("/pay")
        .example("/pay"),
    Variable::new("PAYGATE_UPSTREAM", VariableGroup::Edge)
        .doc(
            "The service that gets every request that is not a payment operation; without it they \
             get 404.",
        )
        .form(
            "an http URL without user name, path, query or fragment, not of a link-local or \
             metadata address, nor of paygate itself",
        )
        .example("http://127.0.0.1:3000"),
    Variable::new("PAYGATE_PUBLIC_URL", VariableGroup::Edge)
        .doc(
            "The URL at which the providers reach paygate: the notify URL is this, the mount, and \
             /notify/…; required in live mode.",
        )
        .form(
            "an https URL (http only for loopback) without user name, query or fragment, at most \
             200 bytes",
        )
        .depends("none, required", "http://127.0.0.1 and the port of PAYGATE_LISTEN")
        .example("https://pay.example.com"),
    Variable::new("PAYGATE_TRUSTED_PROXIES", VariableGroup::Edge)
        .doc(
            "The proxies whose X-Forwarded-For counts; without any, forwarded headers are ignored.",
        )
        .form("addresses and networks in CIDR form, with commas between them")
        .example("10.0.0.0/8,fd00::/8"),
    Variable::new("PAYGATE_BODY_MAX", VariableGroup::Edge)
        .doc("The size limit of a payment request's body.")
        .form("1KiB to 256KiB: a whole number with a unit (B or KiB)")
        .default("64KiB")
        .example("64KiB"),
    Variable::new("PAYGATE_CORS_ORIGINS", VariableGroup::Edge)
        .doc("The origins whose pages may call from a browser.")
        .form(
            "origins (scheme, host and port) with commas between them; not *, and none with \
             PAYGATE_PRICING=trusted",
        )
        .example("https://shop.example.com"),
    Variable::new("PAYGATE_HEAD_TIMEOUT", VariableGroup::Limits)
        .doc("How long a client may take from a request's first byte to its whole head.")
        .form(DURATION)
        .default("10s")
        .example("10s"),
    Variable::new("PAYGATE_IDLE_TIMEOUT", VariableGroup::Limits)
        .doc(
            "How long a connection may have no request; longer than the load balancer in front \
             keeps it.",
        )
        .form(DURATION)
        .default("75s")
        .example("75s"),
    Variable::new("PAYGATE_STALL_TIMEOUT", VariableGroup::Limits)
        .doc(
            "How long a client may take no byte of an answer, or send none of a body: paygate \
             closes the connection, or resets the HTTP/2 stream.",
        )
        .form(DURATION)
        .default("60s")
        .example("60s"),
    Variable::new("PAYGATE_BODY_RATE", VariableGroup::Limits)
        .doc("How many bytes of a body a client sends in a second at least, after 10 s.")
        .form("1B to 16MiB: a whole number with a unit (B, KiB or MiB)")
        .default("1KiB")
        .example("1KiB"),
    Variable::new("PAYGATE_UPSTREAM_TIMEOUT", VariableGroup::Limits)
        .doc("How long the upstream may take from a request's last byte to its answer's head.")
        .form(DURATION)
        .default("60s")
        .example("60s"),
    Variable::new("PAYGATE_TUNNEL_TIMEOUT", VariableGroup::Limits)
        .doc("How long an upgraded connection (WebSocket) may carry no byte.")
        .form(DURATION)
        .default("1h")
        .example("1h"),
    Variable::new("PAYGATE_KEEPALIVE", VariableGroup::Limits)
        .doc(
            "After how long the operating system probes a quiet peer (TCP keepalive), clients and \
             the upstream.",
        )
        .form("1s to 9h: a whole number with a unit (ms, s, m or h)")
        .default("60s")
        .example("60s"),
    Variable::new("PAYGATE_CONNECTIONS_MAX", VariableGroup::Limits)
        .doc(
            "How many connections clients have at most; fewer where the process may have too few \
             file descriptors. One more closes the longest idle one. paygate has seven eighths as \
             many to the upstream, so that a slow one leaves room for payments.",
        )
        .form("a whole number, 1 to 10000000")
        .default("10000")
        .example("10000"),
    Variable::new("PAYGATE_STORE", VariableGroup::Orders)
        .doc("The store of orders. A store keeps its mode and opens in no other.")
        .form("sqlite:PATH (one process), or memory: (mock mode only)")
        .depends("none, required", "sqlite:paygate-mock.db")
        .file("sqlite:paygate.db"),
    Variable::new("PAYGATE_REPLAY_TTL", VariableGroup::Orders)
        .doc("How long paygate keeps recent results in memory.")
        .form(DURATION)
        .default("5m")
        .example("5m"),
    Variable::new("PAYGATE_REPLAY_MAX", VariableGroup::Orders)
        .doc("How many recent results paygate keeps in memory at most.")
        .form("a whole number, 1 to 10000000")
        .default("100000")
        .example("100000"),
    Variable::new("PAYGATE_ORDER_TTL", VariableGroup::Orders)
        .doc(
            "The expiry that paygate sends to the provider when time_expire is absent; an Alipay \
             QR code's is at most 2h.",
        )
        .form("5m to 7d: a whole number with a unit (m, h or d)")
        .default("30m")
        .example("30m"),
    Variable::new("PAYGATE_CALL_TIMEOUT", VariableGroup::Orders)
        .doc("The time limit of one provider call, or of one price request.")
        .form(DURATION)
        .default("8s")
        .example("8s"),
    Variable::new("PAYGATE_CALL_BUDGET", VariableGroup::Orders)
        .doc(
            "The time limit of all provider calls of one request together; at least \
             PAYGATE_CALL_TIMEOUT.",
        )
        .form(DURATION)
        .default("20s")
        .example("20s"),
    Variable::new("PAYGATE_LEASE", VariableGroup::Orders)
        .doc(
            "How long one of several processes owns an order it works on (PostgreSQL only); at \
             least PAYGATE_CALL_BUDGET and 10s.",
        )
        .form(DURATION)
        .default("30s")
        .example("30s"),
    Variable::new("PAYGATE_SHUTDOWN_GRACE", VariableGroup::Orders)
        .doc("How long a stop waits for requests and provider calls in flight.")
        .form(DURATION)
        .default("25s")
        .example("25s"),
    Variable::new("PAYGATE_SWITCH", VariableGroup::Orders)
        .doc("What paygate does when the buyer of an unpaid order asks for another way to pay.")
        .form("close (close the earlier attempt first), or reject (refuse the request)")
        .default("close")
        .example("close"),
    Variable::new("PAYGATE_DUPLICATE", VariableGroup::Orders)
        .doc("What paygate does with a second payment of a paid order.")
        .form(AUTO_REFUND)
        .default("refund")
        .example("refund"),
    Variable::new("PAYGATE_LATE", VariableGroup::Orders)
        .doc("What paygate does with a payment after closePayment; the order stays closed.")
        .form(AUTO_REFUND)
        .default("refund")
        .example("refund"),
    Variable::new("PAYGATE_PRICING", VariableGroup::Pricing)
        .doc(
            "The party that sets the price: callers with a token, a signed quote, or the shop's \
             price service.",
        )
        .form("trusted, quote or callback: `paygate help pricing` has a table of which to take")
        .depends("none, required", "every caller on loopback")
        .example("callback"),
    Variable::new("PAYGATE_CALLER_TOKEN", VariableGroup::Pricing)
        .doc("The bearer token of every caller, for pricing trusted.")
        .form("at least 32 visible ASCII characters")
        .secret("/run/secrets/caller-token"),
    Variable::new("PAYGATE_QUOTE_SECRET", VariableGroup::Pricing)
        .doc("The secret with which the shop signs quotes (HS256), for pricing quote.")
        .form("at least 32 bytes")
        .secret("/run/secrets/quote-secret"),
    Variable::new("PAYGATE_PRICING_URL", VariableGroup::Pricing)
        .doc("The shop's price service, for pricing callback: paygate asks it on every request.")
        .form(
            "an http or https URL without user name or fragment, not of a link-local or metadata \
             address",
        )
        .example("http://127.0.0.1:3000/price"),
    Variable::new("PAYGATE_WEBHOOK_URL", VariableGroup::Events)
        .doc("The shop's endpoint for events; {type} in it is replaced by the order's type.")
        .form(
            "an http or https URL without fragment, not of a link-local or metadata address; \
             {type} in it is replaced",
        )
        .example("http://127.0.0.1:3000/events/{type}"),
    Variable::new("PAYGATE_WEBHOOK_SECRET", VariableGroup::Events)
        .doc(
            "The secret with which paygate signs events (Standard Webhooks); required with a \
             webhook URL.",
        )
        .form(
            "whsec_ and the base64 of 24 to 64 bytes; during a rotation two of them with a comma \
             between",
        )
        .secret("/run/secrets/webhook-secret"),
    Variable::new("PAYGATE_LOG", VariableGroup::Logs)
        .doc("The log levels.")
        .form(
            "a level (off, error, warn, info, debug, trace), or target=level, with commas between \
             them",
        )
        .default("info")
        .example("info,paygate=debug"),
    Variable::new("PAYGATE_LOG_FORMAT", VariableGroup::Logs)
        .doc("The form of log lines.")
        .form("auto (text on a terminal, else json), text, or json")
        .default("auto")
        .example("json"),
    Variable::new("PAYGATE_ALERT_URL", VariableGroup::Logs)
        .doc(
            "A group robot of WeCom, DingTalk or Feishu, or another endpoint: paygate sends it the \
             ERROR lines of the log.",
        )
        .form("an http or https URL without fragment, not of a link-local or metadata address")
        .secret("/run/secrets/alert-url"),
    Variable::new("PAYGATE_ALERT_FORMAT", VariableGroup::Logs)
        .doc("The form of alerts.")
        .form("auto (by the host of PAYGATE_ALERT_URL, else json), wecom, dingtalk, feishu or json")
        .default("auto")
        .example("feishu"),
    Variable::new("PAYGATE_ALERT_SECRET", VariableGroup::Logs)
        .doc("The secret with which a robot of DingTalk or Feishu verifies signatures, if it does.")
        .form("the text that DingTalk or Feishu shows for the robot")
        .secret("/run/secrets/alert-secret"),
    Variable::new("PAYGATE_MERCHANTS", VariableGroup::Merchants)
        .doc(
            "vk-uni-pay's vk-pay-config documents: each one's _id is a data.pid. In mock mode \
             they carry no keys.",
        )
        .form(
            "the path of a JSON file of at most 4 MiB: an array of documents, or one document \
             after another",
        )
        .example("/run/secrets/vk-pay-config.json"),
    Variable::new("PAYGATE_WXPAY_VERSION", VariableGroup::Wxpay)
        .doc("The version of WeChat Pay's API.")
        .form("3")
        .default("3")
        .example("3"),
    Variable::new("PAYGATE_WXPAY_MCH_ID", VariableGroup::Wxpay)
        .doc("The merchant account that gets the money.")
        .form("1 to 32 digits")
        .example("1900000001"),
    Variable::new("PAYGATE_WXPAY_APP_ID", VariableGroup::Wxpay)
        .doc("The app of every pay type that has none of its own.")
        .form(APP_ID)
        .example("wxd678efh567hg6787"),
    Variable::new("PAYGATE_WXPAY_APP_ID_MP_WEIXIN", VariableGroup::Wxpay)
        .doc("The app of mini programs (wxpay_mp-weixin).")
        .form(APP_ID)
        .example("wxd678efh567hg6787"),
    Variable::new("PAYGATE_WXPAY_APP_ID_APP_PLUS", VariableGroup::Wxpay)
        .doc("The app of apps (wxpay_app-plus).")
        .form(APP_ID)
        .example("wxd678efh567hg6787"),
    Variable::new("PAYGATE_WXPAY_APP_ID_H5", VariableGroup::Wxpay)
        .doc("The app of QR codes (wxpay_h5).")
        .form(APP_ID)
        .example("wxd678efh567hg6787"),
    Variable::new("PAYGATE_WXPAY_APP_ID_H5_WEIXIN", VariableGroup::Wxpay)
        .doc("The app of WeChat's browser (wxpay_h5-weixin).")
        .form(APP_ID)
        .example("wxd678efh567hg6787"),
    Variable::new("PAYGATE_WXPAY_APP_ID_MWEB", VariableGroup::Wxpay)
        .doc("The app of other phone browsers (wxpay_mweb).")
        .form(APP_ID)
        .example("wxd678efh567hg6787"),
    Variable::new("PAYGATE_WXPAY_PRIVATE_KEY", VariableGroup::Wxpay)
        .doc("The merchant's API certificate's private key (apiclient_key.pem).")
        .form(PRIVATE_KEY)
        .secret("/run/secrets/apiclient_key.pem"),
    Variable::new("PAYGATE_WXPAY_CERT", VariableGroup::Wxpay)
        .doc("The merchant's API certificate (apiclient_cert.pem), for its serial number.")
        .form(CERTIFICATE)
        .file("/run/secrets/apiclient_cert.pem"),
    Variable::new("PAYGATE_WXPAY_SERIAL_NO", VariableGroup::Wxpay)
        .doc("The API certificate's serial number, where the certificate itself is not set.")
        .form("1 to 40 hexadecimal digits")
        .example("5157F09EFDC096DE15EBE81A47057A7232F1B8E1"),
    Variable::new("PAYGATE_WXPAY_API_V3_KEY", VariableGroup::Wxpay)
        .doc("The APIv3 key.")
        .form("exactly 32 bytes")
        .secret("/run/secrets/api-v3-key"),
    Variable::new("PAYGATE_WXPAY_PUBLIC_KEY", VariableGroup::Wxpay)
        .doc(
            "WeChat Pay's public key (pub_key.pem); without it, platform certificates are \
             downloaded.",
        )
        .form(PUBLIC_KEY)
        .file("/run/secrets/pub_key.pem"),
    Variable::new("PAYGATE_WXPAY_PUBLIC_KEY_ID", VariableGroup::Wxpay)
        .doc("The public key's id; set together with the key.")
        .form("PUB_KEY_ID_ and letters and digits")
        .example("PUB_KEY_ID_0114232134912410000000000000"),
    Variable::new("PAYGATE_WXPAY_API_V2_KEY", VariableGroup::Wxpay)
        .doc("The APIv2 key, for version 2.")
        .form("text")
        .secret("/run/secrets/api-v2-key"),
    Variable::new("PAYGATE_WXPAY_H5_NAME", VariableGroup::Wxpay)
        .doc(
            "The site's name in scene_info of payments in phone browsers; set together with its \
             URL.",
        )
        .form("1 to 64 characters")
        .example("Example shop"),
    Variable::new("PAYGATE_WXPAY_H5_URL", VariableGroup::Wxpay)
        .doc(
            "The site's URL in scene_info of payments in phone browsers; set together with its \
             name.",
        )
        .form("an http or https URL of at most 128 characters")
        .example("https://shop.example.com"),
    Variable::new("PAYGATE_WXPAY_BASE_URL", VariableGroup::Wxpay)
        .doc("WeChat Pay's address, for every merchant.")
        .form("an https URL (http only for loopback) without user name, path, query or fragment")
        .default("https://api.mch.weixin.qq.com")
        .example("http://127.0.0.1:8789"),
    Variable::new("PAYGATE_ALIPAY_APP_ID", VariableGroup::Alipay)
        .doc("The app of every pay type that has none of its own.")
        .form(APP_ID)
        .example("2014072300007148"),
    Variable::new("PAYGATE_ALIPAY_APP_ID_MP_ALIPAY", VariableGroup::Alipay)
        .doc("The app of mini programs (alipay_mp-alipay).")
        .form(APP_ID)
        .example("2014072300007148"),
    Variable::new("PAYGATE_ALIPAY_APP_ID_APP_PLUS", VariableGroup::Alipay)
        .doc("The app of apps (alipay_app-plus).")
        .form(APP_ID)
        .example("2014072300007148"),
    Variable::new("PAYGATE_ALIPAY_APP_ID_H5", VariableGroup::Alipay)
        .doc("The app of QR codes and Alipay's pages (alipay_h5).")
        .form(APP_ID)
        .example("2014072300007148"),
    Variable::new("PAYGATE_ALIPAY_PRIVATE_KEY", VariableGroup::Alipay)
        .doc("The app's private key.")
        .form(PRIVATE_KEY)
        .secret("/run/secrets/alipay_private_key.pem"),
    Variable::new("PAYGATE_ALIPAY_PUBLIC_KEY", VariableGroup::Alipay)
        .doc("Alipay's public key (key mode); not the app's own.")
        .form(PUBLIC_KEY)
        .file("/run/secrets/alipay_public_key.pem"),
    Variable::new("PAYGATE_ALIPAY_SELLER_ID", VariableGroup::Alipay)
        .doc("The seller (vk-uni-pay's mchId): compared in notifications when set.")
        .form("16 digits that start with 2088")
        .example("2088102146225135"),
    Variable::new("PAYGATE_ALIPAY_APP_CERT", VariableGroup::Alipay)
        .doc("The app's certificate (certificate mode): appCertPublicKey_….crt.")
        .form(CERTIFICATE)
        .file("/run/secrets/appCertPublicKey.crt"),
    Variable::new("PAYGATE_ALIPAY_PUBLIC_CERT", VariableGroup::Alipay)
        .doc("Alipay's certificate (certificate mode): alipayCertPublicKey_RSA2.crt.")
        .form(CERTIFICATE)
        .file("/run/secrets/alipayCertPublicKey_RSA2.crt"),
    Variable::new("PAYGATE_ALIPAY_ROOT_CERT", VariableGroup::Alipay)
        .doc("Alipay's root certificates (certificate mode): alipayRootCert.crt.")
        .form(CERTIFICATE)
        .file("/run/secrets/alipayRootCert.crt"),
    Variable::new("PAYGATE_ALIPAY_APP_TO_H5", VariableGroup::Alipay)
        .doc(
            "Lets app payments go through the face-to-face QR code (vk-uni-pay's \
             alipayAppPayToH5Pay).",
        )
        .form(BOOLEAN)
        .default("false")
        .example("true"),
    Variable::new("PAYGATE_ALIPAY_H5_PRODUCT", VariableGroup::Alipay)
        .doc(
            "What a browser gets from Alipay, at every merchant. A phone cannot scan a QR code on \
             its own screen: `paygate help going_live` has a table of which to take.",
        )
        .form("precreate (QR code), or web (wap.pay on phones, page.pay on PCs)")
        .default("precreate")
        .example("web"),
    Variable::new("PAYGATE_ALIPAY_GATEWAY_URL", VariableGroup::Alipay)
        .doc("The gateway's address, for every merchant.")
        .form(
            "sandbox (Alipay's own test gateway), or an https URL (http only for loopback) \
             without user name, query or fragment",
        )
        .default("https://openapi.alipay.com/gateway.do")
        .example("http://127.0.0.1:8789/gateway.do"),
];
