// Drives a headless Chromium by its DevTools protocol, over a pipe: no packages, no open port.
import { spawn } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const TIMEOUT_MS = 20_000

/** Opens `url` in a browser of its own. */
export async function open(url) {
  const profile = mkdtempSync(join(process.env.WORK, 'profile-'))
  const flags = [
    '--headless=new', '--remote-debugging-pipe', `--user-data-dir=${profile}`, '--no-first-run',
    '--disable-gpu', '--disable-dev-shm-usage', '--disable-extensions', '--hide-scrollbars',
    '--no-proxy-server', '--disable-background-networking', '--lang=zh-CN',
  ]
  // Chromium's own sandbox refuses to run for root.
  if (process.getuid() === 0) flags.push('--no-sandbox')
  const child = spawn(process.env.CHROMIUM, flags, {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  })
  const browser = new Pipe(child)
  const { targetId } = await browser.send('Target.createTarget', { url: 'about:blank' })
  const { sessionId } = await browser.send('Target.attachToTarget', { targetId, flatten: true })
  const page = new Page(browser, sessionId)
  for (const domain of ['Page', 'Runtime', 'Log']) await page.send(`${domain}.enable`)
  await page.go(url)
  return page
}

/** The protocol: JSON, each message ended by a zero byte. */
class Pipe {
  #child
  #waiting = new Map()
  #next = 1
  listeners = []

  constructor(child) {
    this.#child = child
    let rest = Buffer.alloc(0)
    child.stdio[4].on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk])
      for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
        this.#take(JSON.parse(rest.subarray(0, end)))
        rest = rest.subarray(end + 1)
      }
    })
    child.on('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the browser ended'))
    })
  }

  #take(message) {
    const call = this.#waiting.get(message.id)
    if (!call) return this.listeners.forEach((listen) => listen(message))
    this.#waiting.delete(message.id)
    message.error ? call.reject(new Error(message.error.message)) : call.resolve(message.result)
  }

  send(method, params = {}, sessionId = undefined) {
    const id = this.#next++
    const text = JSON.stringify({ id, method, params, sessionId })
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#child.stdio[3].write(`${text}\0`)
    })
  }

  async close() {
    const ended = new Promise((resolve) => { this.#child.on('exit', resolve) })
    this.send('Browser.close').catch(() => {})
    await ended
  }
}

/** One tab. */
class Page {
  #browser
  #session
  /** What the page complained of: errors, refused scripts and styles. */
  complaints = []

  constructor(browser, session) {
    this.#browser = browser
    this.#session = session
    browser.listeners.push(({ method, params }) => {
      if (method === 'Runtime.exceptionThrown') this.complaints.push(params.exceptionDetails.text)
      if (method === 'Log.entryAdded' && params.entry.level === 'error') {
        this.complaints.push(`${params.entry.text} ${params.entry.url ?? ''}`)
      }
    })
  }

  send(method, params) {
    return this.#browser.send(method, params, this.#session)
  }

  go(url) {
    return this.send('Page.navigate', { url })
  }

  async size(width, height) {
    const mobile = width < 600
    await this.send('Emulation.setDeviceMetricsOverride', {
      width, height, mobile, deviceScaleFactor: 2,
    })
  }

  async eval(expression) {
    const told = await this.send('Runtime.evaluate', {
      expression, awaitPromise: true, returnByValue: true,
    })
    if (told.exceptionDetails) {
      const { text, exception } = told.exceptionDetails
      throw new Error(`${text} ${exception?.description ?? ''}`)
    }
    return told.result.value
  }

  /**
   * Waits until `expression` is true of the page; asked again whenever the page changes, and of the
   * page that follows it.
   */
  async until(expression) {
    for (;;) {
      try {
        return await this.#until(expression)
      } catch (error) {
        if (!/navigated|context/.test(error.message)) throw error
      }
    }
  }

  async #until(expression) {
    const met = await this.eval(`new Promise((resolve) => {
      const is = () => { try { return Boolean(${expression}) } catch { return false } }
      const look = () => { if (is()) { watcher.disconnect(); resolve(true) } }
      const watcher = new MutationObserver(look)
      watcher.observe(document, { subtree: true, childList: true, attributes: true,
        characterData: true })
      document.addEventListener('load', look, true)
      setTimeout(() => resolve(is()), ${TIMEOUT_MS})
      look()
    })`)
    if (!met) throw new Error(`never came true: ${expression}`)
  }

  /** Presses the left button in the middle of what `selector` names, wherever it is. */
  async click(selector) {
    const [x, y] = await this.eval(`(() => {
      const found = document.querySelector(${JSON.stringify(selector)})
      found.scrollIntoView({ block: 'center' })
      const { x, y, width, height } = found.getBoundingClientRect()
      return [x + width / 2, y + height / 2]
    })()`)
    for (const type of ['mousePressed', 'mouseReleased']) {
      await this.send('Input.dispatchMouseEvent', { type, x, y, button: 'left', clickCount: 1 })
    }
  }

  /** Presses `key`, wherever the focus is. */
  async press(key, text) {
    await this.send('Input.dispatchKeyEvent', { type: 'keyDown', key, code: key, text })
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', key, code: key })
  }

  /** The whole page as a picture. */
  async picture(name) {
    await this.eval('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))')
    const { data } = await this.send('Page.captureScreenshot', { captureBeyondViewport: true })
    writeFileSync(join(process.env.PICTURES, name), Buffer.from(data, 'base64'))
  }

  close() {
    return this.#browser.close()
  }
}
