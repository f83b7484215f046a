// A buyer at the cashier page, and the shop that is told.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'

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

const [port, admin, mock, shop] = await Promise.all([1, 2, 3, 4].map(freePort))
const at = (to) => `http://127.0.0.1:${to}`

async function startAll() {
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
      PAYGATE_WEBHOOK_URL: `${at(shop)}/paygate/events`,
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

const card = (no, rest = '') => `.card[data-number="${no}"]${rest ? ` ${rest}` : ''}`
const text = (no, name) =>
  `document.querySelector(${JSON.stringify(card(no, `[data-of="${name}"]`))}).textContent`

async function main() {
  await startAll()
  const order = await json(`${at(shop)}/api/orders`, { product: 'tea' })
  const { out_trade_no: no, subject, total_fee, type } = order
  await create('wxpay', { out_trade_no: no, subject, total_fee, type })
  const evil = `evil${Date.now()}`
  const markup = '<img src=x onerror=document.title=1>'
  await create('wxpay', { out_trade_no: evil, subject: markup, total_fee: 123456, type: 'goods' })
  const page = await open(at(mock))
  await page.size(1100, 900)

  await fact('the page shows the order, its amount and its QR code', async () => {
    await page.until(`document.querySelector(${JSON.stringify(card(no))})`)
    assert.equal(await page.eval(text(no, 'yuan')), '0.01')
    assert.equal(await page.eval(text(no, 'subject')), subject)
    const image = `document.querySelector(${JSON.stringify(card(no, 'img'))})`
    await page.until(`${image}.complete && ${image}.naturalWidth > 0`)
  })
  await fact('what a stranger writes into an order is text', async () => {
    assert.equal(await page.eval(text(evil, 'subject')), markup)
    assert.equal(await page.eval('document.title'), '收银台 Cashier · paygate')
  })
  await fact('every button and field has a name', async () => {
    const { nodes } = await page.send('Accessibility.getFullAXTree')
    const used = nodes.filter((it) => ['button', 'textbox', 'image'].includes(it.role?.value))
    assert.ok(used.length >= 8, `${used.length} were found`)
    const nameless = used.filter((it) => !it.ignored && !it.name?.value)
    assert.deepEqual(nameless, [])
  })
  await page.picture('waiting.png')
  await fact('a press on Pay pays, and the shop acknowledges the notification', async () => {
    await page.click(card(no, '[data-act="pay"]'))
    await page.until(`${text(no, 'state')}.includes('Paid')`)
    await page.until(`${text(no, 'verdict')}.includes('Acknowledged')`)
    assert.match(await page.eval(text(no, 'deliveries')), /20[04]/)
  })
  await fact('the payment reaches the shop behind paygate', async () => {
    const asked = { out_trade_no: no, await_notify: true }
    const told = await json(`${at(port)}/pay/queryPayment`, asked)
    assert.equal(told.orderPaid, true, JSON.stringify(told))
    assert.equal(told.user_order_success, true, JSON.stringify(told))
    assert.equal((await json(`${at(shop)}/api/orders/${no}`)).paid, true)
  })
  await fact('a notification that is sent again is acknowledged again', async () => {
    await page.click(card(no, '[data-act="notifications"]'))
    const count = `document.querySelectorAll(${JSON.stringify(card(no, '.deliveries li'))}).length`
    await page.until(`${count} === 2`)
    await page.until(`${text(no, 'verdict')}.includes('Acknowledged')`)
  })
  await fact('the keyboard pays too', async () => {
    const button = JSON.stringify(card(evil, '[data-act="pay"]'))
    await page.eval(`document.querySelector(${button}).focus()`)
    await page.press('Enter', '\r')
    await page.until(`${text(evil, 'state')}.includes('Paid')`)
  })
  await fact('a part of it is refunded, and the page shows that it arrives', async () => {
    const input = card(evil, '[data-of="refundamount"]')
    await page.until(`document.querySelector(${JSON.stringify(input)}).value === '1234.56'`)
    await page.eval(`document.querySelector(${JSON.stringify(input)}).value = '34.5'`)
    await page.click(card(evil, '[data-act="refund"]'))
    const titled = (word) => `[...document.querySelectorAll(${JSON.stringify(card(evil, 'h3'))})]`
      + `.some((it) => it.textContent.includes('¥34.50') && it.textContent.includes('${word}'))`
    await page.until(titled('Processing'))
    await page.until(titled('Arrived'))
    await page.until(`${text(evil, 'state')}.includes('Partly refunded')`)
    await page.until(`document.querySelector(${JSON.stringify(input)}).value === '1200.06'`)
    await page.until(`[...document.querySelectorAll(${JSON.stringify(card(evil, '.verdict'))})]`
      + ".every((it) => it.textContent.includes('Acknowledged'))")
    await page.picture('refunded.png')
  })
  await fact('the refund reaches the shop behind paygate', async () => {
    for (let tries = 0; tries < 50; tries += 1) {
      const { events } = await json(`${at(shop)}/paygate/events`)
      if (events.some((it) => it.type === 'refund.succeeded' && it.out_trade_no === evil)) return
      await new Promise((resolve) => { setTimeout(resolve, 100) })
    }
    assert.fail('the shop got no event')
  })
  await fact('an app order is paid by its order string', async () => {
    const app = `app${Date.now()}`
    const told = await json(`${at(port)}/pay/createPayment`, {
      provider: 'alipay', data: { out_trade_no: app, subject: 'App 订单', total_fee: 990, type: 'goods' },
      context: { PLATFORM: 'app' },
    })
    await page.go(`${at(mock)}/?paste#pay=${encodeURIComponent(told.orderInfo)}`)
    await page.until(`document.querySelector(${JSON.stringify(card(no))})`)
    assert.equal(await page.eval('document.getElementById("with").value'), told.orderInfo)
    await page.click('#paste button')
    await page.until('!document.getElementById("message").hidden')
    assert.equal(await page.eval('document.getElementById("message").textContent'), '已付款 Paid')
    await page.until(`document.querySelector(${JSON.stringify(card(app))})`)
    await page.until(`${text(app, 'verdict')}.includes('Acknowledged')`)
  })
  await fact('an order is paid at both providers, and both are acknowledged', async () => {
    const both = `both${Date.now()}`
    const data = { out_trade_no: both, subject: '双付', total_fee: 200, type: 'goods' }
    await create('alipay', data)
    await create('wxpay', data)
    for (const provider of ['wxpay', 'alipay']) {
      const one = `.card[data-provider="${provider}"][data-number="${both}"]`
      await page.until(`document.querySelector('${one}')`)
      await page.click(`${one} [data-act="pay"]`)
      const told = `document.querySelector('${one} [data-of="verdict"]').textContent`
      await page.until(`${told}.includes('Acknowledged')`)
    }
    const told = await json(`${at(port)}/pay/queryPayment`, { out_trade_no: both })
    assert.equal(told.orderPaid, true, JSON.stringify(told))
    const orders = await json(`${at(mock)}/_mock/orders/${both}`)
    const first = orders.orders.find((it) => it.provider === 'wxpay').payments[0]
    assert.equal(told.transaction_id, first.transaction_id, 'the first payment wins')
  })
  await fact('the page complains of nothing', () => assert.deepEqual(page.complaints, []))
  const last = `last${Date.now()}`
  await create('alipay', { out_trade_no: last, subject: '龙井茶礼盒 250g', total_fee: 16800, type: 'goods' })
  await page.until(`document.querySelector(${JSON.stringify(card(last, 'img'))}).naturalWidth > 0`)
  await page.picture('desk.png')
  await page.size(390, 844)
  await fact('a phone shows it without scrolling sideways', async () => {
    assert.equal(await page.eval('document.documentElement.scrollWidth'), 390)
  })
  await page.picture('phone.png')
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
