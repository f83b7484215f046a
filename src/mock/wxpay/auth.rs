//! The merchant's signature of a call of WeChat Pay V3: the `Authorization` header.

use bytes::Bytes;
use http::Request;
use http::header::AUTHORIZATION;

use super::responses::WxpayApiError;
use crate::domain::time::Millis;
use crate::mock::keys;
use crate::mock::sign::Signer;

/// How far a request's timestamp may be from the provider's clock, in seconds (V3, "building the
/// signature": 5 minutes).
const SKEW_S_MAX: u64 = 300;

/// Checks the signature of `request` as WeChat Pay V3 does: the scheme, the five fields, the
/// merchant, the time, the serial number, then the signature over the bytes as they came.
pub(super) fn check(request: &Request<Bytes>, now: Millis) -> Result<(), WxpayApiError> {
    let refuse = |message| WxpayApiError::new(401, "SIGN_ERROR", message);
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let header = header.ok_or_else(|| refuse("Http头缺少认证信息"))?;
    let authorization = WxpayAuthorization::parse(header)
        .ok_or_else(|| refuse("Http头Authorization认证信息有误"))?;
    if authorization.mch_id != keys::MCH_ID {
        return Err(refuse("商户号不存在"));
    }
    let seconds: i64 = authorization.timestamp.parse().map_err(|_| refuse("时间戳有误"))?;
    if seconds.abs_diff(now.seconds()) > SKEW_S_MAX {
        return Err(refuse("Http头Authorization中的timestamp与发起请求的时间不得超过5分钟"));
    }
    if authorization.serial_no != keys::MERCHANT_SERIAL_NO {
        return Err(refuse("商户证书序列号有误"));
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let mut message = format!(
        "{}\n{path}\n{}\n{}\n",
        request.method(),
        authorization.timestamp,
        authorization.nonce
    )
    .into_bytes();
    message.extend_from_slice(request.body());
    message.push(b'\n');
    if Signer::WxpayMerchant.verifies(&message, authorization.signature) {
        Ok(())
    } else {
        Err(refuse("签名错误，请检查后再试"))
    }
}

/// The fields of the header.
struct WxpayAuthorization<'a> {
    mch_id: &'a str,
    nonce: &'a str,
    timestamp: &'a str,
    serial_no: &'a str,
    signature: &'a str,
}

impl<'a> WxpayAuthorization<'a> {
    /// One space after the scheme; five `key="value"` pairs in any order, a comma and nothing
    /// else between them.
    fn parse(header: &'a str) -> Option<WxpayAuthorization<'a>> {
        let pairs = header.strip_prefix("WECHATPAY2-SHA256-RSA2048 ")?;
        let pairs: Vec<(&str, &str)> = pairs.split(',').map(pair).collect::<Option<_>>()?;
        let value = |name| {
            let found = pairs.iter().find(|(key, _)| *key == name)?;
            (!found.1.is_empty()).then_some(found.1)
        };
        let authorization = WxpayAuthorization {
            mch_id: value("mchid")?,
            nonce: value("nonce_str")?,
            timestamp: value("timestamp")?,
            serial_no: value("serial_no")?,
            signature: value("signature")?,
        };
        let digits = authorization.timestamp.bytes().all(|b| b.is_ascii_digit());
        (pairs.len() == 5 && digits).then_some(authorization)
    }
}

fn pair(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once("=\"")?;
    let value = value.strip_suffix('"')?;
    (!value.contains('"')).then_some((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_exactly_five_quoted_fields() {
        let good = concat!(
            r#"WECHATPAY2-SHA256-RSA2048 mchid="1",nonce_str="n","#,
            r#"timestamp="1",serial_no="s",signature="c2ln""#
        );
        assert!(WxpayAuthorization::parse(good).is_some());
        let bad = [
            good.replace("2048 ", "2048  "),
            good.replace(",nonce", ", nonce"),
            good.replace("2048", "256"),
            good.replace(r#"timestamp="1""#, "timestamp=1"),
            good.replace(r#"timestamp="1""#, r#"timestamp="x""#),
            good.replace(r#",signature="c2ln""#, ""),
            format!(r#"{good},extra="1""#),
            format!(r#"{good},mchid="2""#),
            String::new(),
        ];
        for header in bad {
            assert!(WxpayAuthorization::parse(&header).is_none(), "{header}");
        }
    }
}
