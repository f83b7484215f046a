// The upstream (Node's own server, which answers with what it received), paygate and nginx.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, writeFileSync, mkdirSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createSocketServer } from 'node:net'
import { join } from 'node:path'

import { ANSWERS } from './answers.mjs'

const running = []
process.on('exit', stopAll)
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1))

export function stopAll() {
  for (const child of running) child.kill('SIGTERM')
}

export const freePort = () =>
  new Promise((resolve) => {
    const server = createSocketServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })

/** Node's server with its defaults, but for the size of heads: the proxies' limits are to show. */
export async function startUpstream() {
  const received = []
  const server = createServer({ maxHeaderSize: 1 << 20 })
  const record = (request) => {
    const pairs = request.rawHeaders
    const headers = pairs.flatMap((it, at) => (at % 2 ? [] : [[it.toLowerCase(), pairs[at + 1]]]))
    const entry = {
      line: `${request.method} ${request.url} HTTP/${request.httpVersion}`,
      headers,
      body: '',
    }
    received.push(entry)
    return entry
  }
  server.on('request', (request, response) => answer(request, response, record(request)))
  server.on('upgrade', (request, socket, head) => {
    record(request).body = head.toString('latin1')
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nx-upstream: 1\r\nconnection: upgrade\r\n' +
        `upgrade: ${request.headers.upgrade}\r\n\r\n`,
    )
    socket.on('data', (bytes) => socket.write(bytes))
    socket.on('end', () => socket.end())
    socket.on('error', () => {})
  })
  server.on('connect', (request, socket) => {
    record(request)
    socket.end('HTTP/1.1 200 OK\r\nx-upstream: 1\r\n\r\n')
  })
  server.on('clientError', (error, socket) => {
    received.push({ line: `not HTTP: ${error.code}`, headers: [], body: '' })
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: server.address().port, received, stop: () => server.close() }
}

async function answer(request, response, entry) {
  const raw = /^\/raw\/([^?]*)/.exec(request.url)
  if (raw) {
    const [bytes, then] = ANSWERS[decodeURIComponent(raw[1])] ?? ['']
    request.socket.write(Buffer.from(bytes, 'latin1'))
    // The proxy has seen the head by then.
    if (then === 'close') setTimeout(() => request.socket.end(), 30)
    // Node waits with its own answers on this connection for the one that it was not given.
    request.socket.raw = true
    return
  }
  if (request.url.startsWith('/early')) {
    reply(request, response, 403, 'no')
    return
  }
  try {
    for await (const piece of request) entry.body += piece.toString('latin1')
    if (request.rawTrailers.length) entry.trailers = request.rawTrailers.join(' ').toLowerCase()
  } catch {
    entry.body += ' (cut)'
  }
  reply(request, response, 200, request.url.startsWith('/chunks') ? ['chu', 'nks'] : 'received')
}

function reply(request, response, status, body) {
  if (request.socket.raw) {
    const text = [body].flat().join('')
    const start = `HTTP/1.1 ${status} Some\r\nx-upstream: 1\r\n`
    const head = `${start}content-length: ${text.length}\r\n\r\n`
    request.socket.write(head + (request.method === 'HEAD' ? '' : text))
    request.resume()
    return
  }
  response.statusCode = status
  response.setHeader('x-upstream', '1')
  for (const piece of [body].flat().slice(0, -1)) response.write(piece)
  response.end([body].flat().at(-1))
}

async function spawnUntil(program, args, env, ready) {
  const cwd = mkdtempSync(join(process.env.WORK, 'run-'))
  const stdio = ['ignore', 'pipe', 'pipe']
  const options = { cwd, env: { PATH: process.env.PATH, ...env }, stdio }
  const child = spawn(program, args, options)
  running.push(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (it) => {
      output += it
    })
  for (let tries = 0; tries < 150 && child.exitCode === null; tries += 1) {
    if (
      await fetch(ready).then(
        () => true,
        () => false,
      )
    )
      return
    await new Promise((resolve) => {
      setTimeout(resolve, 100)
    })
  }
  throw new Error(`${program} does not start:\n${output}`)
}

/** paygate in mock mode with its defaults; returns the port of its public listener. */
export async function startPaygate(upstream) {
  const [port, admin, mock] = await Promise.all([1, 2, 3].map(freePort))
  await spawnUntil(
    process.env.PAYGATE,
    ['serve'],
    {
      PAYGATE_MODE: 'mock',
      PAYGATE_STORE: 'memory:',
      PAYGATE_LOG: 'error',
      PAYGATE_LISTEN: `127.0.0.1:${port}`,
      PAYGATE_ADMIN_LISTEN: `127.0.0.1:${admin}`,
      PAYGATE_MOCK_LISTEN: `127.0.0.1:${mock}`,
      PAYGATE_UPSTREAM: `http://127.0.0.1:${upstream}`,
    },
    `http://127.0.0.1:${admin}/readyz`,
  )
  return port
}

/** What nginx's manual and most guides give for a reverse proxy. */
const LOCATION = `
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host;`

/**
 * One nginx that proxies from `port` to `to` for each of `proxies`; with `http2` for clients of
 * HTTP/2, and with `uri` (proxy_pass http://up/) with paths as nginx normalises them.
 */
export async function startNginx(proxies) {
  const home = join(process.env.WORK, 'nginx')
  mkdirSync(join(home, 'temp'), { recursive: true })
  const servers = proxies.map(
    ({ port, to, http2, uri }, at) => `
  upstream shop${at} { server 127.0.0.1:${to}; keepalive 8; }
  server {
    listen 127.0.0.1:${port}${http2 ? ' http2' : ''};
    location / { proxy_pass http://shop${at}${uri ? '/' : ''}; ${LOCATION} }
  }`,
  )
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${home}/temp/${name};`)
    .join('\n  ')
  writeFileSync(
    join(home, 'nginx.conf'),
    `
${process.getuid() === 0 ? 'user root;' : ''}
daemon off;
pid ${home}/pid;
error_log ${home}/error.log;
worker_processes 1;
events { worker_connections 1024; }
http {
  access_log off;
  ${temp}
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  ${servers.join('')}
}
`,
  )
  const ready = `http://127.0.0.1:${proxies[0].port}/`
  await spawnUntil(process.env.NGINX, ['-p', home, '-c', join(home, 'nginx.conf')], {}, ready)
}
