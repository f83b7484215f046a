//! Replies that are not in UTF-8.

use encoding_rs::GBK;
use paygate::provider::Failure;

use super::responses::refusal;
use super::*;

/// The gateway writes many refusals in GBK, whatever the request asked for. The second byte of one
/// of these characters is a backslash.
#[tokio::test]
async fn a_signed_refusal_in_gbk_is_final_and_its_words_are_read() {
    let words = "誠信不足,余额不足";
    let raw = refusal("40004", "ACQ.ACCESS_FORBIDDEN").replace("why", words);
    let (bytes, ..) = GBK.encode(&raw);
    let sign = ALIPAY.sign(&bytes);
    let text = format!(r#"{{"alipay_trade_precreate_response":{raw},"sign":"{sign}"}}"#);
    let answer = |text: &str| RecordingTransport::new(GBK.encode(text).0.into_owned());
    let attempt = attempt(app(), Product::Precreate, &terms());
    let genuine = answer(&text);
    let refused = gateway(app()).open(&attempt, genuine.call()).await;
    let code = "ACQ.ACCESS_FORBIDDEN".to_owned();
    assert_eq!(refused, Err(Failure::Refused { code, message: words.to_owned() }));
    let forged = answer(&text.replace("余额不足", "余额充足"));
    let unknown = gateway(app()).open(&attempt, forged.call()).await;
    assert!(matches!(unknown, Err(Failure::OutcomeUnknown { .. })), "{unknown:?}");
}
