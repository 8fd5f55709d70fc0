/**
 * What stores need of the platform: Node's built-ins where there are any, what every browser and edge runtime has otherwise. No import, so
 * that the stores can be bundled for either.
 */
import type { Channel } from 'node:diagnostics_channel'

const { process: node } = globalThis as { readonly process?: Pick<NodeJS.Process, 'getBuiltinModule'> }
const diagnostics = node?.getBuiltinModule?.('node:diagnostics_channel')
const encoder = new TextEncoder()

let foundCrypto: typeof import('node:crypto') | undefined

/** Looked up when first needed: it brings Node's streams with it, which takes longer than all of ours. */
function nodeCrypto(): typeof import('node:crypto') | undefined {
  return (foundCrypto ??= node?.getBuiltinModule?.('node:crypto'))
}

/** Bytes of the text in UTF-8. */
export function byteLength(text: string): number {
  return typeof Buffer === 'undefined' ? encoder.encode(text).length : Buffer.byteLength(text)
}

export function randomUUID(): string {
  return nodeCrypto()?.randomUUID() ?? globalThis.crypto.randomUUID()
}

/** The SHA-256 of each text's UTF-8, in hex. At once on Node: to wait would cost more than to compute. */
export function sha256(texts: readonly string[]): string[] | Promise<string[]> {
  const crypto = nodeCrypto()
  return crypto === undefined ? Promise.all(texts.map(webSha256)) : texts.map((text) => crypto.hash('sha256', text, 'hex'))
}

async function webSha256(text: string): Promise<string> {
  const digest = new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', encoder.encode(text)))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Rejects with the signal's reason. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) throw signal.reason
    const onAbort = (): void => {
      clearTimeout(timer)
      reject(signal!.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** Runs the work once what happened already has been dealt with. */
export function soon(work: () => void): void {
  if (typeof setImmediate === 'undefined') setTimeout(work)
  else setImmediate(work)
}

/** A channel of `node:diagnostics_channel`; where there is none, nobody listens. */
export function channel(name: string): Pick<Channel, 'hasSubscribers' | 'publish'> {
  return diagnostics?.channel(name) ?? { hasSubscribers: false, publish: () => undefined }
}

/** Text as base64url of its UTF-8, without padding. */
export function toBase64Url(text: string): string {
  if (typeof Buffer !== 'undefined') return Buffer.from(text).toString('base64url')
  const binary = String.fromCharCode(...encoder.encode(text))
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

/** Back again; what is no base64url gives some other text, or throws. */
export function fromBase64Url(base64: string): string {
  if (typeof Buffer !== 'undefined') return Buffer.from(base64, 'base64url').toString()
  const binary = atob(base64.replaceAll('-', '+').replaceAll('_', '/'))
  return new TextDecoder().decode(Uint8Array.from(binary, (unit) => unit.charCodeAt(0)))
}
