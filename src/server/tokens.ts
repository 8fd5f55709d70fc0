/** Bearer tokens. Only their digests are kept, in the state store, so that every instance on one database knows the same tokens. */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { HoldfastError, type StateStore } from '../index.ts'
import { readJson } from '../state/values.ts'
import { StateSpace } from '../state/space.ts'
import type { Access } from './access.ts'

/** No workspace's space begins like this. */
export const TOKEN_SPACE = 't:'
const TOKEN = /^hf_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/
/** A revoked token is refused everywhere after this many milliseconds. */
export const CACHE_MS = 5_000
/** Tokens that an instance remembers meanwhile. */
const MAX_KNOWN = 10_000

/** What a token allows, and when it ends. */
export interface Grant {
  /** Says what the token is for. */
  readonly name: string
  /** Workspaces by id, `''` being the default one; `*`: all. */
  readonly workspaces: '*' | readonly string[]
  /** Plugins as `author/name`, to whose storage the token is limited; `*`: no limit. */
  readonly plugins: '*' | readonly string[]
  readonly write: boolean
  /** Milliseconds since 1970; left out: it does not end. */
  readonly expiresAt?: number | undefined
}

export interface TokenInfo extends Grant {
  /** The part between the first two underscores; not secret. */
  readonly id: string
  readonly createdAt: number
}

interface Stored extends TokenInfo {
  /** SHA-256 of the secret, in hex. A secret is 256 random bits, so that a slow hash would add nothing. */
  readonly digest: string
}

export class Tokens {
  readonly #state: StateStore
  readonly #space: StateSpace
  readonly #known = new Map<string, Known>()
  #any: { readonly found: Promise<boolean>; readonly until: number } | undefined
  #anyEver = false

  constructor(state: StateStore) {
    this.#state = state
    this.#space = new StateSpace(state.core.backend, TOKEN_SPACE)
  }

  /** Makes a token. Its text is given here and never again. */
  async create(grant: Grant): Promise<{ readonly token: string; readonly info: TokenInfo }> {
    const id = randomBytes(8).toString('hex')
    const secret = randomBytes(32).toString('base64url')
    const info: TokenInfo = { ...grant, id, createdAt: Date.now() }
    const stored: Stored = { ...info, digest: digestOf(secret).toString('hex') }
    const set = [{ key: id, value: JSON.stringify(stored) }]
    await this.#state.run('tokens.create', 'write', undefined, (call) => this.#space.apply({ set }, call))
    this.#any = undefined
    return { token: `hf_${id}_${secret}`, info }
  }

  /** All tokens, the oldest first. */
  async list(): Promise<TokenInfo[]> {
    const found = await this.#state.run('tokens.list', 'read', undefined, async (call) => {
      const keys: string[] = []
      for await (const page of this.#space.pages('', call)) keys.push(...page)
      const entries = await this.#space.entries(keys, call)
      return entries.flatMap((entry, i) => (entry === undefined ? [] : [toStored(entry.value, keys[i]!)]))
    })
    return found.map(toInfo).toSorted((a, b) => a.createdAt - b.createdAt)
  }

  /** False where there is no such token. Instances that know it take it for some seconds more. */
  async revoke(id: string): Promise<boolean> {
    if (!/^[0-9a-f]{16}$/.test(id)) return false
    const run = this.#state.run('tokens.revoke', 'idempotent', undefined, (call) => this.#space.apply({ delete: [id] }, call))
    // Not before it is gone: until then somebody may read it once more.
    return await run.then((deleted) => deleted > 0).finally(() => this.#known.delete(id))
  }

  /**
   * True where there is a token, or was one as long as this object knows: who has once been asked for a token is not let in without one
   * because the last was revoked. Another instance's first one is seen after some seconds.
   */
  async any(): Promise<boolean> {
    if (this.#anyEver) return true
    if (this.#any === undefined || this.#any.until <= Date.now()) {
      this.#any = { found: this.#look(), until: Date.now() + CACHE_MS }
    }
    const asked = this.#any
    try {
      return await asked.found
    } catch (error) {
      if (this.#any === asked) this.#any = undefined
      throw error
    }
  }

  async #look(): Promise<boolean> {
    const scan = { prefix: '', limit: 1 }
    const keys = await this.#state.run('tokens.any', 'read', undefined, (call) => this.#space.scan(scan, call))
    this.#anyEver ||= keys.length > 0
    return this.#anyEver
  }

  /** What the token allows: one that is malformed, unknown, revoked or has ended is `UNAUTHORIZED`, without saying which. */
  async access(token: string): Promise<Access> {
    const [, id, secret] = TOKEN.exec(token) ?? []
    if (id === undefined || secret === undefined) throw refused()
    const stored = await this.#find(id)
    // Also where there is no such id, so that the time tells nothing of the secret.
    const matches = timingSafeEqual(digestOf(secret), stored?.digest ?? NO_DIGEST)
    if (stored === undefined || !matches || Date.now() >= stored.expiresAt) throw refused()
    return stored.access
  }

  /** One read for all who ask at the same time. Unknown ids are not remembered: whoever makes them up would push out those that are. */
  async #find(id: string): Promise<Remembered | undefined> {
    const known = this.#known.get(id)
    if (known !== undefined && known.until > Date.now()) return known.found
    const fresh: Known = { found: this.#read(id), until: Date.now() + CACHE_MS }
    this.#known.delete(id)
    if (this.#known.size >= MAX_KNOWN) this.#known.delete(this.#known.keys().next().value!)
    this.#known.set(id, fresh)
    let found: Remembered | undefined
    try {
      found = await fresh.found
      return found
    } finally {
      if (found === undefined && this.#known.get(id) === fresh) this.#known.delete(id)
    }
  }

  async #read(id: string): Promise<Remembered | undefined> {
    const entry = await this.#state.run('tokens.find', 'read', undefined, (call) => this.#space.entry(id, call))
    if (entry === undefined) return undefined
    const { workspaces, plugins, write, digest, expiresAt = Infinity } = toStored(entry.value, id)
    return { access: { tokenId: id, workspaces, plugins, write }, digest: Buffer.from(digest, 'hex'), expiresAt }
  }
}

/** What is checked on every request. */
interface Remembered {
  readonly access: Access
  readonly digest: Buffer
  readonly expiresAt: number
}

interface Known {
  readonly found: Promise<Remembered | undefined>
  readonly until: number
}

const NO_DIGEST = Buffer.alloc(32)

function digestOf(secret: string): Buffer {
  return hash('sha256', secret, 'buffer')
}

function toStored(value: string | Uint8Array, id: string): Stored {
  return readJson(value, id) as unknown as Stored
}

/** Without the digest. */
function toInfo({ id, name, workspaces, plugins, write, expiresAt, createdAt }: Stored): TokenInfo {
  return { id, name, workspaces, plugins, write, expiresAt, createdAt }
}

function refused(): HoldfastError {
  return new HoldfastError('UNAUTHORIZED', 'the token is missing, malformed, unknown, revoked or has ended', {
    outcome: 'not-applied',
  })
}
