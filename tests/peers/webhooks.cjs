// npm `standardwebhooks`, the reference implementation, verifies what the sidecar tells the shop.
'use strict';
const assert = require('node:assert/strict');
const http = require('node:http');
const { Webhook } = require('standardwebhooks');
const { fact, freePort, run, start } = require('./harness.cjs');

const SECRETS = {
  'whsec_ and base64': 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  'two of them': 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw,whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQt',
};

/** The reference implementation with the same key: of two, with the one that is replaced. */
const verifier = (secret) => new Webhook(secret.split(',').at(-1));

/** The shop's endpoint; `next()` is the next event. */
async function endpoint() {
  const events = [];
  let arrived = () => {};
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    events.push({ path: request.url, headers: request.headers, body: Buffer.concat(chunks) });
    response.end('{"code":0}');
    arrived();
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const next = async () => {
    while (events.length === 0) await new Promise((resolve) => { arrived = resolve; });
    return events.shift();
  };
  return { origin: `http://127.0.0.1:${server.address().port}`, next, stop: () => server.close() };
}

const post = async (url, body) => {
  const headers = { 'content-type': 'application/json' };
  const reply = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  return reply.json();
};

/** An order is paid at the simulated WeChat Pay; the event that follows. */
async function told(shop, secret) {
  const [port, admin, mock] = [await freePort(), await freePort(), await freePort()];
  const { stop } = await start(['serve'], {
    PAYGATE_MODE: 'mock',
    PAYGATE_STORE: 'memory:',
    PAYGATE_LISTEN: `127.0.0.1:${port}`,
    PAYGATE_ADMIN_LISTEN: `127.0.0.1:${admin}`,
    PAYGATE_MOCK_LISTEN: `127.0.0.1:${mock}`,
    PAYGATE_WEBHOOK_URL: `${shop.origin}/events/{type}`,
    PAYGATE_WEBHOOK_SECRET: secret,
  }, `http://127.0.0.1:${admin}/readyz`);
  try {
    const data = { out_trade_no: 'webhook-1', total_fee: 1, subject: '龙井茶', type: 'goods' };
    const order = { provider: 'wxpay', isPC: true, data };
    const { orderInfo } = await post(`http://127.0.0.1:${port}/pay/createPayment`, order);
    const purchase = { provider: 'wxpay', code_url: orderInfo.codeUrl };
    await post(`http://127.0.0.1:${mock}/_mock/pay`, purchase);
    return await shop.next();
  } finally {
    await stop();
  }
}

run(async () => {
  for (const [form, secret] of Object.entries(SECRETS)) {
    const shop = await endpoint();
    const { path, headers, body } = await told(shop, secret);
    shop.stop();
    const judge = verifier(secret);
    await fact(`an event verifies with standardwebhooks (${form})`, async () => {
      assert.equal(path, '/events/goods');
      const event = judge.verify(body, headers);
      assert.equal(event.type, 'payment.succeeded');
      assert.equal(event.data.out_trade_no, 'webhook-1');
    });
    await fact(`another body, id, time or key does not (${form})`, async () => {
      const changed = Buffer.from(body);
      changed[changed.length - 2] ^= 1;
      assert.throws(() => judge.verify(changed, headers));
      for (const name of ['webhook-id', 'webhook-timestamp']) {
        assert.throws(() => judge.verify(body, { ...headers, [name]: `${headers[name]}0` }));
      }
      assert.throws(() => verifier('whsec_c2VjcmV0').verify(body, headers));
    });
  }
});
