// Starts paygate, asks it, and prints one line per fact.
'use strict';
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');

const WORK = process.env.PEERS_WORK;
const TOKEN = 'a-caller-token-of-more-than-32-characters';

/** The file `name` of this run's keys. */
const file = (name) => path.join(WORK, name);
const read = (name) => fs.readFileSync(file(name), 'utf8').trim();

let failed = false;

/** Prints whether `hold` does not throw. */
async function fact(name, hold) {
  try {
    await hold();
    console.log(`ok: ${name}`);
  } catch (error) {
    failed = true;
    console.log(`NOT OK: ${name}\n    ${String(error.stack ?? error).replaceAll('\n', '\n    ')}`);
  }
}

/** Runs `main` and exits with 1 if a fact did not hold. */
function run(main) {
  main().then(() => process.exit(failed ? 1 : 0), (error) => {
    console.log(`NOT OK: ${error.stack ?? error}`);
    process.exit(1);
  });
}

const freePort = () => new Promise((resolve) => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

/** Starts `paygate` with `args` and nothing but `env`, and waits until `ready` answers. */
async function start(args, env, ready) {
  const cwd = fs.mkdtempSync(path.join(WORK, 'paygate-'));
  const child = spawn(process.env.PAYGATE, args, {
    cwd,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (text) => { output += text; });
  child.stderr.on('data', (text) => { output += text; });
  const ended = new Promise((resolve) => { child.on('close', resolve); });
  const stop = async () => { child.kill('SIGTERM'); await ended; };
  for (let tries = 0; tries < 150; tries += 1) {
    if (child.exitCode !== null) break;
    const reached = await fetch(ready).then((reply) => reply.status < 500, () => false);
    if (reached) return { stop };
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  await stop();
  throw new Error(`paygate does not start:\n${output}`);
}

/** Starts the sidecar in live mode with `env` beside what every shop sets. */
async function live(env) {
  const [port, admin] = [await freePort(), await freePort()];
  const origin = `http://127.0.0.1:${port}`;
  const { stop } = await start(['serve'], {
    PAYGATE_MODE: 'live',
    PAYGATE_LISTEN: `127.0.0.1:${port}`,
    PAYGATE_ADMIN_LISTEN: `127.0.0.1:${admin}`,
    PAYGATE_PUBLIC_URL: origin,
    PAYGATE_STORE: 'sqlite:orders.db',
    PAYGATE_PRICING: 'trusted',
    PAYGATE_CALLER_TOKEN: TOKEN,
    ...env,
  }, `http://127.0.0.1:${admin}/readyz`);
  const create = async (request) => {
    const reply = await fetch(`${origin}/pay/createPayment`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${TOKEN}` },
      body: JSON.stringify(request),
    });
    return { status: reply.status, ...await reply.json() };
  };
  return { create, stop };
}

/** A provider on loopback: `answer(request, body)` gives the reply's text. */
async function provider(answer) {
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    response.setHeader('content-type', 'text/html;charset=utf-8');
    response.end(answer(request, Buffer.concat(chunks).toString('utf8')));
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return { origin: `http://127.0.0.1:${server.address().port}`, stop: () => server.close() };
}

/** What `work` returns when it runs at `time`, a text in this process's zone. */
async function at(time, work) {
  const RealDate = Date;
  const now = new RealDate(time.replace(' ', 'T')).getTime();
  globalThis.Date = class extends RealDate {
    constructor(...given) { super(...(given.length ? given : [now])); }
    static now() { return now; }
  };
  try {
    return await work();
  } finally {
    globalThis.Date = RealDate;
  }
}

let count = 0;

/** An order number that was not used before. */
function number() {
  count += 1;
  return `p${process.pid}n${Date.now()}n${count}`;
}

module.exports = { at, fact, file, freePort, live, number, provider, read, run, start };
