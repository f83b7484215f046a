//! Sends an alert, signed where the receiver verifies that, and reads whether it was taken: robots
//! refuse with status 200.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value};
use url::Url;

use super::message;
use super::pending::Alert;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{AlertConfig, AlertFormat};
use crate::domain::time::Millis;
use crate::merchant::client::{MerchantHttp, MerchantResponse};
use crate::provider::BoxFuture;

/// How long a receiver may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The receiver of alerts.
pub(super) trait Receive: Send + Sync {
    /// Sends it `alert`; the error is why it was not taken.
    fn send<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, Result<(), String>>;
}

/// A group robot, or another endpoint.
pub(super) struct Robot {
    client: MerchantHttp,
    config: AlertConfig,
    /// Which paygate sends.
    origin: String,
}

impl fmt::Debug for Robot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Robot").field(&self.config).finish()
    }
}

impl Robot {
    /// # Errors
    ///
    /// The URL is https, and the system has no root certificates.
    pub(super) fn new(config: AlertConfig, origin: String) -> Result<Robot, String> {
        let client = MerchantHttp::new(&config.url, TIMEOUT);
        let client = client.map_err(|error| format!("PAYGATE_ALERT_URL: {error}"))?;
        Ok(Robot { client, config, origin })
    }
}

impl Receive for Robot {
    fn send<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let body = message::body(self.config.format, alert, &self.origin);
            let (url, body) = signed(&self.config, body, SystemClock.now());
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let answer = self.client.post(&url, headers, Value::Object(body).to_string().into());
            let answer = answer.await.map_err(|error| error.to_string())?;
            check_taken(self.config.format, &answer)
        })
    }
}

/// URL and body with the receiver's signature, if it verifies one.
fn signed(
    config: &AlertConfig,
    mut body: Map<String, Value>,
    now: Millis,
) -> (Url, Map<String, Value>) {
    let mut url = config.url.clone();
    let Some(secret) = config.secret.as_ref().map(|secret| secret.expose()) else {
        return (url, body);
    };
    match config.format {
        // 钉钉开放平台, 自定义机器人安全设置, 加签: milliseconds.
        AlertFormat::Dingtalk => {
            let timestamp = now.0.to_string();
            let sign = hmac_base64(secret, &format!("{timestamp}\n{secret}"));
            url.query_pairs_mut().append_pair("timestamp", &timestamp).append_pair("sign", &sign);
        }
        // 飞书开放平台, 自定义机器人使用指南, 签名校验: seconds, and the text to sign is the key.
        AlertFormat::Feishu => {
            let timestamp = now.seconds().to_string();
            let sign = hmac_base64(&format!("{timestamp}\n{secret}"), "");
            body.insert("timestamp".to_owned(), timestamp.into());
            body.insert("sign".to_owned(), sign.into());
        }
        AlertFormat::Wecom | AlertFormat::Json => {}
    }
    (url, body)
}

fn hmac_base64(key: &str, message: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    STANDARD.encode(hmac::sign(&key, message.as_bytes()))
}

/// Whether the answer is the receiver's that it took the alert: any status of success, and of a
/// robot the code 0.
fn check_taken(format: AlertFormat, answer: &MerchantResponse) -> Result<(), String> {
    let receiver = format.receiver();
    let (code, text) = match format {
        AlertFormat::Json if (200..300).contains(&answer.status) => return Ok(()),
        AlertFormat::Json => return Err(format!("{receiver} answered {}", answer.status)),
        AlertFormat::Wecom | AlertFormat::Dingtalk => ("errcode", "errmsg"),
        AlertFormat::Feishu => ("code", "msg"),
    };
    let body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    match body[code].as_i64() {
        Some(0) => Ok(()),
        Some(code) => {
            Err(format!("{receiver} answered {code} {}", body[text].as_str().unwrap_or_default()))
        }
        None => Err(format!("{receiver} answered {} without its {code}", answer.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn config(format: AlertFormat, secret: Option<&str>) -> AlertConfig {
        let url = "https://oapi.dingtalk.com/robot/send?access_token=t".parse().unwrap();
        AlertConfig { url, format, secret: secret.map(Secret::new) }
    }

    /// The values are Python's `hmac`, by the code that each page shows.
    #[test]
    fn dingtalk_and_feishu_get_the_signature_that_their_pages_describe() {
        let now = Millis(1_577_262_236_757);
        let (url, body) = signed(&config(AlertFormat::Dingtalk, Some("SEC1")), Map::new(), now);
        assert_eq!(
            url.as_str(),
            "https://oapi.dingtalk.com/robot/send?access_token=t&timestamp=1577262236757&sign=ITVtMhBxlMWAso4YOWiyBDr7oDB8KSVHGqHA5hI1Ros%3D"
        );
        assert!(body.is_empty());
        let (url, body) = signed(&config(AlertFormat::Feishu, Some("SEC1")), Map::new(), now);
        assert_eq!(url.query(), Some("access_token=t"));
        assert_eq!(
            Value::Object(body),
            serde_json::json!({
                "timestamp": "1577262236", "sign": "dmFrYt1oKV49XHo271nVYSMiz46UL8DGrYX2Jon5Ulc="
            })
        );
        for format in [AlertFormat::Dingtalk, AlertFormat::Feishu, AlertFormat::Wecom] {
            let secret = (format == AlertFormat::Wecom).then_some("SEC1");
            let (url, body) = signed(&config(format, secret), Map::new(), now);
            assert!(url == config(format, None).url && body.is_empty(), "{format:?}");
        }
    }

    #[test]
    fn a_robot_refuses_with_status_200() {
        let taken = |format, status, body: &'static str| {
            check_taken(format, &MerchantResponse { status, body: body.into() })
        };
        let robot = r#"{"errcode":0,"errmsg":"ok"}"#;
        assert_eq!(taken(AlertFormat::Wecom, 200, robot), Ok(()));
        assert_eq!(taken(AlertFormat::Dingtalk, 200, robot), Ok(()));
        let feishu = r#"{"code":0,"msg":"success","data":{},"StatusCode":0}"#;
        assert_eq!(taken(AlertFormat::Feishu, 200, feishu), Ok(()));
        let refused = r#"{"errcode":310000,"errmsg":"keywords not in content"}"#;
        assert_eq!(
            taken(AlertFormat::Dingtalk, 200, refused),
            Err("DingTalk answered 310000 keywords not in content".to_owned())
        );
        let refused = r#"{"code":19021,"msg":"sign match fail"}"#;
        assert_eq!(
            taken(AlertFormat::Feishu, 200, refused),
            Err("Feishu answered 19021 sign match fail".to_owned())
        );
        for body in ["", "<html>", "[]", r#"{"errcode":"0"}"#] {
            let failed = taken(AlertFormat::Wecom, 502, body).unwrap_err();
            assert_eq!(failed, "WeCom answered 502 without its errcode");
        }
        assert_eq!(taken(AlertFormat::Json, 204, ""), Ok(()));
        assert_eq!(
            taken(AlertFormat::Json, 500, robot),
            Err("an endpoint that takes JSON answered 500".to_owned())
        );
    }
}
