/** Which connection a command goes over, where all keys are on one server. */
import { failureOf, isReply, LostError } from './redis-errors.ts'
import { isPrimary, unlessAborted, type RedisDialer } from './redis-dialer.ts'
import type { RedisLink, RedisReply, RedisSender } from './redis-link.ts'
import { addressFrom, addressText, type RedisLogin, type RedisPlace } from './redis-options.ts'
import type { InjectedClient, RedisAddress } from './redis-wires.ts'

export interface RedisRoute {
  /** Talks to the server that has the key; again where that server says that it is another. A `talk` that was refused changed nothing. */
  through<T>(key: string, talk: (server: RedisSender) => Promise<T>, signal: AbortSignal | undefined): Promise<T>
  close(): void
}

/** What addresses others announce become here. */
export type AddressMap = (announced: RedisAddress) => RedisAddress

export function addressMapOf(map: Readonly<Record<string, string>> = {}): AddressMap {
  return (announced) => {
    const mapped = map[addressText(announced)]
    return mapped === undefined ? announced : addressFrom(mapped)
  }
}

/** An injected client finds its own way. */
export class InjectedRoute implements RedisRoute {
  readonly #client: InjectedClient

  constructor(client: InjectedClient) {
    this.#client = client
  }

  through<T>(key: string, talk: (server: RedisSender) => Promise<T>): Promise<T> {
    return talk({
      send: (command) =>
        this.#client.send(key, command).catch((error: unknown) => {
          throw failureOf(error)
        }),
    })
  }

  close(): void {
    // It is its owner’s.
  }
}

/** One server at a time: the only one, or the primary among several, or the one that the sentinels name. */
export class ServerRoute implements RedisRoute {
  readonly #dialer: RedisDialer
  readonly #place: RedisPlace
  readonly #sentinelName: string
  readonly #reached: AddressMap
  #link: RedisLink | undefined
  #opening: Promise<RedisLink> | undefined
  /** Those that answered last come first. */
  #addresses: readonly RedisAddress[]
  #isClosed = false

  constructor(dialer: RedisDialer, place: RedisPlace, sentinelName: string, reached: AddressMap) {
    this.#dialer = dialer
    this.#place = place
    this.#sentinelName = sentinelName
    this.#reached = reached
    this.#addresses = place.addresses
  }

  async through<T>(_: string, talk: (server: RedisSender) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const link = this.#link?.isOpen ? this.#link : await unlessAborted(this.#open(), signal)
    try {
      return await talk(link)
    } catch (error) {
      if (!isReply(error, 'READONLY')) throw error
      // It was the primary once. Whoever is it now, a new connection may find.
      link.retire()
      return talk(await unlessAborted(this.#open(), signal))
    }
  }

  close(): void {
    this.#isClosed = true
    this.#link?.destroy()
  }

  /** Calls that come meanwhile wait for the same connection. */
  #open(): Promise<RedisLink> {
    if (this.#link?.isOpen) return Promise.resolve(this.#link)
    this.#opening ??= this.#connect().finally(() => (this.#opening = undefined))
    return this.#opening
  }

  async #connect(): Promise<RedisLink> {
    const { kind, login } = this.#place
    const link = await this.#first((address) =>
      kind === 'sentinels' ? this.#named(address) : this.#dial(address, login, kind === 'servers'),
    )
    if (this.#isClosed) link.destroy()
    return (this.#link = link)
  }

  /** What the first address that works gives; otherwise the error that says most. */
  async #first(work: (address: RedisAddress) => Promise<RedisLink>): Promise<RedisLink> {
    const errors: unknown[] = []
    for (const address of this.#addresses) {
      try {
        const link = await work(address)
        this.#addresses = [address, ...this.#addresses.filter((other) => other !== address)]
        return link
      } catch (error) {
        errors.push(error)
      }
    }
    throw errors.find((error) => isReply(error)) ?? errors.at(-1)
  }

  async #named(sentinel: RedisAddress): Promise<RedisLink> {
    const link = await this.#dial(sentinel, this.#place.sentinelLogin, false)
    const answer = await link
      .send(['SENTINEL', 'get-master-addr-by-name', this.#sentinelName])
      .catch((error: unknown) => {
        throw isReply(error) ? error : new LostError((error as Error).message, false)
      })
      .finally(() => link.destroy())
    if (answer === null) throw new LostError(`sentinel ${addressText(sentinel)} knows no ${this.#sentinelName}`, false)
    const [host, port] = (answer as readonly RedisReply[]).map(String)
    return this.#dial(this.#reached({ host: host!, port: Number(port) }), this.#place.login, true)
  }

  async #dial(address: RedisAddress, login: RedisLogin, mustBePrimary: boolean): Promise<RedisLink> {
    const link = await this.#dialer.open(address, login)
    if (!mustBePrimary) return link
    const isRight = await isPrimary(link).catch((error: unknown) => {
      link.destroy()
      throw isReply(error) ? error : new LostError((error as Error).message, false)
    })
    if (isRight) return link
    link.destroy()
    throw new LostError(`${addressText(address)} is a replica`, false)
  }
}
