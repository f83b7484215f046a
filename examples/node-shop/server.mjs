// A small shop: the service behind paygate's sidecar. Plain Node, no packages.
//
// The buyer talks to the sidecar, which answers /pay/… itself and passes everything else on to
// this server. Node 18 or newer: `node server.mjs`. PORT and PAYGATE_WEBHOOK_SECRET are read.

import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { pipeline } from 'node:stream'

import { verifyWebhook } from './webhook.mjs'
import { echoFrames } from './websocket.mjs'

const HTML = 'text/html; charset=utf-8'
const PAGE = readFileSync(new URL('./page.html', import.meta.url))
const WEBHOOK_SECRET = process.env.PAYGATE_WEBHOOK_SECRET
const BODY_BYTES_MAX = 256 * 1024
const EVENTS_MAX = 10_000

/** The price list. `total_fee` is in fen. A real shop has a database here. */
const PRODUCTS = new Map([['tea', { subject: '龙井茶 50g', total_fee: 1, type: 'goods' }]])
/** Orders by out_trade_no, and the events that were handled by their ids, oldest first. */
const orders = new Map()
const handled = new Map()

const routes = new Map([
  ['GET /', (req, res) => res.writeHead(200, { 'content-type': HTML }).end(PAGE)],
  ['GET /api/products', (req, res) => json(res, 200, Object.fromEntries(PRODUCTS))],
  ['POST /api/orders', openOrder],
  ['GET /headers', (req, res) => json(res, 200, req.headers)],
  ['POST /paygate/price', answerPrice],
  ['POST /paygate/events', takeEvent],
  ['GET /paygate/events', (req, res) => json(res, 200, { events: [...handled.values()] })],
])

/** Opens an order. The shop sets number and price; the buyer only picks a product. */
async function openOrder(req, res) {
  const product = PRODUCTS.get(JSON.parse(await bodyOf(req)).product)
  if (!product) return json(res, 404, { code: 404, msg: 'no such product' })
  const time = new Date().toISOString().replace(/\D/g, '').slice(0, 14)
  const out_trade_no = time + randomBytes(6).toString('hex')
  orders.set(out_trade_no, { out_trade_no, ...product, paid: false })
  json(res, 200, { out_trade_no, ...product })
}

/**
 * Answers paygate with an order's price (PAYGATE_PRICING=callback). A real shop also checks by the
 * cookie whether the order is this buyer's.
 */
async function answerPrice(req, res) {
  const order = orders.get(JSON.parse(await bodyOf(req)).data?.out_trade_no)
  if (!order) return json(res, 404, { code: 40401, msg: 'no such order' })
  const { out_trade_no, total_fee, subject, type } = order
  json(res, 200, { code: 0, data: { out_trade_no, total_fee, subject, type } })
}

/** Takes an event from paygate. It comes at least once, so its id decides whether it is new. */
async function takeEvent(req, res) {
  const body = await bodyOf(req)
  if (!verifyWebhook(WEBHOOK_SECRET, req.headers, body)) {
    return json(res, 401, { code: 401, msg: 'not signed by our paygate' })
  }
  const id = req.headers['webhook-id']
  if (handled.has(id)) return json(res, 200, { code: 0 })
  const { type, timestamp, data } = JSON.parse(body)
  const { out_trade_no, total_fee } = data
  const order = orders.get(out_trade_no)
  if (type === 'payment.succeeded' && order) {
    if (order.total_fee !== total_fee) return json(res, 200, { code: 1, msg: 'wrong amount' })
    order.paid = true // A real shop ships here, and records both in one transaction.
  }
  handled.set(id, { id, type, timestamp, out_trade_no, total_fee })
  // A real shop keeps them in its database; this one deletes the oldest.
  if (handled.size > EVENTS_MAX) handled.delete(handled.keys().next().value)
  json(res, 200, { code: 0 })
}

/** Streams the body back as it arrives, whatever its length. */
function echo(req, res) {
  const length = req.headers['content-length']
  res.setHeader('content-type', req.headers['content-type'] ?? 'application/octet-stream')
  if (length) res.setHeader('content-length', length)
  pipeline(req, res, () => {})
}

function orderStatus(path, res) {
  const order = orders.get(path.slice('/api/orders/'.length))
  order ? json(res, 200, order) : json(res, 404, { code: 404, msg: 'no such order' })
}

async function bodyOf(req) {
  const chunks = []
  let bytes = 0
  for await (const chunk of req) {
    bytes += chunk.length
    if (bytes > BODY_BYTES_MAX) throw new Error('body too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function json(res, status, value) {
  res.writeHead(status, { 'content-type': 'application/json; charset=utf-8' })
  res.end(JSON.stringify(value))
}

const server = createServer(async (req, res) => {
  const path = req.url.split('?')[0]
  try {
    if (path === '/echo') return echo(req, res)
    if (req.method === 'GET' && path.startsWith('/api/orders/')) return orderStatus(path, res)
    const route = routes.get(`${req.method} ${path}`)
    route ? await route(req, res) : json(res, 404, { code: 404, msg: 'not found' })
  } catch (error) {
    if (res.headersSent) return res.destroy()
    res.shouldKeepAlive = false // What is left of the request was not read.
    json(res, 400, { code: 400, msg: error.message })
  }
})
server.on('upgrade', (req, socket, head) => echoFrames(req, socket, head))
server.requestTimeout = 0 // A large body on a slow line is no fault; the sidecar stands in front.
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`shop on http://127.0.0.1:${server.address().port}`)
})
