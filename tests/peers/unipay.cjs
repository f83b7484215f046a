// The same Alipay app order from paygate and from @dcloudio/unipay, the engine under vk-uni-pay.
'use strict';
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { at, fact, file, live, number, read, run } = require('./harness.cjs');

// The engine is written for uniCloud's global; signing an order calls none of it.
globalThis.uniCloud = {
  httpclient: { request() { throw new Error('unipay calls out'); } },
  logger: console,
};
const unipay = require('@dcloudio/unipay');

const APP_ID = '2021001161683774';
const SUBJECT = '测试 a+b 100%';

const decode = (query) => Object.fromEntries(new URLSearchParams(query));

/** Whether the app's key signed these parameters: sorted, as they are, without `sign`. */
function isSigned({ sign, ...parameters }) {
  const text = Object.keys(parameters).sort().map((it) => `${it}=${parameters[it]}`).join('&');
  const verify = crypto.createVerify('RSA-SHA256').update(text, 'utf8');
  return verify.verify(read('alipay_app.pub'), sign, 'base64');
}

/** The document with its amount as a number, which unipay writes where Alipay asks for a text. */
function document({ biz_content: text }) {
  const content = JSON.parse(text);
  return { ...content, total_amount: Number(content.total_amount) };
}

run(async () => {
  const paygate = await live({
    PAYGATE_ALIPAY_APP_ID: APP_ID,
    PAYGATE_ALIPAY_PRIVATE_KEY_FILE: file('alipay_app.key'),
    PAYGATE_ALIPAY_PUBLIC_KEY_FILE: file('alipay.pub'),
    // An app's order is signed and not sent: nobody needs to listen here.
    PAYGATE_ALIPAY_GATEWAY_URL: 'http://127.0.0.1:9/gateway.do',
  });
  const no = number();
  const reply = await paygate.create({
    provider: 'alipay',
    data: { out_trade_no: no, total_fee: 1010, subject: SUBJECT, type: 'goods' },
    context: { PLATFORM: 'app-plus' },
  });
  await paygate.stop();
  assert.equal(reply.code, 0, JSON.stringify(reply));
  const ours = decode(reply.orderInfo);
  const { product_code: productCode, time_expire: timeExpire } = JSON.parse(ours.biz_content);

  const engine = unipay.initAlipay({
    appId: APP_ID,
    mchId: '2088831204659217',
    privateKey: read('alipay_app.key'),
    alipayPublicKey: read('alipay.pub'),
    keyType: 'PKCS8',
    clientType: 'app-plus',
  });
  // product_code and time_expire are what a vk-uni-pay shop adds by `other` and `time_expire`.
  const text = await at(ours.timestamp, () => engine.getOrderInfo({
    subject: SUBJECT, outTradeNo: no, totalFee: 1010, notifyUrl: ours.notify_url,
    productCode, timeExpire,
  }));
  const theirs = decode(text);

  await fact('unipay and paygate send the same parameters', () => {
    const strip = ({ sign, biz_content: content, ...rest }) => rest;
    assert.deepEqual(strip(ours), strip(theirs));
    assert.deepEqual(document(ours), document(theirs));
    assert.equal(typeof JSON.parse(ours.biz_content).total_amount, 'string');
  });
  await fact('biz_content stands last in both', () => {
    for (const query of [reply.orderInfo, text]) {
      assert.match(query, /&biz_content=[^&]*$/);
    }
  });
  await fact('both signatures verify under the same key', () => {
    assert.ok(isSigned(ours) && isSigned(theirs));
    assert.ok(!isSigned({ ...ours, timestamp: '2000-01-01 00:00:00' }), 'everything verifies');
  });
});
