// Alipay's own SDK as a client of the simulated Alipay.
'use strict';
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { AlipaySdk } = require('alipay-sdk');
const { fact, freePort, number, provider, read, run, start } = require('./harness.cjs');

/** What `paygate mock --print-env` prints: all that a program needs to use the mock. */
function printed(port) {
  const env = { PAYGATE_MOCK_LISTEN: `127.0.0.1:${port}` };
  const text = execFileSync(process.env.PAYGATE, ['mock', '--print-env'], { env, encoding: 'utf8' });
  const pairs = [...text.matchAll(/^(\w+)="?(.*?)"?$/gm)];
  return Object.fromEntries(
    pairs.map(([, name, value]) => [name, value.replaceAll('\\n', '\n').trim()]));
}

const modes = (given) => ({
  keys: { alipayPublicKey: given.ALIPAY_PUBLIC_KEY },
  certificates: {
    appCertContent: given.ALIPAY_APP_CERT,
    alipayPublicCertContent: given.ALIPAY_PUBLIC_CERT,
    alipayRootCertContent: given.ALIPAY_ROOT_CERT,
  },
});

const minutesAhead = (minutes) => {
  const beijing = new Date(Date.now() + (8 * 60 + minutes) * 60_000).toISOString();
  return beijing.slice(0, 19).replace('T', ' ');
};

function order(productCode, more = {}) {
  return {
    outTradeNo: number(),
    totalAmount: '0.01',
    subject: '测试 a+b',
    productCode,
    timeExpire: minutesAhead(30),
    ...more,
  };
}

/** A buyer pays at the mock. */
async function pay(port, outTradeNo) {
  const reply = await fetch(`http://127.0.0.1:${port}/_mock/pay`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ provider: 'alipay', out_trade_no: outTradeNo }),
  });
  assert.equal(reply.status, 200, await reply.text());
}

run(async () => {
  const port = await freePort();
  const given = printed(port);
  const gateway = given.ALIPAY_GATEWAY_URL;
  const { stop } = await start(['mock'], { PAYGATE_MOCK_LISTEN: `127.0.0.1:${port}` }, gateway);
  const merchant = (app, keys) => new AlipaySdk({
    appId: given[app], privateKey: given.ALIPAY_PRIVATE_KEY, keyType: 'PKCS8', gateway,
    ...keys,
  });
  const notifyUrl = 'https://shop.example.com/pay/notify/alipay/alipay_h5/default';
  for (const [mode, keys] of Object.entries(modes(given))) {
    // `validateSign` makes the SDK refuse a reply without a signature that verifies.
    const call = (sdk, method, bizContent) =>
      sdk.exec(method, { notifyUrl, bizContent }, { validateSign: true });
    const shop = merchant('ALIPAY_APP_ID_H5', keys);
    const miniProgram = merchant('ALIPAY_APP_ID_MP_ALIPAY', keys);

    await fact(`${mode}: the mock takes alipay-sdk's precreate; its reply verifies`, async () => {
      const content = order('FACE_TO_FACE_PAYMENT');
      const reply = await call(shop, 'alipay.trade.precreate', content);
      assert.equal(reply.code, '10000', JSON.stringify(reply));
      assert.equal(reply.outTradeNo, content.outTradeNo);
      assert.match(reply.qrCode, /^https?:\/\//);
    });
    await fact(`${mode}: a code that nobody scanned is no trade yet, signed`, async () => {
      const content = order('FACE_TO_FACE_PAYMENT');
      await call(shop, 'alipay.trade.precreate', content);
      const { outTradeNo } = content;
      const reply = await call(shop, 'alipay.trade.query', { outTradeNo });
      assert.equal(reply.code, '40004', JSON.stringify(reply));
      assert.equal(reply.subCode, 'ACQ.TRADE_NOT_EXIST');
    });
    await fact(`${mode}: a trade is created, waits for its buyer, and closes`, async () => {
      const content = order('JSAPI_PAY', {
        buyerId: '2088102146225135', opAppId: miniProgram.config.appId,
      });
      const { outTradeNo } = content;
      const created = await call(miniProgram, 'alipay.trade.create', content);
      assert.equal(created.code, '10000', JSON.stringify(created));
      const asked = await call(miniProgram, 'alipay.trade.query', { outTradeNo });
      assert.equal(asked.tradeNo, created.tradeNo);
      assert.equal(asked.tradeStatus, 'WAIT_BUYER_PAY');
      assert.equal(asked.totalAmount, '0.01');
      const closed = await call(miniProgram, 'alipay.trade.close', { outTradeNo });
      assert.equal(closed.code, '10000', JSON.stringify(closed));
      const after = await call(miniProgram, 'alipay.trade.query', { outTradeNo });
      assert.equal(after.tradeStatus, 'TRADE_CLOSED');
    });
    await fact(`${mode}: the notification of a payment verifies, and a changed one does not`, async () => {
      const arrived = [];
      const taken = new Promise((resolve) => { arrived.push(resolve); });
      const { origin, stop: close } = await provider((request, body) => {
        arrived[0](Object.fromEntries(new URLSearchParams(body)));
        return 'success';
      });
      const content = order('FACE_TO_FACE_PAYMENT');
      const url = `${origin}/pay/notify/alipay/alipay_h5/default`;
      await shop.exec('alipay.trade.precreate', { notifyUrl: url, bizContent: content });
      await pay(port, content.outTradeNo);
      const told = await taken;
      close();
      assert.ok(shop.checkNotifySign(told), JSON.stringify(told));
      assert.ok(shop.checkNotifySignV2(told), JSON.stringify(told));
      assert.ok(!shop.checkNotifySignV2({ ...told, total_amount: '0.02' }), 'everything verifies');
      assert.equal(told.out_trade_no, content.outTradeNo);
      assert.equal(told.trade_status, 'TRADE_SUCCESS');
      assert.equal(told.subject, content.subject);
    });
    await fact(`${mode}: what the pay page adds to return_url verifies`, async () => {
      const content = order('FAST_INSTANT_TRADE_PAY');
      const returnUrl = 'https://shop.example.com/back?x=1';
      const payUrl = shop.pageExecute('alipay.trade.page.pay', 'GET', { returnUrl, bizContent: content });
      const open = `http://127.0.0.1:${port}/_mock/cashier/order?with=${encodeURIComponent(payUrl)}`;
      const opened = await (await fetch(open)).json();
      assert.equal(opened.order.out_trade_no, content.outTradeNo);
      const reply = await fetch(`http://127.0.0.1:${port}/_mock/pay`, {
        method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify(opened.purchase),
      });
      assert.equal(reply.status, 200, await reply.text());
      const back = new URL((await (await fetch(open)).json()).return_url);
      const { x, ...params } = Object.fromEntries(back.searchParams);
      assert.equal(x, '1');
      assert.equal(params.out_trade_no, content.outTradeNo);
      assert.ok(shop.checkNotifySign(params), back.href);
      assert.ok(!shop.checkNotifySign({ ...params, total_amount: '9.99' }), 'everything verifies');
    });
    await fact(`${mode}: the mock refuses another app's key, unsigned as Alipay does`, async () => {
      const stranger = merchant('ALIPAY_APP_ID_H5', { ...keys, privateKey: read('alipay_app.key') });
      const content = { notifyUrl, bizContent: order('FACE_TO_FACE_PAYMENT') };
      const reply = await stranger.exec('alipay.trade.precreate', content);
      assert.equal(reply.code, '40002', JSON.stringify(reply));
      assert.equal(reply.subCode, 'isv.invalid-signature');
    });
  }
  await stop();
});
