// Odd lengths, codings and chunks.
import { HOST, TWO, chunked, collection, post } from './request.mjs'

const { list, add } = collection()

for (const [name, lines, body] of [
  ['2', 'content-length: 2\r\n', 'ab'],
  ['twice the same', 'content-length: 2\r\ncontent-length: 2\r\n', 'ab'],
  ['two', 'content-length: 2\r\ncontent-length: 3\r\n', 'abc'],
  ['list of the same', 'content-length: 2, 2\r\n', 'ab'],
  ['list', 'content-length: 2, 3\r\n', 'abc'],
  ['signed', 'content-length: +2\r\n', 'ab'],
  ['negative', 'content-length: -2\r\n', 'ab'],
  ['leading zero', 'content-length: 02\r\n', 'ab'],
  ['hexadecimal', 'content-length: 0x2\r\n', 'ab'],
  ['fraction', 'content-length: 2.0\r\n', 'ab'],
  ['exponent', 'content-length: 2e0\r\n', 'ab'],
  ['empty', 'content-length:\r\n', 'ab'],
  ['spaces', 'content-length:  2 \r\n', 'ab'],
  ['space within', 'content-length: 1 2\r\n', 'ab'],
  ['quoted', 'content-length: "2"\r\n', 'ab'],
  ['of 20 digits', 'content-length: 18446744073709551618\r\n', 'ab'],
  ['almost 2^64', 'content-length: 18446744073709551614\r\n', 'ab'],
  ['word', 'content-length: two\r\n', 'ab'],
  ['underscore', 'content_length: 2\r\n', 'ab'],
  ['bytes after it', 'content-length: 1\r\n', 'ab'],
  ['0 and bytes after it', 'content-length: 0\r\n', 'ab'],
  ['none and bytes', '', 'ab'],
  ['semicolon', 'content-length: 2;\r\n', 'ab'],
  ['folded', 'content-length:\r\n 2\r\n', 'ab'],
]) {
  add('length', name, post(lines, body))
}
add('length', 'longer than the body, half-closed', post('content-length: 9\r\n', 'ab'), {
  halfClose: true,
})
add('length', 'GET with a body', `GET /x HTTP/1.1\r\n${HOST}content-length: 2\r\n\r\nab`)
add('length', 'HEAD with a body', `HEAD /x HTTP/1.1\r\n${HOST}content-length: 2\r\n\r\nab`, {
  head: true,
})
add('length', 'DELETE with a body', `DELETE /x HTTP/1.1\r\n${HOST}content-length: 2\r\n\r\nab`)
add('length', 'OPTIONS with a body', `OPTIONS /x HTTP/1.1\r\n${HOST}content-length: 2\r\n\r\nab`)
add('length', 'POST without one', post(''))
add(
  'length',
  'over the limit of nginx',
  post('content-length: 1500000\r\n', 'x'.repeat(1_500_000)),
)

for (const [name, lines] of Object.entries({
  chunked: 'transfer-encoding: chunked\r\n',
  Chunked: 'transfer-encoding: Chunked\r\n',
  xchunked: 'transfer-encoding: xchunked\r\n',
  'gzip, chunked': 'transfer-encoding: gzip, chunked\r\n',
  'chunked, gzip': 'transfer-encoding: chunked, gzip\r\n',
  identity: 'transfer-encoding: identity\r\n',
  'chunked, identity': 'transfer-encoding: chunked, identity\r\n',
  gzip: 'transfer-encoding: gzip\r\n',
  'chunked, chunked': 'transfer-encoding: chunked, chunked\r\n',
  twice: 'transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n',
  'two lines': 'transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n',
  quoted: 'transfer-encoding: "chunked"\r\n',
  parameter: 'transfer-encoding: chunked;a=b\r\n',
  empty: 'transfer-encoding:\r\n',
  'comma before': 'transfer-encoding: ,chunked\r\n',
  'comma after': 'transfer-encoding: chunked,\r\n',
  'tab before': 'transfer-encoding:\tchunked\r\n',
  'vertical tab': 'transfer-encoding: \x0bchunked\r\n',
  'space before the colon': 'transfer-encoding : chunked\r\n',
  underscore: 'transfer_encoding: chunked\r\n',
  folded: 'transfer-encoding:\r\n chunked\r\n',
  'and a length': 'transfer-encoding: chunked\r\ncontent-length: 12\r\n',
  'after a length': 'content-length: 12\r\ntransfer-encoding: chunked\r\n',
  'and a short length': 'content-length: 3\r\ntransfer-encoding: chunked\r\n',
  'xchunked and a length': 'content-length: 12\r\ntransfer-encoding: xchunked\r\n',
  'identity and a length': 'content-length: 12\r\ntransfer-encoding: identity\r\n',
  'latin-1': 'transfer-encoding: chunked\xa0\r\n',
})) {
  add('coding', name, post(lines, TWO))
}
add(
  'coding',
  'chunked in HTTP/1.0',
  `POST /x HTTP/1.0\r\n${HOST}transfer-encoding: chunked\r\n\r\n${TWO}`,
)
add(
  'coding',
  'GET, chunked',
  `GET /x HTTP/1.1\r\n${HOST}transfer-encoding: chunked\r\n\r\n${TWO}`,
)

for (const [name, chunks] of Object.entries({
  extension: '2;a=b\r\nab\r\n0\r\n\r\n',
  'quoted extension': '2;a="b"\r\nab\r\n0\r\n\r\n',
  'extension on the last': '2\r\nab\r\n0;a=b\r\n\r\n',
  'LF in an extension': '2;a\nb\r\nab\r\n0\r\n\r\n',
  'CR in an extension': '2;a\rb\r\nab\r\n0\r\n\r\n',
  'extension of 30 000': `2;${'a'.repeat(30_000)}\r\nab\r\n0\r\n\r\n`,
  'space after the size': '2 \r\nab\r\n0\r\n\r\n',
  'space before the size': ' 2\r\nab\r\n0\r\n\r\n',
  '0x': '0x2\r\nab\r\n0\r\n\r\n',
  plus: '+2\r\nab\r\n0\r\n\r\n',
  minus: '-2\r\nab\r\n0\r\n\r\n',
  underscore: '0_2\r\nab\r\n0\r\n\r\n',
  'leading zeros': '0000000000000000002\r\nab\r\n0\r\n\r\n',
  'upper case': 'A\r\n0123456789\r\n0\r\n\r\n',
  'of 17 digits': '10000000000000002\r\nab\r\n0\r\n\r\n',
  'empty size': '\r\nab\r\n0\r\n\r\n',
  'LF after the size': '2\nab\r\n0\r\n\r\n',
  'LF after the data': '2\r\nab\n0\r\n\r\n',
  'CR after the size': '2\rab\r\n0\r\n\r\n',
  'no line end after the data': '2\r\nab0\r\n\r\n',
  'data too long': '2\r\nabc\r\n0\r\n\r\n',
  'LF at the end': '2\r\nab\r\n0\r\n\n',
  'two zeros': '2\r\nab\r\n00\r\n\r\n',
  'only the last': '0\r\n\r\n',
  trailer: '2\r\nab\r\n0\r\nx-sum: 7\r\n\r\n',
  'invalid trailer': '2\r\nab\r\n0\r\nx sum: 7\r\n\r\n',
  'trailer X-Forwarded-For': '2\r\nab\r\n0\r\nx-forwarded-for: 1.2.3.4\r\n\r\n',
  'trailer Content-Length': '2\r\nab\r\n0\r\ncontent-length: 9\r\n\r\n',
  '200 trailers': `2\r\nab\r\n0\r\n${'x-a: 1\r\n'.repeat(200)}\r\n`,
})) {
  // The upstream has the head before anything is wrong with the body.
  add('chunk', name, [chunked(''), chunks])
}
add(
  'chunk',
  'announced trailer',
  chunked('2\r\nab\r\n0\r\nx-sum: 7\r\n\r\n', 'trailer: x-sum\r\nte: trailers\r\n'),
)
add('chunk', 'cut and half-closed', chunked('5\r\nab'), { halfClose: true })
add('chunk', 'in pieces', [
  'POST /x HTTP/1.1\r\n',
  `${HOST}transfer-encoding: chunked\r\n\r\n`,
  '2\r',
  '\nab',
  '\r\n0\r\n',
  '\r\n',
])

export { list as BODIES }
