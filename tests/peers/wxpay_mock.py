"""wechatpayv3 as a client of the simulated WeChat Pay."""
import json
import os
import queue
import re
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

from wechatpayv3 import WeChatPayType

import harness
from harness import fact, free_port, number, read, started
from wxpay_sdk import merchant, point_at

LISTEN = f"127.0.0.1:{free_port()}"


def printed():
    """What `paygate mock --print-env` prints: all that a program needs to use the mock."""
    lines = subprocess.run(
        [os.environ["PAYGATE"], "mock", "--print-env"], env={"PAYGATE_MOCK_LISTEN": LISTEN},
        check=True, capture_output=True, text=True).stdout.splitlines()
    pairs = re.findall(r'^(\w+)="?(.*?)"?$', "\n".join(lines), re.MULTILINE)
    return {name: value.replace("\\n", "\n").strip() for name, value in pairs}


GIVEN = printed()

MODES = {
    "public key": {
        "public_key": GIVEN["WXPAY_PUBLIC_KEY"],
        "public_key_id": GIVEN["WXPAY_PUBLIC_KEY_ID"],
    },
    # The SDK downloads them from the mock and decrypts them.
    "certificates": {},
}
NOTIFY_URL = "https://shop.example.com/pay/notify/wxpay/wxpay_h5/default"


def shop(app, keys, **given):
    given = {"private_key": GIVEN["WXPAY_PRIVATE_KEY"], **keys, **given}
    return merchant(
        mchid=GIVEN["WXPAY_MCH_ID"], appid=GIVEN[app], notify_url=NOTIFY_URL,
        cert_serial_no=GIVEN["WXPAY_SERIAL_NO"], apiv3_key=GIVEN["WXPAY_API_V3_KEY"],
        **given)


ORDERS = [
    ("native", "WXPAY_APP_ID_H5", WeChatPayType.NATIVE, "code_url", {}),
    ("jsapi", "WXPAY_APP_ID_MP_WEIXIN", WeChatPayType.JSAPI, "prepay_id",
     {"payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}}),
    ("app", "WXPAY_APP_ID_APP_PLUS", WeChatPayType.APP, "prepay_id", {}),
    ("h5", "WXPAY_APP_ID_MWEB", WeChatPayType.H5, "h5_url",
     {"scene_info": {"payer_client_ip": "1.2.4.8", "h5_info": {"type": "Wap"}}}),
]


class Shop(BaseHTTPRequestHandler):
    """Acknowledges whatever it is told, and keeps it."""
    told = queue.Queue()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        Shop.told.put((dict(self.headers.items()), body.decode()))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def pay(no):
    """A buyer pays at the mock."""
    body = json.dumps({"provider": "wxpay", "out_trade_no": no}).encode()
    headers = {"content-type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(
        f"http://{LISTEN}/_mock/pay", body, headers), timeout=10).close()


def judge_notification(mode, keys):
    with fact(f"{mode}: wechatpayv3 verifies and decrypts the notification of a payment"):
        sdk, no = shop("WXPAY_APP_ID_H5", keys), number()
        url = f"http://127.0.0.1:{SHOP.server_port}/pay/notify/wxpay/wxpay_h5/default"
        code, told = sdk.pay(
            description="测试", out_trade_no=no, amount={"total": 1}, notify_url=url,
            pay_type=WeChatPayType.NATIVE)
        assert code == 200, (code, told)
        pay(no)
        headers, body = Shop.told.get(timeout=10)
        headers = {name.title(): value for name, value in headers.items()}
        told = sdk.callback(headers, body)
        assert told, (headers, body)
        assert told["event_type"] == "TRANSACTION.SUCCESS", told
        trade = told["resource"]
        assert (trade["out_trade_no"], trade["amount"]["total"]) == (no, 1), trade
        assert not sdk.callback(headers, body.replace("SUCCESS", "CLOSED")), "everything verifies"


def judge(mode, keys):
    for name, app, pay_type, given, more in ORDERS:
        with fact(f"{mode}: the mock takes wechatpayv3's {name} order, asks and closes, and its "
                  "replies verify"):
            sdk, no = shop(app, keys), number()
            code, told = sdk.pay(
                description="测试", out_trade_no=no, amount={"total": 1}, pay_type=pay_type, **more)
            assert code == 200, (code, told)
            assert json.loads(told)[given], told
            code, told = sdk.query(out_trade_no=no)
            assert code == 200, (code, told)
            trade = json.loads(told)
            assert (trade["out_trade_no"], trade["trade_state"]) == (no, "NOTPAY"), trade
            code, told = sdk.close(out_trade_no=no)
            assert code == 204, (code, told)
            _, told = sdk.query(out_trade_no=no)
            assert json.loads(told)["trade_state"] == "CLOSED", told
    with fact(f"{mode}: the mock refuses another key"):
        sdk = shop("WXPAY_APP_ID_H5", MODES["public key"], private_key=read("wxpay_merchant.key"))
        code, told = sdk.query(out_trade_no=number())
        assert code == 401, (code, told)
        assert json.loads(told)["code"] == "SIGN_ERROR", told


SHOP = HTTPServer(("127.0.0.1", 0), Shop)
threading.Thread(target=SHOP.serve_forever, daemon=True).start()
with started(["mock"], {"PAYGATE_MOCK_LISTEN": LISTEN}, f"http://{LISTEN}/"):
    point_at(GIVEN["WXPAY_BASE_URL"])
    for each, with_keys in MODES.items():
        judge(each, with_keys)
        judge_notification(each, with_keys)
sys.exit(1 if harness.failed else 0)
