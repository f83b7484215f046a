// Clients that are programs of their own: curl, and Node's client with its agent.
import { execFile } from 'node:child_process'
import { Agent, request as httpRequest } from 'node:http'

/** curl's arguments before the URL, and the path. `http2`: nginx has a port of its own for it. */
const CURL = [
  ['a path as it is', ['--path-as-is'], '/a/../b/./c'],
  ['a path that it resolves', [], '/a/../b/./c'],
  ['a fragment', [], '/x#frag'],
  ['a fragment as a target', ['--request-target', '/x#frag'], '/'],
  ['an absolute target', ['--request-target', 'http://bank/x'], '/'],
  ['Expect for a large body', ['-H', 'Expect: 100-continue', '--data', 'x'.repeat(70_000)], '/x'],
  [
    'Expect and an early answer',
    ['-H', 'Expect: 100-continue', '--data', 'x'.repeat(70_000)],
    '/early',
  ],
  ['chunks', ['-H', 'Transfer-Encoding: chunked', '--data', 'ab'], '/x'],
  ['an upload without an end known', ['-T', '-'], '/x'],
  ['HTTP/1.0', ['--http1.0'], '/x'],
  ['HTTP/0.9 is allowed', ['--http0.9'], '/raw/HTTP%2F0.9'],
  ['HEAD', ['-I'], '/x'],
  ['no Host', ['-H', 'Host:'], '/x'],
  ['an empty Host', ['-H', 'Host;'], '/x'],
  ['TE', ['--tr-encoding'], '/x'],
  ['compression', ['--compressed'], '/x'],
  ['PROXY protocol', ['--haproxy-protocol'], '/x'],
  ['two requests on a connection', ['--next-url'], '/x'],
  ['OPTIONS *', ['-X', 'OPTIONS', '--request-target', '*'], '/'],
  ['upgrade to h2c', ['--http2'], '/x'],
  ['HTTP/2', ['--http2-prior-knowledge'], '/x', 'http2'],
  ['HTTP/2 HEAD', ['--http2-prior-knowledge', '-I'], '/x', 'http2'],
  ['HTTP/2 with a body', ['--http2-prior-knowledge', '--data', 'ab'], '/x', 'http2'],
  [
    'HTTP/2 and a fragment',
    ['--http2-prior-knowledge', '--request-target', '/x#y'],
    '/',
    'http2',
  ],
  [
    'HTTP/2 and a relative target',
    ['--http2-prior-knowledge', '--request-target', 'x'],
    '/',
    'http2',
  ],
  [
    'HTTP/2 and two cookies',
    ['--http2-prior-knowledge', '-H', 'cookie: a=1', '-H', 'cookie: b=2'],
    '/x',
    'http2',
  ],
  [
    'HTTP/2 and Connection',
    ['--http2-prior-knowledge', '-H', 'connection: x-a', '-H', 'x-a: 1'],
    '/x',
    'http2',
  ],
  ['HTTP/2 and TE: trailers', ['--http2-prior-knowledge', '-H', 'te: trailers'], '/x', 'http2'],
  ['HTTP/2 and another Host', ['--http2-prior-knowledge', '-H', 'host: bank'], '/x', 'http2'],
  ['HTTP/2, chunks as an answer', ['--http2-prior-knowledge'], '/chunks', 'http2'],
  [
    'HTTP/2, an answer without a length',
    ['--http2-prior-knowledge'],
    '/raw/no%20length',
    'http2',
  ],
  ['HTTP/2, a cut answer', ['--http2-prior-knowledge'], '/raw/short%20body', 'http2'],
  ['HTTP/2, trailers as an answer', ['--http2-prior-knowledge'], '/raw/trailers', 'http2'],
]

function curl(args, path) {
  return (port) =>
    new Promise((resolve) => {
      const url = `http://127.0.0.1:${port}${path}`
      const plain = args.filter((it) => it !== '--next-url')
      const urls = args.includes('--next-url') ? [url, url] : [url]
      const all = ['-sS', '-i', '--max-time', '4', ...plain, ...urls]
      const child = execFile('curl', all, { encoding: 'latin1' }, (error, stdout) => {
        const statuses = [...stdout.matchAll(/^HTTP\/([0-9.]+) (\d+)/gm)].map(
          (it) => `${it[1]} ${it[2]}`,
        )
        resolve({ answer: [...statuses, ...(error ? [`curl ${error.code}`] : [])].join(', ') })
      })
      child.stdin.on('error', () => {})
      child.stdin.end('ab')
    })
}

/** One request of Node's client: its status, or its error. */
function ask(port, agent, options, body) {
  return new Promise((resolve) => {
    let request
    try {
      request = httpRequest({ port, host: '127.0.0.1', agent, ...options })
    } catch (error) {
      resolve(error.code)
      return
    }
    request.setTimeout(3000, () => request.destroy(new Error('timeout')))
    request.on('response', async (response) => {
      let text = ''
      try {
        for await (const piece of response) text += piece
        const trailers = Object.keys(response.trailers).join(' ')
        resolve(`${response.statusCode}${trailers ? ` with ${trailers}` : ''}`)
      } catch (error) {
        resolve(`${response.statusCode} and ${error.code}`)
      }
    })
    request.on('upgrade', (response, socket) => {
      socket.destroy()
      resolve('101')
    })
    request.on('continue', () => request.end(body))
    request.on('error', (error) => resolve(error.code ?? error.message))
    if (options.headers?.expect === undefined) request.end(body)
    else request.flushHeaders()
  })
}

/** Requests that follow one another on Node's agent, which keeps its connections. */
const NODE = [
  ['two requests', [[{ path: '/1' }], [{ path: '/2' }]]],
  [
    'an early answer, then another',
    [[{ path: '/early', method: 'POST' }, 'x'.repeat(800_000)], [{ path: '/x' }]],
  ],
  ['GET with a body', [[{ path: '/x', headers: { 'content-length': 2 } }, 'ab']]],
  [
    'DELETE with a body',
    [[{ path: '/x', method: 'DELETE', headers: { 'content-length': 2 } }, 'ab']],
  ],
  [
    'Expect',
    [
      [
        { path: '/x', method: 'POST', headers: { expect: '100-continue', 'content-length': 2 } },
        'ab',
      ],
    ],
  ],
  ['a path with a fragment', [[{ path: '/x#y' }]]],
  ['an upgrade', [[{ path: '/x', headers: { connection: 'upgrade', upgrade: 'websocket' } }]]],
  ['trailers as an answer', [[{ path: '/raw/trailers', headers: { te: 'trailers' } }]]],
  ['a cut answer, then another', [[{ path: '/raw/short%20body' }], [{ path: '/x' }]]],
  [
    'a refused path, then another',
    [[{ path: '/pay//createPayment', method: 'POST' }, '{}'], [{ path: '/x' }]],
  ],
  ['length and chunked', [[{ path: '/raw/length%20and%20chunked' }]]],
  ['two answers, then another', [[{ path: '/raw/two%20answers' }], [{ path: '/x' }]]],
  ['nothing, then another', [[{ path: '/raw/nothing' }], [{ path: '/x' }]]],
]

function node(requests) {
  return async (port) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const answers = []
    for (const [options, body] of requests) answers.push(await ask(port, agent, options, body))
    agent.destroy()
    return { answer: answers.join(', ') }
  }
}

export const CLIENTS = [
  ...CURL.map(([name, args, path, http2]) => ({
    name: `curl: ${name}`,
    run: curl(args, path),
    http2: http2 !== undefined,
  })),
  ...NODE.map(([name, requests]) => ({ name: `node: ${name}`, run: node(requests) })),
]
