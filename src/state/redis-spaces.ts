/**
 * Which spaces there are: a sorted set of names, in a slot of its own and so not atomic with what happens in the spaces. Still no space
 * that holds a key is ever missing from it:
 *
 * A process announces a space before it first writes there, and again before it writes when its last announcement is older than
 * `VALID_MS`. A name is removed only when its space is found empty and nobody announced it for `FORGET_MS`, which is so much longer that
 * no write can still be under way. Announcing is idempotent, and costs one round trip now and then.
 */
import { unlessAborted } from '../engines/redis-dialer.ts'
import type { RedisEngine } from '../engines/redis.ts'
import type { BackendCall } from '../store/contract.ts'
import { withOutcome } from '../store/core.ts'
import type { StateScan } from './contract.ts'
import { scanNames } from './redis-scan.ts'
import { FORGET_SCRIPT, REGISTER_SCRIPT } from './redis-scripts.ts'

const VALID_MS = 10 * 60_000
const FORGET_MS = 60 * 60_000
/** Spaces that a process remembers having announced. */
const MAX_KNOWN = 10_000
/** Spaces looked into at a time, in one round trip. */
const MIN_PAGE = 100
const MAX_PAGE = 1_000

/** The names. No space's keys have this tag. */
export function registryKey(prefix: string): string {
  return `${prefix}{#}:names`
}

export class RedisSpaces {
  readonly #engine: RedisEngine
  readonly #holdsKey: (space: string, call: BackendCall | undefined) => Promise<boolean>
  readonly #names: string
  readonly #times: string
  /** When each was announced last. */
  readonly #announced = new Map<string, number>()
  readonly #announcing = new Map<string, Promise<void>>()

  constructor(engine: RedisEngine, holdsKey: (space: string, call: BackendCall | undefined) => Promise<boolean>) {
    this.#engine = engine
    this.#holdsKey = holdsKey
    this.#names = registryKey(engine.prefix)
    this.#times = `${engine.prefix}{#}:times`
  }

  /** Resolves when everybody can see the name. Must be waited for before something is written into the space. */
  async announce(space: string, call: BackendCall | undefined): Promise<void> {
    const at = this.#announced.get(space)
    if (at !== undefined && performance.now() - at < VALID_MS) return
    let announcing = this.#announcing.get(space)
    if (announcing === undefined) {
      announcing = this.#announce(space).finally(() => this.#announcing.delete(space))
      this.#announcing.set(space, announcing)
    }
    await unlessAborted(announcing, call?.signal)
  }

  async list({ prefix, after, limit }: StateScan, call: BackendCall | undefined): Promise<string[]> {
    const found: string[] = []
    for (let behind = after; ;) {
      const wanted = Math.min(MAX_PAGE, Math.max(MIN_PAGE, limit - found.length))
      const page = await scanNames(this.#engine, [this.#names, this.#neverEnds], { prefix, after: behind, limit: wanted }, call)
      const alive = await Promise.all(page.map((space) => this.#holdsKey(space, call)))
      found.push(...page.filter((_, i) => alive[i]))
      await this.#forget(page.filter((_, i) => !alive[i]))
      if (page.length < wanted || found.length >= limit) return found.slice(0, limit)
      behind = page.at(-1)
    }
  }

  /** Of all who wait for it, so that none of them can end it. */
  async #announce(space: string): Promise<void> {
    const at = performance.now()
    await this.#engine
      .write(REGISTER_SCRIPT, [this.#names, this.#times], [space], () => true)
      .catch((error: unknown) => {
        // Whatever became of the name, nothing was written into the space.
        throw withOutcome(error, 'not-applied')
      })
    if (this.#announced.size >= MAX_KNOWN) this.#announced.delete(this.#announced.keys().next().value!)
    this.#announced.delete(space)
    this.#announced.set(space, at)
  }

  async #forget(spaces: readonly string[]): Promise<void> {
    if (spaces.length === 0) return
    await this.#engine.read(FORGET_SCRIPT, [this.#names, this.#times], [String(FORGET_MS), ...spaces])
  }

  /** A sorted set that is not there, in the same slot. */
  get #neverEnds(): string {
    return `${this.#engine.prefix}{#}:never`
  }
}
