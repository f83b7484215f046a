// One end of a connection, in bytes: sends a request as it stands and reads what comes.
import { connect } from 'node:net'

/** No server of these needs longer for an answer. */
const PATIENCE_MS = 2500
/** How long the connection is observed after the last answer. */
const AFTERWARDS_MS = 60

/**
 * Sends the pieces of a request and returns the answers and how the connection ended: `open`,
 * `closed`, `reset`, or `silent` where fewer answers came than were expected.
 */
export function exchange(port, { pieces, answers = 1, head = false, halfClose = false }) {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    let bytes = Buffer.alloc(0)
    let timer = setTimeout(() => finish('silent'), PATIENCE_MS)
    let done = false
    const finish = (end) => {
      if (done) return
      done = true
      clearTimeout(timer)
      socket.destroy()
      resolve({ answers: parse(bytes, head, end !== 'open' && end !== 'silent'), end })
    }
    socket.on('connect', () => send(socket, pieces, halfClose))
    socket.on('data', (piece) => {
      bytes = Buffer.concat([bytes, piece])
      const final = parse(bytes, head, false).filter((it) => it.complete && it.status >= 200)
      if (final.length >= answers) {
        clearTimeout(timer)
        timer = setTimeout(() => finish('open'), AFTERWARDS_MS)
      }
    })
    socket.on('end', () => finish('closed'))
    socket.on('error', () => finish('reset'))
  })
}

async function send(socket, pieces, halfClose) {
  for (const [at, piece] of pieces.entries()) {
    if (at > 0)
      await new Promise((resolve) => {
        setTimeout(resolve, 40)
      })
    if (!socket.writable) return
    socket.write(Buffer.isBuffer(piece) ? piece : Buffer.from(piece, 'latin1'))
  }
  if (halfClose) socket.end()
}

/** The answers in `bytes`. */
function parse(bytes, head, closed) {
  const found = []
  let rest = bytes
  while (rest.length > 0) {
    const answer = parseOne(rest, head, closed)
    found.push(answer)
    rest = answer.rest
  }
  return found
}

function parseOne(bytes, head, closed) {
  const text = bytes.toString('latin1')
  const end = text.indexOf('\r\n\r\n')
  const line = /^HTTP\/1\.([01]) (\d\d\d)/.exec(text)
  if (!line || end < 0) return { status: 0, raw: text, complete: closed, rest: Buffer.alloc(0) }
  const status = Number(line[2])
  const headers = text
    .slice(0, end)
    .split('\r\n')
    .slice(1)
    .map((it) => {
      const colon = it.indexOf(':')
      return [it.slice(0, colon).toLowerCase(), it.slice(colon + 1).trim()]
    })
  const value = (name) => headers.find(([it]) => it === name)?.[1]
  const answer = { status, version: `HTTP/1.${line[1]}`, headers }
  const after = bytes.subarray(end + 4)
  const bodiless = status < 200 || status === 204 || status === 304 || (head && status >= 200)
  if (status === 101)
    return { ...answer, body: after.toString('latin1'), complete: true, rest: none }
  if (bodiless) return { ...answer, body: '', complete: true, rest: after }
  if (/chunked/i.test(value('transfer-encoding') ?? '')) return { ...answer, ...dechunk(after) }
  const length = value('content-length')
  if (length === undefined) {
    return { ...answer, body: after.toString('latin1'), complete: closed, rest: none }
  }
  const whole = after.length >= Number(length)
  const body = after.subarray(0, Number(length)).toString('latin1')
  return { ...answer, body, complete: whole, rest: after.subarray(Number(length)) }
}

const none = Buffer.alloc(0)

function dechunk(bytes) {
  let body = ''
  let rest = bytes
  for (;;) {
    const end = rest.indexOf('\r\n')
    const size = parseInt(rest.subarray(0, Math.max(end, 0)).toString('latin1'), 16)
    if (end < 0 || Number.isNaN(size)) return { body, complete: false, rest: none }
    rest = rest.subarray(end + 2)
    if (size === 0) {
      const over = rest.indexOf('\r\n') === 0 ? 0 : rest.indexOf('\r\n\r\n') + 2
      if (over === 1) return { body, complete: false, rest: none }
      const trailers = rest.subarray(0, over).toString('latin1').trim()
      return { body, trailers, complete: true, rest: rest.subarray(over + 2) }
    }
    if (rest.length < size + 2) {
      return { body: body + rest.toString('latin1'), complete: false, rest: none }
    }
    body += rest.subarray(0, size).toString('latin1')
    rest = rest.subarray(size + 2)
  }
}
