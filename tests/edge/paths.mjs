// Thousands of paths that other servers normalise: paygate forwards none that nginx's location or
// Node's URL and path modules make a payment operation.
import { connect } from 'node:net'
import { posix } from 'node:path'

import { freePort, startNginx, startPaygate, startUpstream, stopAll } from './servers.mjs'

const PIECES = [
  '/',
  '//',
  '/.',
  '/./',
  '/..',
  '/../',
  '/%2e%2e/',
  '/.%2E/',
  '/%2e',
  '/..;/',
  ';',
  ';v=1',
  '\\',
  '%5c',
  '%2f',
  '%252f',
  '%25',
  '/pay',
  '/Pay',
  '/p%61y',
  '%2Fpay',
  'pay',
  '/createPayment',
  '/create%50ayment',
  'createPayment',
  '/createpayment/',
  '/x',
  'x',
  '/x%2fy',
  '//evil',
  '/queryPayment',
  '/notify/',
  '.',
  '?',
  '#',
  '%00',
  '%20',
  '%23',
  '%3f',
  '%c0%af',
  '/..%2f',
  '/%2e%2e%2f',
  '%2e',
  ' ',
  '\t',
  '@',
  ':80',
]
const STARTS = ['/', '/pay', '/pay/', '/x/..', '//', '/pay/x/..', '/%2e/', '/;/', '/pay;a']
const ENDS = [
  '',
  '/createPayment',
  '/pay/createPayment',
  '/pay/queryPayment',
  '/pay/notify/wxpay/wxpay_h5/001',
]

/** The same paths in every run. */
function paths(count) {
  let state = 20261130
  const next = (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const made = new Set()
  while (made.size < count) {
    const middle = Array.from({ length: next(6) }, () => PIECES[next(PIECES.length)]).join('')
    made.add(`${STARTS[next(STARTS.length)]}${middle}${ENDS[next(ENDS.length)]}`)
  }
  return [...made]
}

/** Sends `target` alone on a connection; what matters is whether it arrives behind the server. */
function send(port, target) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    const finish = () => {
      socket.destroy()
      resolve(text.slice(9, 12))
    }
    socket.setTimeout(3000, finish)
    socket.on('connect', () =>
      socket.write(
        `POST ${target} HTTP/1.1\r\nhost: shop\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
        'latin1',
      ),
    )
    socket.on('data', (piece) => {
      text += piece.toString('latin1')
      if (text.includes('\r\n\r\n')) finish()
    })
    for (const event of ['end', 'error']) socket.on(event, finish)
  })
}

/** The paths that Node's programs make of a target, decoded or not, once or twice. */
function nodeReadings(target) {
  const attempt = (read) => {
    try {
      return [read()]
    } catch {
      return []
    }
  }
  const once = (path) => [
    ...attempt(() => new URL(path, 'http://shop').pathname),
    ...attempt(() => new URL(`http://shop${path}`).pathname),
    ...attempt(() => posix.normalize(path.split(/[?#]/)[0])),
    ...attempt(() => decodeURIComponent(path)),
    ...attempt(() => posix.normalize(decodeURIComponent(path.split(/[?#]/)[0]))),
  ]
  const first = once(target)
  return new Set([target.split(/[?#]/)[0], ...first, ...first.flatMap(once)])
}

const isOperation = (path) =>
  /^\/pay\/(createPayment|queryPayment|notify\/.*)$/i.test(
    path.split(/[?#]/)[0].replace(/\/+$/, ''),
  )

const COUNT = 5000
const [behindNginx, behindPaygate] = [await startUpstream(), await startUpstream()]
const nginx = await freePort()
await startNginx([{ port: nginx, to: behindNginx.port, uri: true }])
const paygate = await startPaygate(behindPaygate.port)

/** The target with which a server's upstream was reached; the requests come one at a time. */
async function forwarded(port, upstream, target) {
  upstream.received.length = 0
  const status = await send(port, target)
  return { status, target: upstream.received[0]?.line.split(' ').slice(1, -1).join(' ') }
}

const counts = { forwarded: 0, nginx: 0, node: 0 }
const wrong = []
for (const target of paths(COUNT)) {
  const [byNginx, byPaygate] = await Promise.all([
    forwarded(nginx, behindNginx, target),
    forwarded(paygate, behindPaygate, target),
  ])
  const asNginx = byNginx.target !== undefined && isOperation(byNginx.target)
  const asNode = [...nodeReadings(target)].find(isOperation)
  counts.nginx += asNginx ? 1 : 0
  counts.node += asNode ? 1 : 0
  counts.forwarded += byPaygate.target === undefined ? 0 : 1
  if (byPaygate.target !== undefined && (asNginx || asNode)) {
    wrong.push(
      `${JSON.stringify(target)}: ${asNginx ? `nginx ${byNginx.target}` : `Node ${asNode}`}`,
    )
  }
}
for (const upstream of [behindNginx, behindPaygate]) upstream.stop()
stopAll()
for (const line of wrong) console.log(`NOT OK: forwarded, and an operation to others: ${line}`)
// Where nothing is an operation to them, or nothing is forwarded, nothing was compared.
const compared = counts.nginx > 100 && counts.node > 100 && counts.forwarded > 100
if (!compared) console.log('NOT OK: the paths compare too little')
const failed = wrong.length > 0 || !compared
console.log(
  `${failed ? 'NOT OK' : 'ok'}: of ${COUNT} paths nginx makes ${counts.nginx} an operation, and ` +
    `Node ${counts.node}; paygate forwards ${counts.forwarded}, and ${wrong.length} of these`,
)
process.exit(failed ? 1 : 0)
