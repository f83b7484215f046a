// A buyer at the cashier's pages, and the shop that gets the events.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { sign } from 'node:crypto'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { promisify } from 'node:util'

import { open } from './chromium.mjs'

const SECRET = 'whsec_cGF5Z2F0ZS1icm93c2VyLXRlc3Qtc2VjcmV0'
const children = []
let failed = false

async function fact(name, hold) {
  try {
    await hold()
    console.log(`ok: ${name}`)
  } catch (error) {
    failed = true
    console.log(`NOT OK: ${name}\n    ${String(error.stack ?? error).replaceAll('\n', '\n    ')}`)
  }
}

const freePort = () => new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    server.close(() => resolve(port))
  })
})

/** Starts `program` and waits until `ready` answers. */
async function start(program, args, { env, ready }) {
  const child = spawn(program, args, {
    cwd: process.env.WORK, env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.push(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (it) => { output += it })
  for (let tries = 0; tries < 150 && child.exitCode === null; tries += 1) {
    if (await fetch(ready).then(() => true, () => false)) return
    await new Promise((resolve) => { setTimeout(resolve, 100) })
  }
  throw new Error(`${program} does not start:\n${output}`)
}

const [port, admin, mock, shop, gate] = await Promise.all([1, 2, 3, 4, 5].map(freePort))
const at = (to) => `http://127.0.0.1:${to}`

/** Passes events on to the shop, but for orders of the type `refuse`: those it refuses. */
function startGate() {
  createHttpServer(async (request, response) => {
    if (request.url === '/refuse') return response.writeHead(404).end('refused')
    const chunks = await request.toArray()
    const headers = { ...request.headers }
    delete headers.host
    delete headers['content-length']
    const body = Buffer.concat(chunks)
    const reply = await fetch(`${at(shop)}/paygate/events`, { method: 'POST', headers, body })
    response.writeHead(reply.status).end(await reply.text())
  }).listen(gate, '127.0.0.1')
}

async function startAll() {
  startGate()
  const env = { PORT: `${shop}`, PAYGATE_WEBHOOK_SECRET: SECRET }
  await start(process.execPath, [process.env.NODE_SHOP], { env, ready: at(shop) })
  await start(process.env.PAYGATE, ['serve'], {
    env: {
      PAYGATE_MODE: 'mock',
      PAYGATE_STORE: 'memory:',
      PAYGATE_LISTEN: `127.0.0.1:${port}`,
      PAYGATE_ADMIN_LISTEN: `127.0.0.1:${admin}`,
      PAYGATE_MOCK_LISTEN: `127.0.0.1:${mock}`,
      PAYGATE_UPSTREAM: at(shop),
      PAYGATE_ALIPAY_H5_PRODUCT: 'web',
      PAYGATE_WEBHOOK_URL: `${at(gate)}/{type}`,
      PAYGATE_WEBHOOK_SECRET: SECRET,
    },
    ready: `${at(admin)}/readyz`,
  })
}

async function json(url, body) {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' } }
  const reply = await fetch(url, body && { ...init, body: JSON.stringify(body) })
  return reply.json()
}

/** Creates a payment for an order of the shop, or for a number of its own. */
async function create(provider, data) {
  const told = await json(`${at(port)}/pay/createPayment`, {
    provider, isPC: true, needQRcode: true, data, context: { PLATFORM: 'h5' },
  })
  assert.equal(told.code, 0, JSON.stringify(told))
  return told
}

/** An order on a phone or a PC without a code to scan: what the client opens. */
async function createAt(provider, context, data) {
  const reply = await json(`${at(port)}/pay/createPayment`, { provider, data, context })
  assert.equal(reply.code, 0, JSON.stringify(reply))
  return reply.orderInfo
}

const of = (name) => `#order [data-of="${name}"]`
const quoted = (selector) => `document.querySelector(${JSON.stringify(selector)})`
const text = (selector) => `${quoted(selector)}.textContent`
const visible = (selector) =>
  `[...document.querySelectorAll(${JSON.stringify(selector)})].filter((it) => it.checkVisibility())`
const columns = {
  provider: '#provider-column .notification', shop: '#shop-column .notification',
}
const LATEST = '[data-of="deliveries"]'

/** Waits until the page shows the order `no`, and nothing before it. */
async function showsAlone(page, no) {
  await page.until(`${text(of('number'))} === ${JSON.stringify(no)}`)
  assert.equal(await page.eval(`${visible('main > *')}[0].id`), 'order')
  assert.equal(await page.eval(`${visible('#orders .card, form')}.length`), 0)
  assert.deepEqual(await page.eval(`${visible('[data-act="pay"]')}.length`), 1)
}

async function pay(page) {
  await page.click('#order [data-act="pay"]')
  await page.until(`${text(of('state'))}.includes('Paid')`)
}

async function paidAtMock(no) {
  const { orders } = await json(`${at(mock)}/_mock/orders/${no}`)
  return orders.map((it) => [it.provider, it.state])
}

async function listFacts(page) {
  const order = await json(`${at(shop)}/api/orders`, { product: 'tea' })
  const { out_trade_no: no, subject, total_fee, type } = order
  await create('wxpay', { out_trade_no: no, subject, total_fee, type })
  const evil = `evil${Date.now()}`
  const markup = '<img src=x onerror=document.title=1>'
  await create('wxpay', { out_trade_no: evil, subject: markup, total_fee: 123456, type: 'goods' })
  const item = (number, rest) => `.card[data-number="${number}"] ${rest}`
  await page.go(at(mock))

  await fact('the list shows an order with its amount and its date', async () => {
    await page.until(quoted(item(no, '[data-of="yuan"]')))
    assert.equal(await page.eval(text(item(no, '[data-of="yuan"]'))), '0.01')
    assert.equal(await page.eval(text(item(no, '[data-of="subject"]'))), subject)
    assert.match(await page.eval(text(item(no, 'time'))), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/)
    assert.match(await page.eval(`${quoted(item(no, 'time'))}.title`), /^\d{4}-.*T.*Z$/)
  })
  await fact('what a stranger writes into an order is text', async () => {
    assert.equal(await page.eval(text(item(evil, '[data-of="subject"]'))), markup)
    assert.equal(await page.eval('document.title'), '收银台 Cashier · paygate')
  })
  await fact('every button and field has a name', async () => {
    const { nodes } = await page.send('Accessibility.getFullAXTree')
    const used = nodes.filter((it) => ['button', 'textbox', 'searchbox'].includes(it.role?.value))
    assert.ok(used.length >= 4, `${used.length} were found`)
    assert.deepEqual(used.filter((it) => !it.ignored && !it.name?.value), [])
  })
  await page.picture('list.png')
  await fact('a search finds an order among many by number, amount and state', async () => {
    const many = Array.from({ length: 60 }, (_, n) => create('wxpay', {
      out_trade_no: `many-${n}-${Date.now()}`, subject: 'many', total_fee: 5000 + n, type: 'goods',
    }))
    await Promise.all(many)
    for (const search of [no, '50.59 waiting', '微信 50.07']) {
      await page.go(at(mock))
      await page.until(`${quoted('#q')} && ${visible('#orders .card')}.length === 50`)
      await page.eval(`${quoted('#q')}.value = ${JSON.stringify(search)}`)
      await page.click('#search button')
      await page.until(`${visible('#orders .card')}.length === 1`)
    }
  })
  await fact('older orders are on the next page', async () => {
    await page.go(at(mock))
    await page.until(`${visible('#orders .card')}.length === 50`)
    await page.click('[data-of="older"]')
    await page.until(`location.search === '?page=2' && ${visible('#orders .card')}.length > 10`)
    await page.until(quoted(item(no, 'a')))
  })
  return { no, evil, item }
}

async function orderFacts(page, { no, evil, item }) {
  await fact('an order of the list opens alone, with its QR code', async () => {
    await page.click(item(no, 'a'))
    await showsAlone(page, no)
    await page.until(`${quoted(of('code'))}.complete && ${quoted(of('code'))}.naturalWidth > 0`)
  })
  await page.picture('waiting.png')
  await fact('a press on Pay pays, and paygate acknowledges the notification', async () => {
    await pay(page)
    await page.until(`${text(`${columns.provider} .verdict`)}.includes('Acknowledged')`)
    assert.match(await page.eval(text(`${columns.provider} ${LATEST}`)), /20[04]/)
  })
  await fact('the other column shows that the shop got the event', async () => {
    await page.until(`${text(`${columns.shop} .verdict`)}.includes('Delivered')`)
    assert.equal(await page.eval(text(`${columns.shop} h3`)), 'payment.succeeded')
    const answers = await page.eval(text(`${columns.shop} ${LATEST}`))
    assert.match(answers, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d✓已接受 Accepted$/)
    assert.equal((await json(`${at(shop)}/api/orders/${no}`)).paid, true)
  })
  await page.picture('paid.png')
  await fact('a notification that is sent again is acknowledged again', async () => {
    await page.click('[data-act="notifications"]')
    const count = `document.querySelectorAll('${columns.provider} li').length`
    await page.until(`${count} === 2`)
    await page.until(`${text(`${columns.provider} .verdict`)}.includes('Acknowledged')`)
  })
  await page.go(`${at(mock)}/pay?with=${evil}`)
  await fact('the keyboard pays too', async () => {
    await page.until(`${text(of('number'))} === ${JSON.stringify(evil)}`)
    await page.eval(`${quoted('#order [data-act="pay"]')}.focus()`)
    await page.press('Enter', '\r')
    await page.until(`${text(of('state'))}.includes('Paid')`)
  })
  await fact('a part of it is refunded, and both columns show it', async () => {
    await page.until(`${quoted(of('refundamount'))}.value === '1234.56'`)
    await page.eval(`${quoted(of('refundamount'))}.value = '34.5'`)
    await page.click('#order [data-act="refund"]')
    await page.until(`${text(of('notifications'))}.includes('¥34.50 · 已到账 Arrived')`)
    await page.until(`${text(of('state'))}.includes('Partly refunded')`)
    await page.until(`${quoted(of('refundamount'))}.value === '1200.06'`)
    await page.until(`${text(of('events'))}.includes('refund.succeeded')`)
    await page.until(`${visible('.verdict')}.length === 4 && ${visible('.verdict')}`
      + ".every((it) => /Acknowledged|Delivered/.test(it.textContent))")
    await page.picture('refunded.png')
  })
  await fact('an event that the shop refuses says when it comes again', async () => {
    const refused = `refused${Date.now()}`
    await create('wxpay', { out_trade_no: refused, subject: 'x', total_fee: 1, type: 'refuse' })
    await page.go(`${at(mock)}/pay?with=${refused}`)
    await page.until(`${text(of('number'))} === ${JSON.stringify(refused)}`)
    await pay(page)
    await page.until(`${text(`${columns.shop} .verdict`)}.includes('Next try')`)
    assert.match(await page.eval(text(`${columns.shop} ${LATEST}`)), /✗.*404/)
  })
}

async function materialFacts(page) {
  const returnUrl = `${at(shop)}/api/products?back=1`
  const number = (name) => `${name}${Date.now()}`
  const order = (no) => ({ out_trade_no: no, subject: '龙井茶', total_fee: 990, type: 'goods' })
  const decoy = number('decoy')

  await fact("Alipay's page pays its order among many, and goes to return_url", async () => {
    const no = number('web')
    const { payUrl } = await createAt('alipay', { PLATFORM: 'h5', deviceType: 'pc' },
      { ...order(no), return_url: returnUrl })
    await create('alipay', order(decoy))
    await page.go(payUrl)
    await showsAlone(page, no)
    assert.equal(await page.eval(`${quoted(of('leave'))}.href`), returnUrl)
    await pay(page)
    const back = new URL(await page.eval(`${quoted(of('return'))}.href`))
    assert.equal(back.searchParams.get('out_trade_no'), no)
    assert.equal(back.searchParams.get('total_amount'), '9.90')
    assert.ok(back.searchParams.get('sign') && back.searchParams.get('back') === '1', back.href)
    await page.picture('return.png')
    await page.until(`location.origin === ${JSON.stringify(at(shop))}`)
    assert.equal(await page.eval('location.href'), back.href)
    assert.deepEqual(await paidAtMock(decoy), [['alipay', 'offered']])
  })
  await page.size(360, 740)
  await fact('mwebUrl opens the cashier on a phone, and leads to redirect_url', async () => {
    const no = number('mweb')
    const { mwebUrl } = await createAt('wxpay', { PLATFORM: 'h5', deviceType: 'phone' }, order(no))
    await page.go(`${mwebUrl}&redirect_url=${encodeURIComponent(returnUrl)}`)
    await showsAlone(page, no)
    await page.click('#order [data-act="cancel"]')
    await page.until(`${text('#message')}.includes('left without paying')`)
    assert.equal(await page.eval(`${quoted(of('leave'))}.href`), returnUrl)
    await pay(page)
    await page.until(`${quoted('#stay')}.checkVisibility()`)
    await page.click('#stay')
    await page.until(`!${quoted('#stay')}.checkVisibility()`)
    assert.equal(await page.eval(`${quoted(of('return'))}.href`), returnUrl)
    await page.until(`${text(`${columns.shop} .verdict`)}.includes('Delivered')`)
  })
  await fact('a phone shows an order and the list without scrolling sideways', async () => {
    const width = 'document.documentElement.scrollWidth'
    assert.equal(await page.eval(width), 360)
    await page.picture('phone.png')
    await page.go(at(mock))
    await page.until(`${visible('#orders .card')}.length === 50`)
    assert.equal(await page.eval(width), 360)
    await page.picture('phone-list.png')
  })
  await fact('whatever is pasted opens its order', async () => {
    const app = number('app')
    const orderString = await createAt('alipay', { PLATFORM: 'app' }, order(app))
    const mini = number('mini')
    const parameters = await createAt('wxpay', { PLATFORM: 'mp-weixin' },
      { ...order(mini), openid: 'oUpF8uMuAJO_M2pxb1Q9zNjWeS6o' })
    const scanned = number('scan')
    const { orderInfo } = await create('alipay', order(scanned))
    for (const [pasted, no] of [
      [orderString, app], [JSON.stringify(parameters), mini], [orderInfo.codeUrl, scanned],
      [JSON.stringify({ code: 0, orderInfo }), scanned], [mini, mini],
    ]) {
      await page.go(at(mock))
      await page.until(`${quoted('#with')}?.checkVisibility()`)
      await page.eval(`${quoted('#with')}.value = ${JSON.stringify(pasted)}`)
      await page.click('#open button')
      await showsAlone(page, no)
    }
    await page.go(`${at(mock)}/pay?with=${encodeURIComponent(orderString)}`)
    await showsAlone(page, app)
    await pay(page)
  })
  await fact('the page complains of nothing', () => {
    // The shop's own page has no icon.
    assert.deepEqual(page.complaints.filter((it) => !it.includes(at(shop))), [])
  })
  await fact('garbage gets a page in words, at phone width too', async () => {
    for (const [address, words] of [
      ['/gateway.do', 'open the whole pay link'], ['/nonsense', 'No such page'],
      ['/v3/certificates', 'open the cashier'],
    ]) {
      await page.go(at(mock) + address)
      await page.until(`document.body.textContent.includes(${JSON.stringify(words)})`)
      assert.equal(await page.eval('document.documentElement.scrollWidth'), 360, address)
    }
    await page.go(`${at(mock)}/baxunknown`)
    await page.until(`${text('#unknown')}.includes('No order or payment code here')`)
    assert.equal(await page.eval('document.documentElement.scrollWidth'), 360)
    await page.picture('unknown.png')
  })
  await page.size(1100, 900)
  await fact('an order is paid at both providers, and both are acknowledged', async () => {
    const both = number('both')
    const data = { out_trade_no: both, subject: '双付', total_fee: 200, type: 'goods' }
    await create('alipay', data)
    await create('wxpay', data)
    for (const provider of ['wxpay', 'alipay']) {
      await page.go(`${at(mock)}/?q=${provider}+${both}`)
      const link = `.card[data-provider="${provider}"][data-number="${both}"] a`
      await page.until(quoted(link))
      await page.click(link)
      await showsAlone(page, both)
      await pay(page)
      await page.until(`${text(`${columns.provider} .verdict`)}.includes('Acknowledged')`)
    }
    await page.until(`${text(of('events'))}.includes('payment.duplicate')`)
    const reply = await json(`${at(port)}/pay/queryPayment`, { out_trade_no: both })
    assert.equal(reply.orderPaid, true, JSON.stringify(reply))
    const orders = await json(`${at(mock)}/_mock/orders/${both}`)
    const first = orders.orders.find((it) => it.provider === 'wxpay').payments[0]
    assert.equal(reply.transaction_id, first.transaction_id, 'the first payment wins')
  })
  await page.go(`${at(mock)}/pay?with=${decoy}`)
  await page.until(`${quoted(of('code'))}?.naturalWidth > 0`)
  await page.picture('desk.png')
}

/** What `paygate mock --print-env` prints for a mock on this port. */
async function printed(port_) {
  const env = { PAYGATE_MOCK_LISTEN: `127.0.0.1:${port_}` }
  const { stdout } = await promisify(execFile)(process.env.PAYGATE, ['mock', '--print-env'], { env })
  const lines = stdout.split('\n').filter((line) => /^\w+=/.test(line))
  return Object.fromEntries(lines.map((line) => {
    const [, name, value] = line.match(/^(\w+)="?(.*?)"?$/)
    return [name, value.replaceAll('\\n', '\n')]
  }))
}

/** Orders at WeChat Pay as another program does, from nothing but what is printed. */
async function orderNative(given, no) {
  const path = '/v3/pay/transactions/native'
  const body = JSON.stringify({
    appid: given.WXPAY_APP_ID_H5, mchid: given.WXPAY_MCH_ID, description: 'tea', out_trade_no: no,
    notify_url: `${at(gate)}/notify`, amount: { total: 1 },
  })
  const time = Math.floor(Date.now() / 1000)
  const message = `POST\n${path}\n${time}\nnonce\n${body}\n`
  const signature = sign('sha256', Buffer.from(message), given.WXPAY_PRIVATE_KEY).toString('base64')
  const fields = Object.entries({
    mchid: given.WXPAY_MCH_ID, nonce_str: 'nonce', timestamp: time,
    serial_no: given.WXPAY_SERIAL_NO, signature,
  }).map(([name, value]) => `${name}="${value}"`)
  const reply = await fetch(given.WXPAY_BASE_URL + path, {
    method: 'POST', body,
    headers: {
      authorization: `WECHATPAY2-SHA256-RSA2048 ${fields}`, 'content-type': 'application/json',
      accept: 'application/json',
    },
  })
  return reply.json()
}

async function aloneFacts(page) {
  await fact('paygate mock alone has no column of a shop, and the page says so', async () => {
    const alone = await freePort()
    await start(process.env.PAYGATE, ['mock'], {
      env: { PAYGATE_MOCK_LISTEN: `127.0.0.1:${alone}` }, ready: at(alone),
    })
    await page.go(at(alone))
    await page.until(`${quoted('#empty')}?.checkVisibility()`)
    const { code_url } = await orderNative(await printed(alone), 'no-alone')
    await page.go(`${at(alone)}/pay?with=${encodeURIComponent(code_url)}`)
    await showsAlone(page, 'no-alone')
    await pay(page)
    await page.until(`${text(of('shopnote'))}.includes('The providers run alone')`)
    assert.match(await page.eval(text(of('providercolumn'))), /Provider → notify_url/)
    await page.picture('alone.png')
  })
}

async function main() {
  await startAll()
  const page = await open('about:blank')
  await page.size(1100, 900)
  await orderFacts(page, await listFacts(page))
  await materialFacts(page)
  await aloneFacts(page)
  await page.close()
}

try {
  await main()
} catch (error) {
  failed = true
  console.log(`NOT OK: ${error.stack}`)
} finally {
  for (const child of children) child.kill()
}
process.exit(failed ? 1 : 0)
