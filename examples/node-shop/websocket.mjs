// A WebSocket (RFC 6455) that echoes every frame, written out: enough to see an upgrade pass.

import { createHash } from 'node:crypto'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11' // RFC 6455, section 1.3.
const PAYLOAD_BYTES_MAX = 1024 * 1024
const [CLOSE, PING, PONG] = [0x8, 0x9, 0xa]

/** Answers an `Upgrade: websocket` and echoes; any other upgrade is refused. */
export function echoFrames(req, socket, head) {
  socket.on('error', () => socket.destroy())
  const { upgrade, 'sec-websocket-version': version, 'sec-websocket-key': key = '' } = req.headers
  const isKey = Buffer.from(key, 'base64').length === 16
  if (!/^websocket$/i.test(upgrade) || version !== '13' || !isKey) {
    return socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
  }
  const accept = createHash('sha1').update(key + GUID).digest('base64')
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
  let unread = Buffer.alloc(0)
  const read = (chunk) => {
    unread = Buffer.concat([unread, chunk])
    for (let frame; !socket.writableEnded && (frame = takeFrame(unread)); ) {
      unread = unread.subarray(frame.bytes)
      answer(socket, frame)
    }
  }
  socket.on('data', read)
  socket.on('end', () => socket.end())
  read(head)
}

function answer(socket, { error, first, opcode, payload }) {
  if (error) return socket.end(frameOf(0x80 | CLOSE, Buffer.from([error >> 8, error & 0xff])))
  if (opcode === PONG) return
  const reply = opcode === PING ? 0x80 | PONG : first
  const goesOn = socket.write(frameOf(reply, payload))
  if (opcode === CLOSE) return socket.end()
  if (!goesOn) {
    socket.pause()
    socket.once('drain', () => socket.resume())
  }
}

/** The first whole frame in `buffer`, or undefined until it is there. */
function takeFrame(buffer) {
  if (buffer.length < 2) return undefined
  const [first, second] = buffer
  const short = second & 0x7f
  const start = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0)
  if (buffer.length < start) return undefined
  let length = short
  if (short === 126) length = buffer.readUInt16BE(2)
  if (short === 127) length = Number(buffer.readBigUInt64BE(2))
  const opcode = first & 0x0f
  // A client masks every frame, and nobody agreed on extensions: 1002 is a protocol error.
  const isInvalid = !(second & 0x80) || first & 0x70 || (opcode >= CLOSE && short > 125)
  if (isInvalid) return { error: 1002, bytes: buffer.length }
  if (length > PAYLOAD_BYTES_MAX) return { error: 1009, bytes: buffer.length }
  const bytes = start + 4 + length
  if (buffer.length < bytes) return undefined
  const mask = buffer.subarray(start, start + 4)
  const payload = Buffer.from(buffer.subarray(start + 4, bytes))
  for (let i = 0; i < length; i++) payload[i] ^= mask[i & 3]
  return { first, opcode, payload, bytes }
}

/** An unmasked frame, as a server sends it. */
function frameOf(first, payload) {
  const { length } = payload
  const head = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10)
  head[0] = first
  head[1] = length < 126 ? length : length < 65536 ? 126 : 127
  if (head.length === 4) head.writeUInt16BE(length, 2)
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([head, payload])
}
