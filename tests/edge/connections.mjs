// Requests that follow one another, payment paths, and requests for odd answers.
import { ANSWERS } from './answers.mjs'
import { HOST, TWO, chunked, collection, get, post } from './request.mjs'

const { list, add } = collection()

add('connection', 'two at once', get('/1') + get('/2'), { answers: 2 })
add(
  'connection',
  'three at once with bodies',
  post('content-length: 2\r\n', 'ab') + chunked(TWO) + get('/3'),
  { answers: 3 },
)
add('connection', 'a bad one behind', `${get('/1')}GET /2 HTTP/1.1\r\nx a: 1\r\n\r\n`, {
  answers: 2,
})
add('connection', 'a fragment behind', get('/1') + get('/2#x'), { answers: 2 })
add('connection', 'a fragment behind a body', post('content-length: 2\r\n', 'ab') + get('/2#x'), {
  answers: 2,
})
add('connection', 'a fragment behind chunks', chunked(TWO) + get('/2#x'), { answers: 2 })
add(
  'connection',
  'a request as a body',
  post('content-length: 25\r\n', 'GET /2#x HTTP/1.1\r\nh: b\r\n') + get('/3'),
  { answers: 2 },
)
add('connection', 'two, the first closes', get('/1', 'connection: close\r\n') + get('/2'))
add('connection', 'two of HTTP/1.0', `GET /1 HTTP/1.0\r\n${HOST}\r\n`.repeat(2))
add('connection', 'half-closed', get('/x'), { halfClose: true })
add('connection', 'half-closed, two', get('/1') + get('/2'), { halfClose: true, answers: 2 })
add('connection', 'half-closed in the head', 'GET /x HTTP/1.1\r\nhost:', { halfClose: true })
add('connection', 'nothing and half-closed', '', { halfClose: true })
add('connection', 'a head in pieces', [
  'GE',
  'T /x HTT',
  'P/1.1\r',
  '\nhost: sh',
  'op\r\n\r',
  '\n',
])
add('connection', 'Expect with a body', [
  post('expect: 100-continue\r\ncontent-length: 2\r\n'),
  'ab',
])
add(
  'connection',
  'Expect and the body at once',
  post('expect: 100-continue\r\ncontent-length: 2\r\n', 'ab'),
)
add('connection', 'Expect in HTTP/1.0', [
  `POST /x HTTP/1.0\r\n${HOST}expect: 100-continue\r\ncontent-length: 2\r\n\r\n`,
  'ab',
])
add('connection', 'early answer, small body', post('content-length: 2\r\n', 'ab', '/early'))
add('connection', 'early answer, half a body', post('content-length: 9\r\n', 'ab', '/early'))
add(
  'connection',
  'early answer, large body',
  post('content-length: 900000\r\n', 'x'.repeat(900_000), '/early'),
)
add('connection', 'websocket and bytes', [
  get('/x', 'connection: upgrade\r\nupgrade: websocket\r\n'),
  'bytes',
])
add(
  'connection',
  'websocket and bytes at once',
  `${get('/x', 'connection: upgrade\r\nupgrade: websocket\r\n')}bytes`,
)
add(
  'connection',
  'websocket by POST',
  post('connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 2\r\n', 'ab'),
)
add(
  'connection',
  'websocket in HTTP/1.0',
  `GET /x HTTP/1.0\r\n${HOST}connection: upgrade\r\nupgrade: websocket\r\n\r\n`,
)
add('connection', 'chunks for HTTP/1.0', `GET /chunks HTTP/1.0\r\n${HOST}\r\n`)
add('connection', 'chunks', get('/chunks'))
add('connection', 'chunks for HEAD', `HEAD /chunks HTTP/1.1\r\n${HOST}\r\n`, { head: true })

for (const target of [
  '/pay/createPayment',
  '/pay/createPayment#x',
  '/pay/createPayment?x',
  '/pay/createPayment/',
  '/pay//createPayment',
  '/pay/./createPayment',
  '/pay/x/../createPayment',
  '/pay/%63reatePayment',
  '/pay/..;/pay/createPayment',
  '/pay\\createPayment',
  '/PAY/createPayment',
  'http://shop/pay/createPayment',
  '//pay/createPayment',
  '/pay/notify/x',
  '/pay/createPayments',
  '/payments',
  '/pay',
]) {
  add(
    'payment',
    target,
    post('content-type: application/json\r\ncontent-length: 2\r\n', '{}', target),
  )
}

for (const name of Object.keys(ANSWERS)) {
  add('answer', name, get(`/raw/${encodeURIComponent(name)}`))
}
add(
  'answer',
  'length and chunked, then another',
  get('/raw/length%20and%20chunked') + get('/2'),
  { answers: 2 },
)
add('answer', 'two answers, then another', [get('/raw/two%20answers'), get('/2')], { answers: 2 })
add('answer', 'long body, then another', [get('/raw/long%20body'), get('/2')], { answers: 2 })
add('answer', 'no length for HEAD', `HEAD /raw/no%20length HTTP/1.1\r\n${HOST}\r\n`, {
  head: true,
})
add('answer', '304 for HEAD', `HEAD /raw/304%20with%20a%20length HTTP/1.1\r\n${HOST}\r\n`, {
  head: true,
})
add(
  'answer',
  'trailers that are wanted',
  get('/raw/trailers', 'te: trailers\r\nconnection: te\r\n'),
)
add('answer', 'HTTP/1.0 client, chunked', `GET /raw/trailers HTTP/1.0\r\n${HOST}\r\n`)

export { list as CONNECTIONS }
