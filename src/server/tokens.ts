/** Bearer tokens. Only their digests are kept, in the state store, so that every instance on one database knows the same tokens. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { HoldfastError, type StateStore } from '../index.ts'
import { readJson } from '../state/values.ts'
import { StateSpace } from '../state/space.ts'
import type { Access } from './access.ts'

/** No workspace's space begins like this. */
export const TOKEN_SPACE = 't:'
const TOKEN = /^hf_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/
const PAGE = 1_000
/** A revoked token is refused everywhere after this many milliseconds. */
export const CACHE_MS = 5_000

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
  readonly #known = new Map<string, { readonly stored: Stored | undefined; readonly until: number }>()
  #any = false
  #anyUntil = 0

  constructor(state: StateStore) {
    this.#state = state
    this.#space = new StateSpace(state.core.backend, TOKEN_SPACE)
  }

  /** Makes a token. Its text is given here and never again. */
  async create(grant: Grant): Promise<{ readonly token: string; readonly info: TokenInfo }> {
    const id = randomBytes(8).toString('hex')
    const secret = randomBytes(32).toString('base64url')
    const info: TokenInfo = { ...grant, id, createdAt: Date.now() }
    const stored: Stored = { ...info, digest: digestOf(secret) }
    const set = [{ key: id, value: JSON.stringify(stored) }]
    await this.#state.run('tokens.create', 'write', undefined, (call) => this.#space.apply({ set }, call))
    this.#anyUntil = 0
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
    this.#known.delete(id)
    if (!/^[0-9a-f]{16}$/.test(id)) return false
    const run = this.#state.run('tokens.revoke', 'idempotent', undefined, (call) => this.#space.apply({ delete: [id] }, call))
    return (await run) > 0
  }

  /** True where there is a token at all. Another instance's first one is seen after some seconds, and the last one's end too. */
  async any(): Promise<boolean> {
    if (this.#anyUntil > Date.now()) return this.#any
    const scan = { prefix: '', limit: 1 }
    const keys = await this.#state.run('tokens.any', 'read', undefined, (call) => this.#space.scan(scan, call))
    this.#any = keys.length > 0
    this.#anyUntil = Date.now() + CACHE_MS
    return this.#any
  }

  /** What the token allows: one that is malformed, unknown, revoked or has ended is `UNAUTHORIZED`, without saying which. */
  async access(token: string): Promise<Access> {
    const [, id, secret] = TOKEN.exec(token) ?? []
    if (id === undefined || secret === undefined) throw refused()
    const stored = await this.#find(id)
    // An unknown id costs what a known one costs, so that ids cannot be told apart by time.
    const matches = timingSafeEqual(Buffer.from(digestOf(secret)), Buffer.from(stored?.digest ?? NO_DIGEST))
    if (stored === undefined || !matches || Date.now() >= (stored.expiresAt ?? Infinity)) throw refused()
    const { workspaces, plugins, write } = stored
    return { tokenId: id, workspaces, plugins, write }
  }

  async #find(id: string): Promise<Stored | undefined> {
    const known = this.#known.get(id)
    if (known !== undefined && known.until > Date.now()) return known.stored
    const entry = await this.#state.run('tokens.find', 'read', undefined, (call) => this.#space.entry(id, call))
    const stored = entry === undefined ? undefined : toStored(entry.value, id)
    if (this.#known.size >= PAGE) this.#known.clear()
    this.#known.set(id, { stored, until: Date.now() + CACHE_MS })
    return stored
  }
}

const NO_DIGEST = '0'.repeat(64)

function digestOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
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
