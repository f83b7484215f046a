// What paygate sends to Alipay, judged by Alipay's own SDK; and what paygate makes of replies.
'use strict';
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { AlipaySdk } = require('alipay-sdk');
const { at, fact, file, live, number, provider, read, run } = require('./harness.cjs');

const APP_ID = '2021001161683774';

/** The merchant's SDK, in key mode and in certificate mode. */
const MODES = {
  keys: {
    env: { PAYGATE_ALIPAY_PUBLIC_KEY_FILE: file('alipay.pub') },
    sdk: { alipayPublicKey: read('alipay.pub') },
  },
  certificates: {
    env: {
      PAYGATE_ALIPAY_APP_CERT_FILE: file('alipay_app.crt'),
      PAYGATE_ALIPAY_PUBLIC_CERT_FILE: file('alipay_public.crt'),
      PAYGATE_ALIPAY_ROOT_CERT_FILE: file('alipay_roots.crt'),
    },
    sdk: {
      appCertContent: read('alipay_app.crt'),
      alipayPublicCertContent: read('alipay_public.crt'),
      alipayRootCertContent: read('alipay_roots.crt'),
    },
  },
};

const merchant = (keys) => new AlipaySdk({
  appId: APP_ID, privateKey: read('alipay_app.key'), keyType: 'PKCS8', ...keys,
});

/** Verifies the merchant's signature as Alipay's SDK verifies Alipay's. */
const verifier = new AlipaySdk({
  appId: APP_ID,
  privateKey: read('alipay.key'),
  keyType: 'PKCS8',
  alipayPublicKey: read('alipay_app.pub'),
});

const decode = (query) => Object.fromEntries(new URLSearchParams(query));

/** Asserts that `sent` is what the SDK itself makes of the same parameters at the same time. */
async function assertAsSdk(sdk, sent) {
  assert.ok(verifier.checkNotifySignV2(sent), 'the signature does not verify');
  const forged = { ...sent, biz_content: sent.biz_content.replace('0.01', '0.02') };
  assert.ok(!verifier.checkNotifySignV2(forged), 'everything verifies');
  const given = { notifyUrl: sent.notify_url, bizContent: JSON.parse(sent.biz_content) };
  if (sent.return_url) given.returnUrl = sent.return_url;
  if (sent.app_auth_token) given.appAuthToken = sent.app_auth_token;
  const own = await at(sent.timestamp, () => sdk.sdkExecute(sent.method, given));
  assert.deepEqual(sent, decode(own));
}

const order = (platform, more = {}) => ({
  provider: 'alipay',
  isPC: true,
  data: { out_trade_no: number(), total_fee: 1, subject: '测试 a+b 100%', type: 'goods', ...more },
  context: { PLATFORM: platform },
});

/** Alipay's gateway: keeps the last call and signs its answer with `key`. */
class Gateway {
  key = read('alipay.key');

  answer(request, body) {
    const url = new URL(request.url, 'http://gateway');
    this.sent = { ...decode(url.search), ...decode(body) };
    this.split = { query: [...url.searchParams.keys()], form: Object.keys(decode(body)) };
    const method = this.sent.method;
    const own = method === 'alipay.trade.create'
      ? '"trade_no":"2021071522001"'
      : String.raw`"qr_code":"https:\/\/qr.alipay.com\/bax{\"}"`;
    const { out_trade_no: no } = JSON.parse(this.sent.biz_content);
    const raw = `{"code":"10000", "msg":"Success","out_trade_no" : "${no}",${own}}`;
    const sign = crypto.createSign('RSA-SHA256').update(raw).sign(this.key, 'base64');
    this.node = `${method.replaceAll('.', '_')}_response`;
    this.sign = sign;
    this.reply = `{"${this.node}":${raw},${this.certificate ?? ''}"sign":"${sign}"}`;
    return this.reply;
  }
}

async function judgeCalls(mode, sdk, gateway, paygate) {
  await fact(`${mode}: alipay.trade.precreate arrives as alipay-sdk sends it`, async () => {
    const reply = await paygate.create(order('h5'));
    assert.equal(reply.code, 0, JSON.stringify(reply));
    assert.equal(gateway.sent.method, 'alipay.trade.precreate');
    assert.deepEqual(gateway.split.form, ['biz_content']);
    assert.ok(gateway.split.query.includes('charset') && gateway.split.query.includes('sign'));
    await assertAsSdk(sdk, gateway.sent);
    sdk.checkResponseSign(gateway.reply, gateway.node, gateway.sign);
    assert.equal(reply.orderInfo.codeUrl, 'https://qr.alipay.com/bax{"}');
    assert.equal(reply.orderInfo.outTradeNo, reply.out_trade_no);
  });
  await fact(`${mode}: alipay.trade.create arrives as alipay-sdk sends it`, async () => {
    const reply = await paygate.create(order('mp-alipay', { openid: '2088102146225135' }));
    assert.equal(reply.code, 0, JSON.stringify(reply));
    assert.equal(gateway.sent.method, 'alipay.trade.create');
    await assertAsSdk(sdk, gateway.sent);
    assert.equal(reply.orderInfo, '2021071522001');
  });
  await fact(`${mode}: an app's order is the one alipay-sdk signs`, async () => {
    const other = { goods_detail: [{ goods_id: 'a', price: 1.5, quantity: 2 }] };
    const reply = await paygate.create(order('app', { other, body: '一件' }));
    assert.equal(reply.code, 0, JSON.stringify(reply));
    const sent = decode(reply.orderInfo);
    assert.equal(sent.method, 'alipay.trade.app.pay');
    await assertAsSdk(sdk, sent);
  });
  await fact(`${mode}: an order for another merchant bears its signed token`, async () => {
    const reply = await paygate.create(order('h5', { app_auth_token: '201611BBtoken' }));
    assert.equal(reply.code, 0, JSON.stringify(reply));
    assert.equal(gateway.sent.app_auth_token, '201611BBtoken');
    await assertAsSdk(sdk, gateway.sent);
  });
  await fact(`${mode}: a reply that somebody else signed is not accepted`, async () => {
    gateway.key = read('alipay_app.key');
    const reply = await paygate.create(order('h5'));
    gateway.key = read('alipay.key');
    assert.throws(() => sdk.checkResponseSign(gateway.reply, gateway.node, gateway.sign));
    assert.equal(reply.code, 5002, JSON.stringify(reply));
  });
}

async function judgePages(sdk, paygate) {
  const pages = [['alipay.trade.page.pay', true], ['alipay.trade.wap.pay', false]];
  for (const [method, isPC] of pages) {
    await fact(`keys: the address of ${method} is signed as alipay-sdk signs it`, async () => {
      const returnUrl = 'https://shop.example.com/done?no=1';
      const reply = await paygate.create({ ...order('h5', { return_url: returnUrl }), isPC });
      assert.equal(reply.code, 0, JSON.stringify(reply));
      const sent = decode(new URL(reply.orderInfo.payUrl).search);
      assert.equal(sent.method, method);
      assert.equal(sent.return_url, returnUrl);
      await assertAsSdk(sdk, sent);
    });
  }
}

run(async () => {
  for (const [mode, { env, sdk: keys }] of Object.entries(MODES)) {
    const gateway = new Gateway();
    const sdk = merchant(keys);
    if (mode === 'certificates') {
      gateway.certificate = `"alipay_cert_sn":"${sdk.config.alipayCertSn}",`;
    }
    const { origin, stop } = await provider((request, body) => gateway.answer(request, body));
    const shop = {
      PAYGATE_ALIPAY_APP_ID: APP_ID,
      PAYGATE_ALIPAY_PRIVATE_KEY_FILE: file('alipay_app.key'),
      PAYGATE_ALIPAY_GATEWAY_URL: `${origin}/gateway.do`,
      ...env,
    };
    const paygate = await live(shop);
    await judgeCalls(mode, sdk, gateway, paygate);
    await paygate.stop();
    if (mode === 'keys') {
      const pages = await live({ ...shop, PAYGATE_ALIPAY_H5_PRODUCT: 'web' });
      await judgePages(sdk, pages);
      await pages.stop();
    }
    stop();
  }
});
