/** State on Redis and Valkey. Text and bytes are stored as they are, each value under a key of its own that other programs can read. */
import { createHash } from 'node:crypto'
import { hashTag, RedisEngine, type RedisArg, type RedisReply } from '../engines/redis.ts'
import type { RedisOptions } from '../engines/redis-options.ts'
import type { RedisDial } from '../engines/redis-wires.ts'
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import type {
  StateBackend,
  StateCapabilities,
  StateCommit,
  StateCommitResult,
  StateEntry,
  StateScan,
  StateSet,
  StateValue,
} from './contract.ts'
import { scanNames } from './redis-scan.ts'
import { COMMIT_SCRIPT, COUNT_SCRIPT, DELETE_SCRIPT, GET_SCRIPT, VERSION_SALT } from './redis-scripts.ts'
import { RedisSpaces, registryKey } from './redis-spaces.ts'

/** A commit is one script, during which the server does nothing else. */
export const redisCapabilities: StateCapabilities = { bytes: 'native', commitKeys: 10_000 }

/** `batch`: what is not atomic anyway lets others have their turn in between. */
const LIMITS = { valueBytes: 512 * 1024 * 1024, batch: 1_000 } as const

/** The keys of one space on the server, all in one slot. */
interface Place {
  readonly index: string
  readonly ends: string
  readonly values: string
  /** Bytes of `values`. */
  readonly cut: string
}

/** Kept for the spaces used last, rather than put together for each call. */
const MAX_PLACES = 1_000

export async function openRedisState(options: RedisOptions, library: () => Promise<RedisDial>): Promise<StateBackend> {
  return new RedisState(await RedisEngine.open(options, library, registryKey))
}

class RedisState implements StateBackend {
  readonly capabilities = redisCapabilities
  readonly limits = LIMITS
  readonly #engine: RedisEngine
  readonly #spaces: RedisSpaces
  readonly #places = new Map<string, Place>()

  constructor(engine: RedisEngine) {
    this.#engine = engine
    this.#spaces = new RedisSpaces(engine, (space, call) => this.#holdsKey(space, call))
  }

  async get(space: string, keys: readonly string[], call?: BackendCall): Promise<(StateEntry | undefined)[]> {
    if (keys.length === 0) return []
    const { values } = this.#place(space)
    const reply = await this.#engine.read(
      GET_SCRIPT,
      keys.map((key) => values + key),
      [],
      call,
    )
    const found = reply as readonly (Buffer | number | null)[]
    return keys.map((_, i) => toEntry(found[2 * i] as Buffer | null, found[2 * i + 1] as number))
  }

  async commit(space: string, commit: StateCommit, call?: BackendCall): Promise<StateCommitResult> {
    const { checks = [], set = [], delete: unwanted = [], add = [] } = commit
    if (checks.length + set.length + unwanted.length + add.length === 0) return { applied: true, deleted: 0, sums: [] }
    checkSize(commit)
    const isDeletion = set.length + add.length === 0
    if (!isDeletion) await this.#spaces.announce(space, call)
    const { index, ends, values, cut } = this.#place(space)
    const named = [...checks, ...set, ...unwanted.map((key) => ({ key })), ...add]
    const args: RedisArg[] = [cut, ...[checks, set, unwanted, add].map(({ length }) => String(length))]
    for (const { version } of checks) args.push(version ?? '-')
    for (const item of set) args.push(toArg(item.value), ttlOf(item))
    for (const { by, max } of add) args.push(String(by), max === undefined ? '' : String(max))
    const script = isDeletion ? DELETE_SCRIPT : COMMIT_SCRIPT
    const keys = [index, ends, ...named.map(({ key }) => values + key)]
    const changed = (reply: RedisReply): boolean => isApplied(reply as Answer) && (!isDeletion || (reply as Answer)[1] > 0)
    return toResult((await this.#engine.write(script, keys, args, changed, call)) as Answer, commit)
  }

  scan(space: string, scan: StateScan, call?: BackendCall): Promise<string[]> {
    const { index, ends } = this.#place(space)
    return scanNames(this.#engine, [index, ends], scan, call)
  }

  listSpaces(scan: StateScan, call?: BackendCall): Promise<string[]> {
    return this.#spaces.list(scan, call)
  }

  async ping(call?: BackendCall): Promise<void> {
    await this.#engine.ping(registryKey(this.#engine.prefix), call)
  }

  async close(): Promise<void> {
    this.#engine.close()
  }

  async #holdsKey(space: string, call: BackendCall | undefined): Promise<boolean> {
    const { index, ends } = this.#place(space)
    return ((await this.#engine.read(COUNT_SCRIPT, [index, ends], [], call)) as number) > 0
  }

  #place(space: string): Place {
    let place = this.#places.get(space)
    if (place === undefined) {
      const base = `${this.#engine.prefix}{${hashTag(space)}}`
      const values = `${base}:k:`
      place = { index: `${base}:i`, ends: `${base}:e`, values, cut: String(Buffer.byteLength(values)) }
      if (this.#places.size >= MAX_PLACES) this.#places.clear()
      this.#places.set(space, place)
    }
    return place
  }
}

function toEntry(value: Buffer | null, ttlMs: number): StateEntry | undefined {
  if (value === null) return undefined
  let version: string | undefined
  return {
    value,
    // Most are never asked for.
    get version() {
      return (version ??= versionOf(value))
    },
    ttlMs: ttlMs === -1 ? undefined : Math.max(1, ttlMs),
  }
}

/** As the script makes it of what is stored. */
function versionOf(value: Buffer): string {
  const salted = createHash('sha1').update(VERSION_SALT).update(value).digest('hex')
  return createHash('sha1').update(value).digest('hex') + salted
}

function toArg(value: StateValue): RedisArg {
  return typeof value === 'string' ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}

function ttlOf({ ttlMs }: StateSet): string {
  return ttlMs === undefined ? '' : String(ttlMs)
}

type Answer = readonly [reason: Buffer, count: number, ...sums: Buffer[]]

function isApplied([why]: Answer): boolean {
  return why.length === 0
}

function toResult(answer: Answer, { checks = [], add = [] }: StateCommit): StateCommitResult {
  const [why, count, ...sums] = answer
  if (isApplied(answer)) return { applied: true, deleted: count, sums: sums.map(Number) }
  const reason = why.toString() as 'check' | 'max' | 'not-integer'
  return { applied: false, reason, key: (reason === 'check' ? checks : add)[count - 1]!.key }
}

function checkSize({ checks = [], set = [], delete: unwanted = [], add = [] }: StateCommit): void {
  const { commitKeys } = redisCapabilities
  if (checks.length + set.length + unwanted.length + add.length <= commitKeys) return
  const keys = new Set([...[...checks, ...set, ...add].map(({ key }) => key), ...unwanted])
  if (keys.size <= commitKeys) return
  throw new HoldfastError('UNSUPPORTED', `a commit of ${keys.size} keys; it takes up to ${commitKeys}`, {
    outcome: 'not-applied',
  })
}
