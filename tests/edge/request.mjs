// How an odd request is written down.
export const HOST = 'host: shop\r\n'

export const get = (target, lines = '') => `GET ${target} HTTP/1.1\r\n${HOST}${lines}\r\n`

export const post = (lines, body = '', target = '/x') =>
  `POST ${target} HTTP/1.1\r\n${HOST}${lines}\r\n${body}`

export const chunked = (chunks, lines = '') =>
  post(`${lines}transfer-encoding: chunked\r\n`, chunks)

/** A body of two bytes in chunks. */
export const TWO = '2\r\nab\r\n0\r\n\r\n'

/**
 * A list, and the function that adds to it: a request's group and name, its bytes or the pieces
 * that are sent one after another, and what its client does besides.
 */
export function collection() {
  const list = []
  const add = (group, name, sent, options = {}) => {
    const pieces = Array.isArray(sent) ? sent : [sent]
    list.push({ name: `${group}: ${name}`, pieces, ...options })
  }
  return { list, add }
}
