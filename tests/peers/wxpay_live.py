"""What paygate sends to WeChat Pay, judged by wechatpayv3; and what paygate makes of replies."""
import base64
import json
import re
import sys
import time
import uuid
from datetime import datetime, timedelta, timezone
from unittest import mock

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from wechatpayv3 import WeChatPayType
from wechatpayv3.utils import build_authorization, load_private_key, rsa_sign

import harness
from harness import fact, live, number, path, provider, read
from wxpay_sdk import merchant, point_at, serial_no

MCH_ID = "1900000109"
APP_ID = "wxd678efh567hg6787"
API_V3_KEY = "0123456789abcdef0123456789ABCDEF"
PUBLIC_KEY_ID = "PUB_KEY_ID_0119000001092024112100000001"
SERIAL_NO = serial_no(path("wxpay_merchant.crt"))
PLATFORM_SERIAL_NO = serial_no(path("wxpay_platform.crt"))

MODES = {
    "public key": {
        "env": {
            "PAYGATE_WXPAY_PUBLIC_KEY_FILE": path("wxpay_public.pub"),
            "PAYGATE_WXPAY_PUBLIC_KEY_ID": PUBLIC_KEY_ID,
        },
        "sdk": {"public_key": read("wxpay_public.pub"), "public_key_id": PUBLIC_KEY_ID},
        "serial": PUBLIC_KEY_ID,
        "key": "wxpay_public.key",
    },
    "certificates": {
        "env": {}, "sdk": {}, "serial": PLATFORM_SERIAL_NO, "key": "wxpay_platform.key",
    },
}


class WxPay:
    """WeChat Pay: keeps every call and signs its answers."""

    def __init__(self, mode):
        self.key = load_private_key(read(MODES[mode]["key"]))
        self.serial = MODES[mode]["serial"]
        self.sent = []
        self.tamper = False

    def answer(self, method, target, headers, body):
        self.sent.append((method, target, headers, body))
        if target == "/v3/certificates":
            reply = self.certificates()
        elif target.endswith("/close"):
            return 204, self.signed(""), ""
        else:
            product = target.rsplit("/", 1)[-1]
            reply = json.dumps({
                "native": {"code_url": "weixin://wxpay/bizpayurl?pr=p4lpSuKzz"},
                "h5": {"h5_url": "https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?a=1"},
            }.get(product, {"prepay_id": "wx201410272009395522657a690389285100"}))
        headers = self.signed(reply)
        return 200, headers, reply.replace("wx", "xw") if self.tamper else reply

    def signed(self, body):
        now, nonce = str(int(time.time())), uuid.uuid4().hex
        return {
            "Content-Type": "application/json; charset=utf-8",
            "Wechatpay-Timestamp": now,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": self.serial,
            "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
            "Wechatpay-Signature": rsa_sign(self.key, f"{now}\n{nonce}\n{body}\n"),
        }

    def certificates(self):
        """`/v3/certificates`: the platform's certificate under the APIv3 key."""
        nonce, now = uuid.uuid4().hex[:12], datetime.now(timezone.utc)
        text = AESGCM(API_V3_KEY.encode()).encrypt(
            nonce.encode(), (read("wxpay_platform.crt") + "\n").encode(), b"certificate")
        return json.dumps({"data": [{
            "serial_no": PLATFORM_SERIAL_NO,
            "effective_time": (now - timedelta(days=1)).isoformat(timespec="seconds"),
            "expire_time": (now + timedelta(days=29)).isoformat(timespec="seconds"),
            "encrypt_certificate": {
                "algorithm": "AEAD_AES_256_GCM",
                "nonce": nonce,
                "associated_data": "certificate",
                "ciphertext": base64.b64encode(text).decode(),
            },
        }]})


def assert_signed(call):
    """Asserts that `call` bears the `Authorization` that the SDK itself gives it."""
    method, target, headers, body = call
    scheme, pairs = headers["authorization"].split(" ", 1)
    told = dict(re.findall(r'(\w+)="([^"]*)"', pairs))

    def by_the_sdk(body):
        with mock.patch("time.time", return_value=int(told["timestamp"])):
            return build_authorization(
                target, method, MCH_ID, SERIAL_NO, load_private_key(read("wxpay_merchant.key")),
                data=body, nonce_str=told["nonce_str"])

    own = dict(re.findall(r'(\w+)="([^"]*)"', by_the_sdk(body)))
    assert scheme == "WECHATPAY2-SHA256-RSA2048", scheme
    assert told == own, (told, own)
    assert abs(int(told["timestamp"]) - time.time()) < 60, told
    assert by_the_sdk(body + " ").find(told["signature"]) < 0, "everything verifies"
    assert headers.get("user-agent"), "no user-agent"


PRODUCTS = [
    ("jsapi", "mp-weixin", False, WeChatPayType.JSAPI),
    ("app", "app-plus", False, WeChatPayType.APP),
    ("native", "h5", True, WeChatPayType.NATIVE),
    ("h5", "h5", False, WeChatPayType.H5),
]
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"


def order(platform, is_pc):
    return {
        "provider": "wxpay",
        "isPC": is_pc,
        "data": {
            "out_trade_no": number(), "total_fee": 1, "subject": "测试 a+b", "type": "goods",
            "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o" if platform == "mp-weixin" else None,
        },
        "context": {"PLATFORM": platform, "CLIENTIP": "1.2.4.8", "CLIENTUA": PHONE},
    }


def judge_order(wxpay, sdk, create, product):
    name, platform, is_pc, pay_type = product
    reply = create(order(platform, is_pc))
    assert reply["code"] == 0, reply
    call = wxpay.sent[-1]
    assert call[1] == f"/v3/pay/transactions/{name}", call[1]
    assert_signed(call)
    sent = json.loads(call[3])
    fields = {key: value for key, value in sent.items() if key not in ("appid", "mchid")}
    code, told = sdk.pay(pay_type=pay_type, **fields)
    assert code == 200, told
    again = wxpay.sent[-1]
    assert again[1] == call[1]
    assert json.loads(again[3]) == sent, (json.loads(again[3]), sent)
    assert type(sent["amount"]["total"]) is int, sent
    assert_client(sdk, name, reply["orderInfo"], json.loads(told))


def assert_client(sdk, name, info, told):
    """Asserts that the client's parameters are signed as the SDK signs them."""
    if name == "jsapi":
        assert info["package"] == f"prepay_id={told['prepay_id']}", info
        fields = [info["appId"], info["timeStamp"], info["nonceStr"], info["package"]]
        assert info["paySign"] == sdk.sign(fields), info
        assert info["signType"] == "RSA", info
    elif name == "app":
        assert info["prepayid"] == told["prepay_id"], info
        fields = [info["appid"], info["timestamp"], info["noncestr"], info["prepayid"]]
        assert info["sign"] == sdk.sign(fields), info
    elif name == "native":
        assert info == {"codeUrl": told["code_url"]}, info
    else:
        assert info["h5Url"] == info["mwebUrl"] == told["h5_url"], info


def judge(mode):
    wxpay = WxPay(mode)
    with provider(wxpay.answer) as origin:
        point_at(origin)
        sdk = merchant(
            mchid=MCH_ID, appid=APP_ID, private_key=read("wxpay_merchant.key"),
            cert_serial_no=SERIAL_NO, apiv3_key=API_V3_KEY, **MODES[mode]["sdk"])
        shop = {
            "PAYGATE_WXPAY_MCH_ID": MCH_ID,
            "PAYGATE_WXPAY_APP_ID": APP_ID,
            "PAYGATE_WXPAY_PRIVATE_KEY_FILE": path("wxpay_merchant.key"),
            "PAYGATE_WXPAY_CERT_FILE": path("wxpay_merchant.crt"),
            "PAYGATE_WXPAY_API_V3_KEY": API_V3_KEY,
            "PAYGATE_WXPAY_H5_NAME": "shop",
            "PAYGATE_WXPAY_H5_URL": "https://shop.example.com",
            "PAYGATE_WXPAY_BASE_URL": origin,
            **MODES[mode]["env"],
        }
        with live(shop) as create:
            for product in PRODUCTS:
                with fact(f"{mode}: {product[0]} orders arrive as wechatpayv3 sends them, and "
                          "its signature is the client's"):
                    judge_order(wxpay, sdk, create, product)
            if mode == "certificates":
                with fact(f"{mode}: their download is signed as wechatpayv3 signs it"):
                    download = [it for it in wxpay.sent if it[1] == "/v3/certificates"]
                    own = "wechatpay python sdk"
                    ours = [it for it in download if own not in it[2]["user-agent"]]
                    assert ours, "paygate downloaded no certificates"
                    assert_signed(ours[-1])
            with fact(f"{mode}: a reply that was changed on its way is not accepted"):
                wxpay.tamper = True
                reply = create(order("h5", True))
                assert reply["code"] == 5002, reply


for each in MODES:
    judge(each)
sys.exit(1 if harness.failed else 0)
