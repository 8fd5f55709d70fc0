/** Which connection a command goes over, where the keys are spread over a cluster: always one to the slot’s master. */
import { unlessAborted, type RedisDialer } from './redis-dialer.ts'
import { isReply, LostError } from './redis-errors.ts'
import type { RedisLink, RedisReply, RedisSender } from './redis-link.ts'
import { addressFrom, addressText, type RedisPlace } from './redis-options.ts'
import type { AddressMap, RedisRoute } from './redis-routes.ts'
import { slotOf } from './redis-slot.ts'
import type { RedisAddress } from './redis-wires.ts'

/** A key that moves on so often while we run after it is not being moved, but lost between nodes that disagree. */
const MAX_HOPS = 16
/** A node that is down makes every call to it doubt the map; asking anew more often would not make it right sooner. */
const MIN_REFRESH_MS = 100

interface Target {
  readonly address: RedisAddress
  /** The slot is being moved there; only who asks gets in. */
  readonly asking: boolean
}

export class ClusterRoute implements RedisRoute {
  readonly #dialer: RedisDialer
  readonly #place: RedisPlace
  readonly #reached: AddressMap
  readonly #links = new Map<string, Promise<RedisLink>>()
  #masters: (RedisAddress | undefined)[] = []
  #refreshing: Promise<void> | undefined
  #refreshedAt = -Infinity
  #isStale = true
  #isClosed = false

  constructor(dialer: RedisDialer, place: RedisPlace, reached: AddressMap) {
    this.#dialer = dialer
    this.#place = place
    this.#reached = reached
  }

  async through<T>(key: string, talk: (server: RedisSender) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const slot = slotOf(key)
    let target: Target | undefined = { address: await this.#masterOf(slot, signal), asking: false }
    for (let hops = 1; ; hops++) {
      try {
        const link = await unlessAborted(this.#linkTo(target.address), signal)
        return await talk(target.asking ? asking(link) : link)
      } catch (error) {
        target = await this.#next(slot, target, error, signal)
        if (target === undefined || hops === MAX_HOPS) throw error
      }
    }
  }

  close(): void {
    this.#isClosed = true
    for (const link of this.#links.values()) link.then((open) => open.destroy(), ignore)
  }

  /** Where to try again what certainly changed nothing; undefined where it cannot be tried again. */
  async #next(slot: number, tried: Target, error: unknown, signal: AbortSignal | undefined): Promise<Target | undefined> {
    if (isReply(error, 'MOVED', 'ASK')) {
      const address = this.#announced(error.message.split(' ')[2]!, tried.address)
      if (error.word === 'ASK') return { address, asking: true }
      this.#masters[slot] = address
      // One slot that moved is seldom alone.
      this.#refresh().catch(ignore)
      return { address, asking: false }
    }
    if (!(error instanceof LostError) && !isReply(error, 'CLUSTERDOWN', 'READONLY')) return undefined
    this.#isStale = true
    if (error instanceof LostError && error.sent) return undefined
    const address = await this.#masterOf(slot, signal).catch(() => undefined)
    return address === undefined || addressText(address) === addressText(tried.address) ? undefined : { address, asking: false }
  }

  async #masterOf(slot: number, signal: AbortSignal | undefined): Promise<RedisAddress> {
    if (this.#isStale && performance.now() - this.#refreshedAt > MIN_REFRESH_MS) {
      await unlessAborted(this.#refresh(), signal).catch((error: unknown) => {
        // An old map is better than none.
        if (this.#masters.length === 0 || signal?.aborted) throw error
      })
    }
    const address = this.#masters[slot]
    if (address === undefined) throw new LostError(`no node of the cluster serves slot ${slot}`, false)
    return address
  }

  #refresh(): Promise<void> {
    this.#refreshing ??= this.#readMap().finally(() => (this.#refreshing = undefined))
    return this.#refreshing
  }

  /** From the first node that answers: those that we talk to, then those that we were told of. */
  async #readMap(): Promise<void> {
    this.#refreshedAt = performance.now()
    const errors: unknown[] = []
    const known = [...new Set(this.#masters)].filter((address) => address !== undefined)
    for (const address of [...known, ...this.#place.addresses]) {
      try {
        const link = await this.#linkTo(address)
        this.#take((await link.send(['CLUSTER', 'SLOTS'])) as readonly RedisReply[], address)
        return
      } catch (error) {
        errors.push(error)
      }
    }
    throw errors.find((error) => isReply(error)) ?? new LostError((errors.at(-1) as Error).message, false)
  }

  #take(ranges: readonly RedisReply[], from: RedisAddress): void {
    const masters: RedisAddress[] = []
    for (const [first, last, master] of ranges as readonly [number, number, readonly [RedisReply, number]][]) {
      const address = this.#announced(`${master[0] === null ? '' : String(master[0])}:${master[1]}`, from)
      for (let slot = first; slot <= last; slot++) masters[slot] = address
    }
    this.#masters = masters
    this.#isStale = false
    this.#forgetOthers()
  }

  /** Nodes that do not know their own name leave it out: it is the one that they were reached by. */
  #announced(text: string, from: RedisAddress): RedisAddress {
    const { host, port } = addressFrom(text)
    return this.#reached({ host: host === '' || host === '?' ? from.host : host, port })
  }

  #forgetOthers(): void {
    const kept = new Set(this.#masters.filter((address) => address !== undefined).map(addressText))
    for (const [text, link] of this.#links) {
      if (kept.has(text)) continue
      this.#links.delete(text)
      link.then((open) => open.retire(), ignore)
    }
  }

  async #linkTo(address: RedisAddress): Promise<RedisLink> {
    const text = addressText(address)
    const present = this.#links.get(text)
    // One that failed is not kept, so this waits only for one that is there or is coming.
    const link = await present
    if (link?.isOpen) return link
    if (this.#links.get(text) === present) this.#links.set(text, this.#connect(text, address))
    return this.#links.get(text)!
  }

  async #connect(text: string, address: RedisAddress): Promise<RedisLink> {
    try {
      const link = await this.#dialer.open(address, this.#place.login)
      if (this.#isClosed) link.destroy()
      return link
    } catch (error) {
      this.#links.delete(text)
      throw error
    }
  }
}

/** What a node takes only of those who know that the slot is just coming. */
function asking(server: RedisSender): RedisSender {
  return {
    send: (command) => {
      server.send(['ASKING']).catch(ignore)
      return server.send(command)
    },
  }
}

/** Whoever waits for it is told. */
function ignore(): void {}
