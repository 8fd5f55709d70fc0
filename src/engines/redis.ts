/** Redis and Valkey: connecting, running scripts, and saying what went wrong. Everything is done by scripts, so that it takes one round trip. */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import { ClusterRoute } from './redis-cluster.ts'
import { RedisDialer } from './redis-dialer.ts'
import { isReply, translateRedisError } from './redis-errors.ts'
import type { RedisArg, RedisReply, RedisSender } from './redis-link.ts'
import { placeOf, type RedisOptions } from './redis-options.ts'
import { addressMapOf, InjectedRoute, ServerRoute, type RedisRoute } from './redis-routes.ts'
import { injectedClient, type RedisDial } from './redis-wires.ts'

export type { RedisArg, RedisReply } from './redis-link.ts'

/** How long a call waits for keys that are just being moved to another node. */
const MOVING_MS = 5_000
const MAX_PAUSE_MS = 100

export interface RedisScript {
  readonly text: string
  readonly sha: string
  /** The text of the same, but changing nothing: for a primary that takes no writes now, because of its disk or its replicas. */
  readonly readOnly?: string | undefined
}

/**
 * Scripts that may write run on primaries only, so that no answer is older than it must be: those that read say nothing of it. `readOnly`
 * is the body of one that says so.
 */
export function redisScript(body: string, { flags = '', readOnly }: { flags?: string; readOnly?: string } = {}): RedisScript {
  const text = textOf(flags, body)
  const sha = createHash('sha1').update(text).digest('hex')
  return { text, sha, readOnly: readOnly === undefined ? undefined : textOf(['no-writes', flags].join(','), readOnly) }
}

function textOf(flags: string, body: string): string {
  return `#!lua${flags === '' ? '' : ` flags=${flags}`}\n${body}`
}

/** Any text as part of a key that stands between braces, where it says which slot the key is in. Different texts stay different. */
export function hashTag(text: string): string {
  if (text === '' || text === '.') return text === '' ? '.' : '%2E'
  const tag = [...Buffer.from(text)].map(tagByte).join('')
  return tag.length <= MAX_TAG ? tag : `%.${createHash('sha256').update(text).digest('hex')}`
}

const MAX_TAG = 200
const PLAIN = /[\w.:~/@+,=-]/

function tagByte(byte: number): string {
  const char = String.fromCharCode(byte)
  return byte < 0x80 && PLAIN.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
}

export class RedisEngine {
  /** What every key begins with. */
  readonly prefix: string
  readonly #route: RedisRoute
  readonly #where: string
  readonly #wait: readonly string[] | undefined
  readonly #waitReplicas: number

  private constructor(route: RedisRoute, where: string, options: RedisOptions) {
    const { prefix = 'holdfast:', waitReplicas = 0, waitTimeoutMs = 1_000 } = options
    this.prefix = prefix
    this.#route = route
    this.#where = where
    this.#waitReplicas = waitReplicas
    this.#wait = waitReplicas === 0 ? undefined : ['WAIT', String(waitReplicas), String(waitTimeoutMs)]
  }

  /** Rejects where the server does not answer, with nothing left open. `key` is any that belongs to the store. */
  static async open(
    options: RedisOptions,
    library: () => Promise<RedisDial>,
    key: (prefix: string) => string,
  ): Promise<RedisEngine> {
    const engine = options.client === undefined ? await ownEngine(options, library) : injectedEngine(options)
    try {
      await engine.ping(key(engine.prefix))
      return engine
    } catch (error) {
      engine.close()
      throw error
    }
  }

  /** @internal */
  static over(route: RedisRoute, where: string, options: RedisOptions): RedisEngine {
    return new RedisEngine(route, where, options)
  }

  /** Runs a script that only reads, or whose changes nobody waits for. All keys are in the slot of the first. */
  async read(script: RedisScript, keys: readonly string[], args: readonly RedisArg[], call?: BackendCall): Promise<RedisReply> {
    const talk = (server: RedisSender): Promise<RedisReply> => evaluate(server, script, keys, args)
    return this.#talk(keys[0]!, talk, call, false)
  }

  /** Runs a script that writes; where `changed` says that it did, the replicas that the options ask for have it too. */
  async write(
    script: RedisScript,
    keys: readonly string[],
    args: readonly RedisArg[],
    changed: (reply: RedisReply) => boolean,
    call?: BackendCall,
  ): Promise<RedisReply> {
    const talk = (server: RedisSender): Promise<RedisReply> =>
      this.#wait === undefined
        ? evaluate(server, script, keys, args)
        : evaluate(this.#waiting(server, this.#wait, changed), script, keys, args)
    return this.#talk(keys[0]!, talk, call, true)
  }

  async ping(key: string, call?: BackendCall): Promise<void> {
    await this.#talk(key, (server) => server.send(['EXISTS', key]), call, false)
  }

  close(): void {
    this.#route.close()
  }

  async #talk(
    key: string,
    talk: (server: RedisSender) => Promise<RedisReply>,
    call: BackendCall | undefined,
    isWrite: boolean,
  ): Promise<RedisReply> {
    const signal = call?.signal
    signal?.throwIfAborted()
    const until = performance.now() + MOVING_MS
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#route.through(key, talk, signal)
      } catch (error) {
        if (!isReply(error, 'TRYAGAIN') || performance.now() > until) throw translateRedisError(error, this.#where, isWrite)
        await pause(attempt, signal)
      }
    }
  }

  /** The same server, whose answers count only when enough replicas have what led to them. */
  #waiting(server: RedisSender, wait: readonly string[], changed: (reply: RedisReply) => boolean): RedisSender {
    return {
      send: async (command) => {
        // At once, so that both go over the same connection: WAIT is about what was written over its own.
        const [reply, replicas] = await Promise.all([server.send(command), server.send(wait)])
        if (!changed(reply) || Number(replicas) >= this.#waitReplicas) return reply
        const message = `only ${String(replicas)} of ${this.#waitReplicas} replicas had the write in time: it may be lost when the primary is`
        throw new HoldfastError('UNAVAILABLE', `${this.#where}: ${message}`, { outcome: 'unknown' })
      },
    }
  }
}

async function evaluate(
  server: RedisSender,
  script: RedisScript,
  keys: readonly string[],
  args: readonly RedisArg[],
): Promise<RedisReply> {
  const rest = [String(keys.length), ...keys, ...args]
  try {
    return await knownOrNew(server, script, rest)
  } catch (error) {
    if (script.readOnly === undefined || !isReply(error, 'MISCONF', 'NOREPLICAS')) throw error
    // With its text, by which the server sees that it may run: a mere digest, unknown as yet, counts as a write.
    return server.send(['EVAL', script.readOnly, ...rest])
  }
}

/** Servers forget scripts when they start anew; then the text goes along once. */
async function knownOrNew(server: RedisSender, { text, sha }: RedisScript, rest: readonly RedisArg[]): Promise<RedisReply> {
  try {
    return await server.send(['EVALSHA', sha, ...rest])
  } catch (error) {
    if (!isReply(error, 'NOSCRIPT')) throw error
    return server.send(['EVAL', text, ...rest])
  }
}

async function ownEngine(options: RedisOptions, library: () => Promise<RedisDial>): Promise<RedisEngine> {
  const { connectTimeoutMs = 5_000, socketTimeoutMs = 10_000, waitReplicas = 0, waitTimeoutMs = 1_000 } = options
  if (waitReplicas > 0 && waitTimeoutMs >= socketTimeoutMs) {
    throw new HoldfastError('INVALID_OPTIONS', 'waitTimeoutMs must be less than socketTimeoutMs')
  }
  const place = placeOf(options)
  const dialer = new RedisDialer(await library(), { connectTimeoutMs, socketTimeoutMs })
  const reached = addressMapOf(options.addressMap)
  const route =
    place.kind === 'cluster'
      ? new ClusterRoute(dialer, place, reached)
      : new ServerRoute(dialer, place, options.sentinelName ?? 'mymaster', reached)
  return RedisEngine.over(route, place.where, options)
}

function injectedEngine(options: RedisOptions): RedisEngine {
  const client = injectedClient(options.client)
  if ((options.waitReplicas ?? 0) > 0 && !client.isOneConnection) {
    throw new HoldfastError(
      'INVALID_OPTIONS',
      'waitReplicas needs one connection for write and wait: give url or nodes, not a cluster or pool as client',
    )
  }
  return RedisEngine.over(new InjectedRoute(client), 'the injected client', options)
}

/** Full jitter. Rejects with the signal’s reason: nothing was changed yet. */
async function pause(attempt: number, signal: AbortSignal | undefined): Promise<void> {
  const ms = Math.random() * Math.min(MAX_PAUSE_MS, 2 ** attempt)
  await sleep(ms, undefined, signal && { signal }).catch(() => undefined)
  signal?.throwIfAborted()
}
