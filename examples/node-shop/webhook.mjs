// Standard Webhooks (https://www.standardwebhooks.com, "Verifying webhook authenticity").

import { createHmac, timingSafeEqual } from 'node:crypto'

const TOLERANCE_S = 300

/**
 * Whether `body` (the raw bytes) was signed with `secret` within the last five minutes.
 * Without a secret (`whsec_` and base64) nothing is.
 */
export function verifyWebhook(secret, headers, body) {
  const [id, timestamp, signatures] =
    ['id', 'timestamp', 'signature'].map((name) => headers[`webhook-${name}`] ?? '')
  if (!/^whsec_.{32,}$/.test(secret ?? '')) return false
  if (!id || !signatures || !/^\d{1,12}$/.test(timestamp)) return false
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_S) return false
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64')
  const expected = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest()
  // Several signatures while a secret is rotated.
  return signatures.split(' ').some((signature) => {
    const given = Buffer.from(signature.startsWith('v1,') ? signature.slice(3) : '', 'base64')
    return given.length === expected.length && timingSafeEqual(given, expected)
  })
}
