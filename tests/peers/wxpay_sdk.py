"""wechatpayv3, pointed at a loopback address instead of WeChat Pay's."""
import subprocess
from unittest import mock

import requests
from wechatpayv3 import WeChatPay, WeChatPayType

HOST = "https://api.mch.weixin.qq.com"
_target = HOST


def point_at(origin):
    """Sends every later call of the SDK to `origin`."""
    global _target
    _target = origin


def _redirected(send):
    def redirected(url, **given):
        return send(url=url.replace(HOST, _target, 1), **given)
    return redirected


# The SDK has its host in its constructor, which already calls out in certificate mode.
mock.patch.object(requests, "get", _redirected(requests.get)).start()
mock.patch.object(requests, "post", _redirected(requests.post)).start()


def merchant(**given):
    """The SDK of a merchant with `given` keys."""
    return WeChatPay(wechatpay_type=WeChatPayType.NATIVE, timeout=(5, 10), **given)


def serial_no(certificate):
    """A certificate's serial number as the merchant console shows it."""
    told = subprocess.run(
        ["openssl", "x509", "-noout", "-serial", "-in", certificate],
        check=True, capture_output=True, text=True)
    return told.stdout.strip().split("=")[1]
