//! Which operation a path is.

use paygate::domain::{MountPath, PayType, Pid, ProviderId};
use paygate::testing::guard::{Mount, PaymentOperation, RouteDecision};

fn check(mount: &str, expected: &RouteDecision, paths: &[&str]) {
    let mount = Mount::new(MountPath::parse(mount).expect("a mount"));
    for path in paths {
        assert_eq!(mount.route(path), *expected, "{path}");
    }
}

#[test]
fn an_operation_is_spelt_exactly() {
    let create = RouteDecision::Operation(PaymentOperation::CreatePayment);
    check("/pay", &create, &["/pay/createPayment"]);
    check("/api/v1/pay", &create, &["/api/v1/pay/createPayment"]);
    check(
        "/pay",
        &RouteDecision::Operation(PaymentOperation::QueryPayment),
        &["/pay/queryPayment"],
    );
}

#[test]
fn a_path_that_becomes_an_operation_is_neither_run_nor_passed_on() {
    check(
        "/pay",
        &RouteDecision::Refuse,
        &[
            "/pay/./createPayment",
            "/pay//createPayment",
            "//pay/createPayment",
            "/./pay/createPayment",
            "/pay/createPayment/",
            "/pay/createPayment//",
            "/pay/createPayment/.",
            "/PAY/createPayment",
            "/pay/createpayment",
            "/pay/CREATEPAYMENT",
            "/pay/QueryPayment/",
            "/%70ay/createPayment",
            "/pay/%63reatePayment",
            "/pay%2FcreatePayment",
            "/pay%2fcreatePayment",
            "%2Fpay/createPayment",
            "/pay/%2e/createPayment",
            "/pay/x/%2E%2e/createPayment",
            "/x/../pay/createPayment",
            "/pay/createPayment;x",
            "/pay;v=1/createPayment",
            "/pay/createPayment;jsessionid=1/",
            "/pay/createPayment%3bx",
            "/pay/..;/pay/createPayment",
            "/pay\\createPayment",
            "/pay%5CcreatePayment",
            "/%2570ay/createPayment",
            "/pay%252FcreatePayment",
            "/pay/notify/../createPayment",
            "/../pay/createPayment",
            "/pay/queryPayment/x/..",
            "/PAY/notify/wxpay/wxpay_h5/default",
            "/pay//notify/wxpay/wxpay_h5/default",
            "/pay/Notify/wxpay/wxpay_h5/default",
            "/pay/notif%79/wxpay/wxpay_h5/default",
            "/pay//../createPayment",
            "/pay//..//createPayment",
            "/pay/x%2fy/../createPayment",
            "/pay/x%252fy/../createPayment",
            "/pay/x%5cy/../createPayment",
            "/pay/x%2fy/%2e%2e/createPayment",
            "/pay/..;/../createPayment",
            "/pay/x;/..;/createPayment",
            "//evil.example/pay/createPayment",
            "/\\evil.example/pay/createPayment",
            "/%25%36%33/../pay/createPayment",
            "/pay/%25%36%33reatePayment",
            "/pay/create%u0050ayment",
            "/pay%c0%afcreatePayment",
            "/pay%e0%80%afcreatePayment",
            "/pay%f0%80%80%afcreatePayment",
            "/pay/%e0%81%a3reatePayment",
            "/pay/createPayment%0a",
            "/pay/createPayment%20",
            "/pay/createPayment.",
            "/pay/createPayment%00",
            "/pay/createPayment%3fx",
            "/pay/createPayment%23x",
            "/pay/x/..%5cqueryPayment",
            "/pay/x//../../notify/wxpay/wxpay_h5/default",
        ],
    );
}

#[test]
fn any_other_path_goes_on() {
    check(
        "/pay",
        &RouteDecision::PassThrough,
        &[
            "/",
            "",
            "*",
            "/pay",
            "/pay/",
            "/pay/create",
            "/pay/createPayments",
            "/pay/createPaymen",
            "/pay/createPayment/x",
            "/pay/x/createPayment",
            "/payx/createPayment",
            "/pa/createPayment",
            "/createPayment",
            "/x/pay/createPayment",
            "/pay/refund",
            "/pay/closePayment",
            "/pay/notify",
            "/pay/createPayment/..",
            "/pay/%63reate",
            "/%",
            "/%zz/%2",
            "/a//b",
            "/a/./b",
            "/..",
            "/;",
            "/pay/%E6%94%AF",
            "/支付/createPayment",
            "/p",
            "/pay/createPayment.json",
            "/pay%20/createPayment",
        ],
    );
    check(
        "/pay",
        &RouteDecision::PassThrough,
        &[&"/x".repeat(10_000), &"/%2e%2e".repeat(10_000), &"/".repeat(10_000)],
    );
}

#[test]
fn a_notification_names_provider_pay_type_and_merchant() {
    let notify = |pay_type: PayType, merchant: &str| {
        let provider = pay_type.provider();
        RouteDecision::Operation(PaymentOperation::Notify {
            provider,
            pay_type,
            merchant: Pid::new(merchant),
        })
    };
    let cases = [
        ("/pay/notify/wxpay/wxpay_mp-weixin/default", PayType::WxpayMpWeixin, "default"),
        ("/pay/notify/alipay/alipay_h5/001", PayType::AlipayH5, "001"),
        ("/pay/notify/alipay/alipay_h5/a%2Fb%3B%25", PayType::AlipayH5, "a/b;%"),
        ("/pay/notify/wxpay/wxpay_h5/%E5%BA%97", PayType::WxpayH5, "店"),
    ];
    for (path, pay_type, merchant) in cases {
        check("/pay", &notify(pay_type, merchant), &[path]);
    }
    assert_eq!(PayType::AlipayH5.provider(), ProviderId::Alipay);
}

#[test]
fn a_path_below_notify_that_is_no_notification_url_is_not_acknowledged() {
    check(
        "/pay",
        &RouteDecision::Refuse,
        &[
            "/pay/notify/",
            "/pay/notify/wxpay",
            "/pay/notify/wxpay/wxpay_h5",
            "/pay/notify/wxpay/wxpay_h5/",
            "/pay/notify/wxpay/alipay_h5/default",
            "/pay/notify/paypal/wxpay_h5/default",
            "/pay/notify/wxpay/wxpay_h5/a/b",
            "/pay/notify/wxpay/wxpay_h5/..",
            "/pay/notify/wxpay/wxpay_h5/%2e",
            "/pay/notify/wxpay/wxpay_h5/a;b",
            "/pay/notify/wxpay/wxpay_h5/%ff",
            "/pay/notify/wxpay/wxpay_h5/%00",
            "/pay/notify/WXPAY/wxpay_h5/default",
            "/pay/notify/wxpay/wxpay_h5/default/",
        ],
    );
    check(
        "/pay",
        &RouteDecision::Refuse,
        &[&format!("/pay/notify/wxpay/wxpay_h5/{}", "x".repeat(129))],
    );
}

#[test]
fn a_mount_is_a_plain_prefix() {
    for good in ["/pay", "/api/v1.0/pay", "/a/b/c/d/e/f/g/h"] {
        assert!(MountPath::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "/",
        "/pay/",
        "pay",
        "//",
        "/pay//",
        "/p%61y",
        "/pay?x",
        "/..",
        "/a/./b",
        "/支付",
        "/a/b/c/d/e/f/g/h/i",
    ] {
        assert!(MountPath::parse(bad).is_err(), "{bad}");
    }
}
