//! Platform certificates: downloaded, verified, rotated, and never in a loop.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use paygate::domain::{HOUR_MS, MINUTE_MS, PayType};
use paygate::provider::{Failure, KeyError, Provider};
use paygate::testing::wxpay_certificates::serial_no;

use super::*;

const OLD: &str = "0E4B7FE20F5C6D7E8F90A1B2C3D4E5F60718293A";
const NEW: &str = "7B1A2C3D4E5F60718293A4B5C6D7E8F901020304";

static NEW_PAIR: LazyLock<rcgen::KeyPair> = LazyLock::new(generated);
static NEW_KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::parse(NEW_PAIR.serialized_der()).unwrap());

/// A self-signed certificate of `pair` with `serial`, in PEM, valid from 2020 to the end of
/// `last_year`.
fn certificate(pair: &rcgen::KeyPair, serial: &str, last_year: i32) -> rcgen::Certificate {
    let bytes: Vec<u8> = serial
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    let mut params = rcgen::CertificateParams::default();
    params.serial_number = Some(rcgen::SerialNumber::from_slice(&bytes));
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(last_year, 12, 31);
    params.self_signed(pair).unwrap()
}

/// An entry of the list, sealed with `key`.
fn entry(serial: &str, text: &str, key: &str) -> serde_json::Value {
    let sealing = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_bytes()).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(b"fdasflkja484").unwrap();
    let mut sealed = text.as_bytes().to_vec();
    sealing.seal_in_place_append_tag(nonce, Aad::from("certificate"), &mut sealed).unwrap();
    serde_json::json!({
        "serial_no": serial,
        "effective_time": "2020-01-01T00:00:00+08:00",
        "expire_time": "2030-01-01T00:00:00+08:00",
        "encrypt_certificate": {
            "algorithm": "AEAD_AES_256_GCM", "nonce": "fdasflkja484",
            "associated_data": "certificate", "ciphertext": STANDARD.encode(sealed),
        },
    })
}

fn old_entry() -> serde_json::Value {
    entry(OLD, &certificate(&WECHAT_PAIR, OLD, 2030).pem(), API_V3_KEY)
}

fn new_entry() -> serde_json::Value {
    entry(NEW, &certificate(&NEW_PAIR, NEW, 2030).pem(), API_V3_KEY)
}

fn list(entries: &[serde_json::Value]) -> String {
    serde_json::json!({ "data": entries }).to_string()
}

fn old_signs() -> (&'static SigningKey, &'static str) {
    (&WECHAT_KEY, OLD)
}

fn new_signs() -> (&'static SigningKey, &'static str) {
    (&NEW_KEY, NEW)
}

/// What the pretended WeChat Pay does at present.
struct ServerState {
    list: TransportResult,
    order: TransportResult,
}

/// A merchant in certificate mode, an attempt, and WeChat Pay as `stage` says.
struct CertificateSetup {
    v3: V3,
    attempt: Attempt,
    transport: ScriptedTransport,
    stage: Arc<Mutex<ServerState>>,
}

impl CertificateSetup {
    fn new(verification: WxpayVerification, stage: ServerState) -> CertificateSetup {
        let v3 = V3::new(merchant(verification)).unwrap();
        let attempt = Scene::of(PayType::WxpayH5).attempt(&v3);
        let stage = Arc::new(Mutex::new(stage));
        let shown = stage.clone();
        let transport = ScriptedTransport::new(move |request| {
            let stage = shown.lock().unwrap();
            let is_list = request.uri().path() == "/v3/certificates";
            if is_list { stage.list.clone() } else { stage.order.clone() }
        });
        CertificateSetup { v3, attempt, transport, stage }
    }

    /// WeChat Pay with the old certificate alone.
    fn ordinary() -> CertificateSetup {
        CertificateSetup::new(
            WxpayVerification::Certificates,
            stage(&[old_entry()], old_signs(), NOW),
        )
    }

    fn change(&self, stage: ServerState) {
        *self.stage.lock().unwrap() = stage;
    }

    async fn open(&self) -> Result<(), Failure> {
        self.v3.open(&self.attempt, self.transport.call()).await.map(|_| ())
    }

    /// How many requests went for the list, and how many for an order.
    fn counts(&self) -> (usize, usize) {
        let targets = self.transport.targets();
        let lists = targets.iter().filter(|it| *it == "GET /v3/certificates").count();
        (lists, targets.len() - lists)
    }
}

/// Everything is signed by `key` at `now`, and the list holds `entries`.
fn stage(entries: &[serde_json::Value], key: (&SigningKey, &str), now: Millis) -> ServerState {
    ServerState {
        list: Ok(signed_by(key, now, 200, &list(entries))),
        order: Ok(signed_by(key, now, 200, r#"{"code_url":"weixin://1"}"#)),
    }
}

#[tokio::test]
async fn certificates_are_downloaded_before_the_first_call_and_then_known() {
    let setup = CertificateSetup::ordinary();
    for _ in 0..3 {
        setup.open().await.unwrap();
    }
    let order = "POST /v3/pay/transactions/native";
    assert_eq!(setup.transport.targets(), ["GET /v3/certificates", order, order, order]);
    let seen = setup.transport.seen();
    assert!(!seen[0].headers().contains_key("wechatpay-serial"));
    assert!(seen[0].headers().contains_key("user-agent"), "without it the list is refused");
}

#[tokio::test]
async fn many_first_calls_share_one_download() {
    let setup = CertificateSetup::ordinary();
    let calls = (0..20).map(|_| setup.open());
    let results = futures_util::future::join_all(calls).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(setup.counts(), (1, 20));

    // So do the many answers that come under a new serial.
    setup.transport.clock.pass_ms(MINUTE_MS);
    let now = setup.transport.clock.now();
    setup.change(stage(&[old_entry(), new_entry()], new_signs(), now));
    let calls = (0..20).map(|_| setup.open());
    let results = futures_util::future::join_all(calls).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(setup.counts(), (2, 40));
}

#[tokio::test]
async fn a_list_is_refreshed_within_twelve_hours_and_an_old_one_still_does() {
    let setup = CertificateSetup::ordinary();
    setup.open().await.unwrap();
    setup.transport.clock.pass_ms(11 * HOUR_MS);
    let later = setup.transport.clock.now();
    let unreachable = Err(TransportFailure::NotSent("down".to_owned()));
    let good = stage(&[old_entry()], old_signs(), later);
    setup.change(ServerState { list: unreachable, order: good.order });
    setup.open().await.unwrap();
    setup.open().await.unwrap();
    assert_eq!(setup.counts(), (2, 3), "tried once, and not again at once");
    setup.transport.clock.pass_ms(MINUTE_MS);
    setup.change(stage(&[old_entry()], old_signs(), setup.transport.clock.now()));
    setup.open().await.unwrap();
    setup.open().await.unwrap();
    assert_eq!(setup.counts(), (3, 5));
}

#[tokio::test]
async fn an_answer_under_a_new_serial_makes_for_one_download_a_minute() {
    let setup = CertificateSetup::ordinary();
    setup.open().await.unwrap();
    setup.transport.clock.pass_ms(MINUTE_MS);
    let now = setup.transport.clock.now();
    // The list that brings the new certificate is still signed with the old one.
    let both = stage(&[old_entry(), new_entry()], old_signs(), now);
    let renewed = stage(&[], new_signs(), now);
    setup.change(ServerState { list: both.list, order: renewed.order });
    setup.open().await.unwrap();
    assert_eq!(setup.counts(), (2, 2));
    setup.change(stage(&[], old_signs(), now));
    setup.open().await.unwrap();
    assert_eq!(setup.counts(), (2, 3), "the old one is known still");

    // A serial that nobody has: once, and then not within a minute.
    let unknown = "F".repeat(40);
    let forged = stage(&[old_entry()], (&MERCHANT_KEY, &unknown), now);
    setup.change(ServerState { list: stage(&[old_entry()], old_signs(), now).list, ..forged });
    for _ in 0..5 {
        let failure = setup.open().await.unwrap_err();
        assert!(matches!(failure, Failure::OutcomeUnknown { .. }), "{failure:?}");
    }
    assert_eq!(setup.counts(), (2, 8), "a minute has not passed");
    setup.transport.clock.pass_ms(MINUTE_MS);
    for _ in 0..5 {
        setup.open().await.unwrap_err();
    }
    assert_eq!(setup.counts(), (3, 13));
}

#[tokio::test]
async fn a_serial_that_no_certificate_can_have_downloads_nothing() {
    let setup = CertificateSetup::ordinary();
    setup.open().await.unwrap();
    setup.transport.clock.pass_ms(MINUTE_MS);
    for serial in ["PUB_KEY_ID_1", "x", &"0".repeat(39), &"g".repeat(40), "../../etc/passwd"] {
        setup.change(stage(&[], (&WECHAT_KEY, serial), setup.transport.clock.now()));
        setup.open().await.unwrap_err();
    }
    assert_eq!(setup.counts(), (1, 6));
}

/// While no list can be had, nothing is ordered; the next download waits.
async fn check_no_order(name: &str, bad: TransportResult) {
    let good = stage(&[old_entry()], old_signs(), NOW);
    let setup = CertificateSetup::new(
        WxpayVerification::Certificates,
        ServerState { list: bad.clone(), order: good.order },
    );
    for _ in 0..3 {
        let failure = setup.open().await.unwrap_err();
        assert!(matches!(failure, Failure::Unverifiable { .. }), "{name}: {failure:?}");
    }
    assert_eq!(setup.counts(), (1, 0), "{name}");
    setup.transport.clock.pass_ms(MINUTE_MS);
    setup.change(stage(&[old_entry()], old_signs(), setup.transport.clock.now()));
    setup.open().await.unwrap();
    assert_eq!(setup.counts(), (2, 1), "{name}");
}

#[tokio::test]
async fn a_list_that_cannot_be_trusted_is_no_list_and_nothing_is_ordered() {
    let by_old = |body: &str| Ok(signed_by(old_signs(), NOW, 200, body));
    let unsigned = Response::new(Bytes::from(list(&[old_entry()])));
    let pem = certificate(&WECHAT_PAIR, OLD, 2030).pem();
    let expired = entry(OLD, &certificate(&WECHAT_PAIR, OLD, 2022).pem(), API_V3_KEY);
    let mut short_nonce = old_entry();
    short_nonce["encrypt_certificate"]["nonce"] = "short".into();
    let many = vec![old_entry(); 17];
    let rows: [(&str, TransportResult); 16] = [
        ("unreachable", Err(TransportFailure::NotSent("down".to_owned()))),
        ("lost", Err(TransportFailure::OutcomeUnknown("timeout".to_owned()))),
        ("a merchant without certificates", Ok(refusal(404, "RESOURCE_NOT_EXISTS", ""))),
        ("forbidden", Ok(refusal(403, "NOT_ENOUGH", ""))),
        ("a system error", Ok(refusal(500, "SYSTEM_ERROR", ""))),
        ("unsigned", Ok(unsigned)),
        ("signed by another", Ok(signed_by((&MERCHANT_KEY, OLD), NOW, 200, &list(&[old_entry()])))),
        ("signed long ago", {
            let long_ago = NOW.plus(-301_000);
            Ok(signed_by(old_signs(), long_ago, 200, &list(&[old_entry()])))
        }),
        ("sealed with another key", by_old(&list(&[entry(OLD, &pem, &"f".repeat(32))]))),
        ("a nonce of five bytes", by_old(&list(&[short_nonce]))),
        ("another serial than stated", by_old(&list(&[entry(NEW, &pem, API_V3_KEY)]))),
        ("no certificate inside", by_old(&list(&[entry(OLD, "hello", API_V3_KEY)]))),
        ("expired", by_old(&list(&[expired]))),
        ("empty", by_old(r#"{"data":[]}"#)),
        ("no list", by_old("<html>")),
        ("seventeen certificates", by_old(&list(&many))),
    ];
    for (name, bad) in rows {
        check_no_order(name, bad).await;
    }
}

#[tokio::test]
async fn what_wechat_pay_advises_a_merchant_without_certificates_comes_with_the_failure() {
    let advice = "无可用的平台证书，请在商户平台申请使用微信支付公钥";
    let refused = || Ok(refusal(404, "RESOURCE_NOT_EXISTS", advice));
    let order = stage(&[old_entry()], old_signs(), NOW).order;
    let state = ServerState { list: refused(), order };
    let setup = CertificateSetup::new(WxpayVerification::Certificates, state);
    // The second is not sent at all, and has the same.
    for _ in 0..2 {
        let failure = setup.open().await.unwrap_err();
        let Failure::Unverifiable { provider_error, .. } = failure else { panic!("{failure:?}") };
        assert_eq!(provider_error, Some(("RESOURCE_NOT_EXISTS".to_owned(), advice.to_owned())));
    }
}

#[tokio::test]
async fn a_certificate_is_trusted_until_the_moment_of_its_expiry() {
    // 2022-12-31 00:00:00 UTC.
    const END: Millis = Millis(1_672_444_800_000);
    let last = || entry(OLD, &certificate(&WECHAT_PAIR, OLD, 2022).pem(), API_V3_KEY);
    let until = |now: Millis| {
        let stage = stage(&[last()], old_signs(), now);
        let setup = CertificateSetup::new(WxpayVerification::Certificates, stage);
        setup.transport.clock.pass_ms(now.since(NOW));
        setup
    };
    let setup = until(END.plus(-1));
    setup.open().await.unwrap();
    setup.transport.clock.pass_ms(1);
    assert!(matches!(setup.open().await, Err(Failure::Unverifiable { .. })));
    assert_eq!(setup.counts(), (1, 1), "no answer could be verified any more");

    let failure = until(END).open().await.unwrap_err();
    let Failure::Unverifiable { reason, .. } = failure else { panic!("{failure:?}") };
    assert!(reason.contains("there is no platform certificate that has not expired"), "{reason}");
}

#[tokio::test]
async fn a_list_of_sixteen_certificates_is_one() {
    let list = vec![old_entry(); 16];
    let stage = stage(&list, old_signs(), NOW);
    let setup = CertificateSetup::new(WxpayVerification::Certificates, stage);
    setup.open().await.unwrap();
    assert_eq!(setup.counts(), (1, 1));
}

#[tokio::test]
async fn an_unreachable_wechat_pay_is_asked_again_after_five_seconds() {
    for down in [
        Err(TransportFailure::NotSent("down".to_owned())),
        Ok(refusal(500, "SYSTEM_ERROR", "")),
        Ok(refusal(429, "FREQUENCY_LIMITED", "")),
    ] {
        let setup = CertificateSetup::ordinary();
        let good = stage(&[old_entry()], old_signs(), NOW);
        setup.change(ServerState { list: down, order: good.order.clone() });
        setup.open().await.unwrap_err();
        setup.transport.clock.pass_ms(4_999);
        setup.open().await.unwrap_err();
        assert_eq!(setup.counts(), (1, 0));
        setup.transport.clock.pass_ms(1);
        setup.change(good);
        setup.open().await.unwrap();
        assert_eq!(setup.counts(), (2, 1));
    }
}

#[tokio::test]
async fn a_merchant_that_changes_to_the_public_key_still_verifies_certificates() {
    let setup = CertificateSetup::new(public_key(), stage(&[old_entry()], old_signs(), NOW));
    setup.open().await.unwrap();
    assert_eq!(setup.counts(), (1, 1), "downloaded for the answer");
    assert_eq!(setup.transport.targets()[0], "POST /v3/pay/transactions/native", "not before it");
    setup.change(stage(&[], (&WECHAT_KEY, PUBLIC_KEY_ID), NOW));
    setup.open().await.unwrap();
    assert_eq!(setup.counts(), (1, 2));
}

#[tokio::test]
async fn an_account_with_the_public_key_at_one_pay_type_has_it_at_every_other() {
    for keyed in [PayType::WxpayMpWeixin, PayType::WxpayH5, PayType::WxpayMweb] {
        let mut mixed = merchant(WxpayVerification::Certificates);
        mixed.apps.get_mut(&keyed).unwrap().account = Arc::new(account(public_key()));
        let v3 = V3::new(mixed).unwrap();
        let setup = CertificateSetup { v3, ..CertificateSetup::ordinary() };
        setup.change(stage(&[old_entry()], (&WECHAT_KEY, PUBLIC_KEY_ID), NOW));
        setup.open().await.unwrap();
        assert_eq!(setup.counts(), (0, 1), "{keyed}: the public key verifies it");
        setup.change(stage(&[old_entry()], old_signs(), NOW));
        setup.open().await.unwrap();
        assert_eq!(setup.counts(), (1, 2), "{keyed}: so does a certificate");
        for key in [old_signs(), (&*WECHAT_KEY, PUBLIC_KEY_ID)] {
            let notification = setup.read_notification(key).await;
            assert!(matches!(notification, Ok(Notification::Payment { .. })), "{notification:?}");
        }
    }
}

impl CertificateSetup {
    /// How a payment's notification is read that `key` signed now.
    async fn read_notification(
        &self,
        key: (&SigningKey, &str),
    ) -> Result<Notification, NotificationError> {
        let body = super::notifications::notification_body(
            "TRANSACTION.SUCCESS",
            &super::responses::paid(),
        );
        let (head, body) = signed_by(key, self.transport.clock.now(), 200, &body).into_parts();
        self.v3.read_notification(&head.headers, &body, self.transport.call()).await
    }
}

#[tokio::test]
async fn a_notification_is_verified_with_certificates_too_and_they_are_had_for_it() {
    let setup = CertificateSetup::ordinary();
    for _ in 0..3 {
        let notification = setup.read_notification(old_signs()).await;
        assert!(matches!(notification, Ok(Notification::Payment { .. })), "{notification:?}");
    }
    assert_eq!(setup.counts(), (1, 0), "after a restart the first one downloads");
    let forged = setup.read_notification((&MERCHANT_KEY, OLD)).await;
    assert!(matches!(forged, Err(NotificationError::Forged { .. })), "{forged:?}");
    assert_eq!(setup.counts(), (1, 0));
}

#[tokio::test]
async fn forged_notifications_make_for_one_download_a_minute_at_most() {
    let setup = CertificateSetup::ordinary();
    setup.open().await.unwrap();
    setup.transport.clock.pass_ms(MINUTE_MS);
    setup.change(stage(&[old_entry()], old_signs(), setup.transport.clock.now()));
    let serials: Vec<String> = (0..20).map(|n| format!("{n:040X}")).collect();
    let forged = serials.iter().map(|serial| setup.read_notification((&MERCHANT_KEY, serial)));
    for result in futures_util::future::join_all(forged).await {
        assert!(matches!(result, Err(NotificationError::Forged { .. })), "{result:?}");
    }
    assert_eq!(setup.counts(), (2, 1), "twenty at once share one");
    setup.transport.clock.pass_ms(MINUTE_MS - 1);
    setup.read_notification((&MERCHANT_KEY, &serials[0])).await.unwrap_err();
    assert_eq!(setup.counts(), (2, 1));
    setup.transport.clock.pass_ms(MINUTE_MS);
    for serial in ["PUB_KEY_ID_1", "x", &"0".repeat(39), &"g".repeat(40), "../../etc/passwd"] {
        setup.read_notification((&MERCHANT_KEY, serial)).await.unwrap_err();
    }
    assert_eq!(setup.counts(), (2, 1), "no certificate has such a serial number");
}

#[tokio::test]
async fn a_forgery_under_a_known_serial_makes_no_other_account_download() {
    let mut merchant = merchant(WxpayVerification::Certificates);
    let other = WxpayAccount {
        mch_id: "1900000002".to_owned(),
        ..account(WxpayVerification::Certificates)
    };
    merchant.apps.get_mut(&PayType::WxpayMweb).unwrap().account = Arc::new(other);
    let v3 = V3::new(merchant).unwrap();
    let setup = CertificateSetup { v3, ..CertificateSetup::ordinary() };
    setup.open().await.unwrap();
    setup.transport.clock.pass_ms(MINUTE_MS);
    let forged = setup.read_notification((&MERCHANT_KEY, OLD)).await;
    assert!(matches!(forged, Err(NotificationError::Forged { .. })), "{forged:?}");
    assert!(setup.read_notification(old_signs()).await.is_ok());
    assert_eq!(setup.counts(), (1, 1));
}

#[tokio::test]
async fn a_notification_under_a_new_certificate_is_believed_once_it_was_downloaded() {
    let setup = CertificateSetup::ordinary();
    setup.open().await.unwrap();
    let now = setup.transport.clock.now();
    setup.change(stage(&[old_entry(), new_entry()], old_signs(), now));
    let early = setup.read_notification(new_signs()).await;
    assert!(matches!(early, Err(NotificationError::Forged { .. })), "it comes again in 15 s");
    setup.transport.clock.pass_ms(MINUTE_MS);
    let now = setup.transport.clock.now();
    setup.change(stage(&[old_entry(), new_entry()], old_signs(), now));
    let notices = (0..20).map(|_| setup.read_notification(new_signs()));
    for notification in futures_util::future::join_all(notices).await {
        assert!(matches!(notification, Ok(Notification::Payment { .. })), "{notification:?}");
    }
    assert_eq!(setup.counts(), (2, 1));
    let old = setup.read_notification(old_signs()).await;
    assert!(matches!(old, Ok(Notification::Payment { .. })), "old and new overlap: {old:?}");
}

#[test]
fn a_certificates_serial_number_is_read_in_every_form() {
    let made = certificate(&WECHAT_PAIR, OLD, 2030);
    let pem = made.pem();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let forms: [Vec<u8>; 6] = [
        pem.clone().into_bytes(),
        pem.replace('\n', "\\n").into_bytes(),
        pem.replace('\n', "\r\n").into_bytes(),
        body.into_bytes(),
        made.der().to_vec(),
        format!("{pem}{}", certificate(&NEW_PAIR, NEW, 2030).pem()).into_bytes(),
    ];
    for form in forms {
        assert_eq!(serial_no(&form).as_deref(), Ok(OLD));
    }
    let high = "F0".repeat(20);
    let made = certificate(&WECHAT_PAIR, &high, 2030).pem();
    assert_eq!(serial_no(made.as_bytes()), Ok(high), "no sign byte");
    for garbage in ["hello", "AAAA", &WECHAT_PAIR.serialize_pem()] {
        let error = serial_no(garbage.as_bytes()).unwrap_err();
        assert!(matches!(error, KeyError::NotA(_) | KeyError::Mistaken(_)), "{garbage}");
    }
    assert_eq!(serial_no(b" "), Err(KeyError::Empty));
}
