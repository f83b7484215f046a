// The odd answers of the upstream, as bytes: `GET /raw/NAME`.
const ok = 'HTTP/1.1 200 OK\r\nx-upstream: 1\r\n'
const hello = '5\r\nhello\r\n0\r\n\r\n'

/** By name: the bytes, and whether the upstream closes after them. */
export const ANSWERS = {
  'length and chunked': [`${ok}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n${hello}`],
  'gzip, chunked': [`${ok}transfer-encoding: gzip, chunked\r\n\r\n${hello}`],
  'coding gzip': [`${ok}transfer-encoding: gzip\r\n\r\nhello`, 'close'],
  'coding identity': [`${ok}transfer-encoding: identity\r\n\r\nhello`, 'close'],
  'coding twice': [
    `${ok}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n${hello}`,
  ],
  'length list': [`${ok}content-length: 2, 2\r\n\r\nok`],
  'lengths that differ': [`${ok}content-length: 2\r\ncontent-length: 3\r\n\r\nok!`],
  'the same length twice': [`${ok}content-length: 2\r\ncontent-length: 2\r\n\r\nok`],
  'negative length': [`${ok}content-length: -2\r\n\r\nok`, 'close'],
  'signed length': [`${ok}content-length: +2\r\n\r\nok`, 'close'],
  'no length': [`${ok}\r\nuntil the end`, 'close'],
  'short body': [`${ok}content-length: 20\r\n\r\nshort`, 'close'],
  'long body': [`${ok}content-length: 2\r\n\r\nok and more`],
  'two answers': [`${ok}content-length: 2\r\n\r\nok${ok}content-length: 4\r\n\r\nevil`],
  'broken chunk': [`${ok}transfer-encoding: chunked\r\n\r\nZZ\r\nhello\r\n0\r\n\r\n`, 'close'],
  'cut chunks': [`${ok}transfer-encoding: chunked\r\n\r\n5\r\nhel`, 'close'],
  'chunk extension': [`${ok}transfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0;c\r\n\r\n`],
  trailers: [
    `${ok}transfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n`,
  ],
  'folded line': [`${ok}x-a: 1\r\n 2\r\ncontent-length: 2\r\n\r\nok`],
  'space before colon': [`${ok}x-a : 1\r\ncontent-length: 2\r\n\r\nok`],
  'no colon': [`${ok}nonsense\r\ncontent-length: 2\r\n\r\nok`],
  'NUL in a value': [`${ok}x-a: 1\0\r\ncontent-length: 2\r\n\r\nok`],
  'CR in a value': [`${ok}x-a: 1\rx-b: 2\r\ncontent-length: 2\r\n\r\nok`],
  'bare line feeds': ['HTTP/1.1 200 OK\nx-upstream: 1\ncontent-length: 2\n\nok'],
  'latin-1 in a value': [`${ok}x-a: caf\xe9\r\ncontent-length: 2\r\n\r\nok`],
  'empty value': [`${ok}x-a:\r\ncontent-length: 2\r\n\r\nok`],
  cookies: [`${ok}set-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 2\r\n\r\nok`],
  'hop-by-hop': [
    `${ok}connection: x-mine\r\nx-mine: 1\r\nkeep-alive: timeout=5\r\ncontent-length: 2\r\n\r\nok`,
  ],
  '101 lines': [`${ok}${'x-a: 1\r\n'.repeat(100)}content-length: 2\r\n\r\nok`],
  'long line': [`${ok}x-a: ${'x'.repeat(20_000)}\r\ncontent-length: 2\r\n\r\nok`],
  'HTTP/1.0': ['HTTP/1.0 200 OK\r\nx-upstream: 1\r\n\r\nold', 'close'],
  'HTTP/1.0 chunked': [
    `HTTP/1.0 200 OK\r\nx-upstream: 1\r\ntransfer-encoding: chunked\r\n\r\n${hello}`,
    'close',
  ],
  'HTTP/0.9': ['just bytes', 'close'],
  'HTTP/2.0': ['HTTP/2.0 200 OK\r\nx-upstream: 1\r\ncontent-length: 2\r\n\r\nok'],
  'HTTP/1.2': ['HTTP/1.2 200 OK\r\nx-upstream: 1\r\ncontent-length: 2\r\n\r\nok'],
  'status 99': ['HTTP/1.1 99 Low\r\nx-upstream: 1\r\ncontent-length: 2\r\n\r\nok'],
  'status 200x': ['HTTP/1.1 200x\r\nx-upstream: 1\r\ncontent-length: 2\r\n\r\nok'],
  'status 299': ['HTTP/1.1 299 Odd\r\nx-upstream: 1\r\ncontent-length: 2\r\n\r\nok'],
  'status 999': ['HTTP/1.1 999 High\r\nx-upstream: 1\r\ncontent-length: 2\r\n\r\nok'],
  'status 1000': ['HTTP/1.1 1000 Higher\r\nx-upstream: 1\r\ncontent-length: 2\r\n\r\nok'],
  'no reason': ['HTTP/1.1 200\r\nx-upstream: 1\r\ncontent-length: 2\r\n\r\nok'],
  'latin-1 reason': ['HTTP/1.1 200 caf\xe9\r\nx-upstream: 1\r\ncontent-length: 2\r\n\r\nok'],
  '100 first': [`HTTP/1.1 100 Continue\r\n\r\n${ok}content-length: 2\r\n\r\nok`],
  '103 first': [`HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${ok}content-length: 2\r\n\r\nok`],
  '101 unasked': ['HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: evil\r\n\r\nbytes'],
  '204 with a body': ['HTTP/1.1 204 No\r\nx-upstream: 1\r\ncontent-length: 2\r\n\r\nok'],
  '204 chunked': [
    `HTTP/1.1 204 No\r\nx-upstream: 1\r\ntransfer-encoding: chunked\r\n\r\n${hello}`,
  ],
  '304 with a length': ['HTTP/1.1 304 Same\r\nx-upstream: 1\r\ncontent-length: 20\r\n\r\n'],
  '205 with a body': ['HTTP/1.1 205 Reset\r\nx-upstream: 1\r\ncontent-length: 2\r\n\r\nok'],
  'accel headers': [
    `${ok}x-accel-redirect: /other\r\nx-accel-limit-rate: 5\r\ncontent-length: 2\r\n\r\nok`,
  ],
  'own server and date': [
    `${ok}server: shop/1\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-length: 2\r\n\r\nok`,
  ],
  redirect: [
    'HTTP/1.1 302 Found\r\nx-upstream: 1\r\nlocation: /next\r\ncontent-length: 0\r\n\r\n',
  ],
  nothing: ['', 'close'],
  'half a head': [`${ok}x-a: 1`, 'close'],
}
