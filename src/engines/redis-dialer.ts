/** Connections that are logged in. */
import { failureOf, isReply, LostError } from './redis-errors.ts'
import { RedisLink, type RedisReply } from './redis-link.ts'
import { addressText, type RedisLogin } from './redis-options.ts'
import type { RedisAddress, RedisDial } from './redis-wires.ts'

export interface DialerOptions {
  readonly connectTimeoutMs: number
  readonly socketTimeoutMs: number
}

export class RedisDialer {
  readonly #dial: RedisDial
  readonly #options: DialerOptions

  constructor(dial: RedisDial, options: DialerOptions) {
    this.#dial = dial
    this.#options = options
  }

  /** Rejects with a `LostError` that was not sent, or with the reply that refused us. */
  async open(address: RedisAddress, login: RedisLogin): Promise<RedisLink> {
    const deadline = AbortSignal.timeout(this.#options.connectTimeoutMs)
    const wire = await this.#dial(address, login.tls, deadline).catch((error: unknown) => {
      throw new LostError(`no connection to ${addressText(address)}: ${failureOf(error).message}`, false)
    })
    const link = new RedisLink(wire, this.#options.socketTimeoutMs)
    const giveUp = (): void => link.destroy('no connection in time')
    deadline.addEventListener('abort', giveUp, { once: true })
    try {
      await logIn(link, login)
      return link
    } catch (error) {
      link.destroy()
      throw isReply(error) ? error : new LostError(`${addressText(address)}: ${(error as Error).message}`, false)
    } finally {
      deadline.removeEventListener('abort', giveUp)
    }
  }
}

/** In one round trip; with nothing to say, the first command shows whether we are welcome. */
async function logIn(link: RedisLink, { username, password, database }: RedisLogin): Promise<void> {
  const commands: string[][] = []
  if (password !== undefined || username !== undefined) commands.push(['AUTH', ...(username ? [username] : []), password ?? ''])
  if (database !== 0) commands.push(['SELECT', String(database)])
  await Promise.all(commands.map((command) => link.send(command)))
}

/** False for a replica. A user who may not ask learns it from the first script. */
export async function isPrimary(link: RedisLink): Promise<boolean> {
  try {
    const [role] = (await link.send(['ROLE'])) as readonly RedisReply[]
    return String(role) === 'master'
  } catch (error) {
    if (isReply(error, 'NOPERM')) return true
    throw error
  }
}

/** Gives up waiting, not the work, which others may wait for. Rejects with the signal’s reason. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
