// Sends every odd request along every route, and judges the differences between nginx and paygate.
import { readFileSync, writeFileSync } from 'node:fs'

import { BODIES } from './bodies.mjs'
import { CLIENTS } from './clients.mjs'
import { CONNECTIONS } from './connections.mjs'
import { HEADS } from './heads.mjs'
import { freePort, startNginx, startPaygate, startUpstream, stopAll } from './servers.mjs'
import { exchange } from './wire.mjs'

/** `front` is nginx before paygate, `behind` is nginx behind it. */
const ROUTES = ['direct', 'nginx', 'paygate', 'front', 'behind']

async function startRoutes() {
  const upstreams = Object.fromEntries(
    await Promise.all(ROUTES.map(async (route) => [route, await startUpstream()])),
  )
  const at = (route) => upstreams[route].port
  const [nginx, nginx2, front, behind] = await Promise.all([1, 2, 3, 4].map(freePort))
  const paygate = await startPaygate(at('paygate'))
  await startNginx([
    { port: nginx, to: at('nginx') },
    { port: nginx2, to: at('nginx'), http2: true },
    { port: front, to: await startPaygate(at('front')) },
    { port: behind, to: at('behind') },
  ])
  return {
    upstreams,
    ports: { direct: at('direct'), nginx, paygate, front, behind: await startPaygate(behind) },
    http2: { nginx: nginx2, paygate },
  }
}

/** What one request did along one route: facts by name. */
async function observe(request, port, received) {
  received.length = 0
  const facts = request.run ? await request.run(port) : observed(await exchange(port, request))
  await new Promise((resolve) => {
    setTimeout(resolve, 20)
  })
  facts.received = received.map((it) => shortened(it.line)).join(', ') || 'nothing'
  const [first] = received
  const host = first?.headers.find(([name]) => name === 'host')?.[1]
  const headers = (first?.headers ?? []).map(([name, value]) => {
    const derived = host && ['x-forwarded-host', 'forwarded'].includes(name)
    return [
      name,
      derived ? value.replace(new RegExp(`(^|")${escape(host)}("|$)`), '$1HOST$2') : value,
    ]
  })
  for (const [name, value] of byName(headers)) facts[`received ${name}`] = value
  if (first) facts['received body'] = shortened(received.map((it) => it.body).join(' + '))
  if (first?.trailers) facts['received trailers'] = shortened(first.trailers)
  return facts
}

const escape = (text) => text.replace(/[^\w]/g, '\\$&')

function observed({ answers, end }) {
  const facts = {
    answer:
      answers.map((it) => it.status || `no HTTP: ${shortened(it.raw)}`).join(', ') || 'none',
    connection: end,
  }
  const answer = answers.find((it) => it.headers?.some(([name]) => name === 'x-upstream'))
  for (const [name, value] of byName(answer?.headers ?? [])) facts[`answer ${name}`] = value
  if (answer) {
    facts['answer body'] = `${shortened(answer.body)}${answer.complete ? '' : ' (cut)'}`
    facts['answer version'] = answer.version
    if (answer.trailers) facts['answer trailers'] = answer.trailers
  }
  return facts
}

function byName(headers) {
  const values = new Map()
  for (const [name, value] of headers) {
    const known = values.get(name)
    const text = plain(name, value)
    values.set(name, known === undefined ? text : `${known} | ${text}`)
  }
  return [...values].map(([name, value]) => [shortened(name), shortened(value)])
}

/** Values that differ in every run. */
function plain(name, value) {
  if (name === 'x-paygate-via') return value.replace(/[\w-]{16,}/g, 'MARK')
  if (name === 'date' && /\d\d:\d\d:\d\d GMT/.test(value) && !value.includes('1970')) return 'NOW'
  if (name === 'server') return value.replace(/^nginx.*/, 'nginx')
  return value.replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT')
}

function shortened(text) {
  const escaped = JSON.stringify(text).slice(1, -1)
  return escaped.length > 70 ? `${escaped.slice(0, 40)}… of ${text.length}` : escaped
}

/** The facts in which nginx and paygate differ: who passes the request on, or all else. */
function differences(request, { nginx, paygate }) {
  const outcomes = [nginx, paygate].map((it) =>
    it.received === 'nothing' ? `answers ${it.answer}` : `passes, ${it.answer}`,
  )
  if (outcomes[0] !== outcomes[1]) {
    return [{ request: request.name, fact: 'outcome', nginx: outcomes[0], paygate: outcomes[1] }]
  }
  const names = new Set([...Object.keys(nginx), ...Object.keys(paygate)])
  return [...names]
    .filter((fact) => nginx[fact] !== paygate[fact])
    .map((fact) => ({
      request: request.name,
      fact,
      nginx: nginx[fact] ?? null,
      paygate: paygate[fact] ?? null,
    }))
}

/** What two proxies in a row let through is what one of them lets through, or nothing. */
function chained(request, facts) {
  const allowed = [facts.nginx, facts.paygate].map(passed)
  return ['front', 'behind'].flatMap((route) => {
    const came = passed(facts[route])
    const is = came === 'nothing' || allowed.includes(came)
    return is
      ? []
      : [
          {
            request: request.name,
            fact: `${route} passes`,
            nginx: allowed[0],
            paygate: came,
          },
        ]
  })
}

const passed = (facts) =>
  facts.received === 'nothing' ? 'nothing' : `${facts.received} with ${facts['received body']}`

const matches = (entry, it) =>
  entry.fact === it.fact &&
  entry.nginx === it.nginx &&
  entry.paygate === it.paygate &&
  (entry.requests === 'all' || entry.requests.includes(it.request))

/**
 * The differences without an entry, and the entries without a difference. One with `sometimes`
 * depends on which of two packets comes first.
 */
function judge(found, entries) {
  const unexplained = found.filter((it) => !entries.some((entry) => matches(entry, it)))
  const unused = entries
    .filter((entry) => !entry.sometimes)
    .flatMap((entry) => {
      const used = found.filter((it) => matches(entry, it)).map((it) => it.request)
      if (entry.requests === 'all') return used.length ? [] : [{ ...entry, unused: 'all' }]
      const left = entry.requests.filter((name) => !used.includes(name))
      return left.length ? [{ ...entry, unused: left }] : []
    })
  return { unexplained, unused }
}

/** Differences of one kind together, in the form of `differences.json`. */
function grouped(differing) {
  const groups = new Map()
  for (const { request, fact, nginx, paygate } of differing) {
    const key = JSON.stringify([fact, nginx, paygate])
    const group = groups.get(key) ?? { fact, nginx, paygate, requests: [] }
    group.requests.push(request)
    groups.set(key, group)
  }
  return [...groups.values()]
}

const only = process.env.ONLY ?? ''
const requests = [...HEADS, ...BODIES, ...CONNECTIONS, ...CLIENTS].filter((it) =>
  it.name.includes(only),
)
const { upstreams, ports, http2 } = await startRoutes()
const found = []
const lines = []
for (const request of requests) {
  const to = request.http2 ? http2 : ports
  const routes = ROUTES.filter((route) => to[route] !== undefined)
  const all = await Promise.all(
    routes.map((route) => observe(request, to[route], upstreams[route].received)),
  )
  const facts = Object.fromEntries(routes.map((route, at) => [route, all[at]]))
  const differing = differences(request, facts)
  found.push(...differing, ...(request.http2 ? [] : chained(request, facts)))
  lines.push(
    `${request.name}\n${routes
      .map((route) => {
        const { answer, connection, received } = facts[route]
        return `    ${route.padEnd(8)} ${answer} ${connection ?? ''} <- ${received}\n`
      })
      .join(
        '',
      )}${differing.map((it) => `    ${it.fact}: ${it.nginx} / ${it.paygate}\n`).join('')}`,
  )
}
for (const upstream of Object.values(upstreams)) upstream.stop()
stopAll()
const report = `${process.env.REPORT}/report.txt`
writeFileSync(report, lines.join('\n'))

const table = JSON.parse(readFileSync(new URL('differences.json', import.meta.url), 'utf8'))
const entries = table.flatMap(({ differences: list, ...why }) =>
  list.map((it) => ({ ...why, ...it })),
)
const { unexplained, unused } = judge(found, entries)
if (only) {
  console.log(lines.join('\n'))
  process.exit(0)
}
for (const [name, list] of Object.entries({ differences: found, unexplained })) {
  const text = JSON.stringify(grouped(list), null, 1)
  writeFileSync(`${process.env.REPORT}/${name}.json`, text)
}
for (const it of grouped(unexplained)) {
  console.log(`NOT OK: unexplained: ${it.fact}: nginx ${it.nginx}, paygate ${it.paygate}`)
  console.log(`    ${it.requests.slice(0, 8).join('; ')}${it.requests.length > 8 ? ' …' : ''}`)
}
for (const it of unused) {
  console.log(`NOT OK: no such difference: ${it.fact}: nginx ${it.nginx}, paygate ${it.paygate}`)
  console.log(`    ${JSON.stringify(it.unused)} (${[it.why].flat().join(' ')})`)
}
const failed = unexplained.length + unused.length > 0
console.log(
  `${failed ? 'NOT OK' : 'ok'}: ${requests.length} requests, ${found.length} differences, ` +
    `${unexplained.length} of them unexplained; side by side in ${report}`,
)
process.exit(failed ? 1 : 0)
