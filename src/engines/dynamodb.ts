/** DynamoDB by way of its SDK: one table, and requests that are sent once, or again where that is safe. */
import { randomUUID } from 'node:crypto'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { isHoldfastError, type HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import { withOutcome } from '../store/core.ts'
import type { FactoryContext } from '../store/factory.ts'
import { failureOf, faultOf, faultOfReasons, isDisconnection } from './dynamodb-errors.ts'
import { placeOf, type DynamoOptions, type DynamoPlace } from './dynamodb-options.ts'
import { prepareTable } from './dynamodb-table.ts'

/** A value as the SDK gives and takes it. */
export type DynamoValue = { readonly S: string } | { readonly N: string } | { readonly B: Uint8Array }
export type DynamoItem = Readonly<Record<string, DynamoValue>>

/** The part of a `DynamoDBClient` that Holdfast uses. */
export interface DynamoClient {
  send(command: object, options?: { readonly abortSignal?: AbortSignal }): Promise<unknown>
}

const PACKAGE = '@aws-sdk/client-dynamodb'

/** The operations that Holdfast uses, each a class of the SDK with `Command` behind its name. */
export type Operation =
  | 'BatchGetItem'
  | 'CreateTable'
  | 'DeleteItem'
  | 'DescribeTable'
  | 'DescribeTimeToLive'
  | 'GetItem'
  | 'PutItem'
  | 'Query'
  | 'TransactWriteItems'
  | 'UpdateItem'
  | 'UpdateTimeToLive'

type Next = (args: object) => Promise<unknown>
interface Command {
  readonly middlewareStack?: { add(middleware: (next: Next) => Next, options: object): void }
}
type Sdk = Readonly<Record<`${Operation}Command`, new (input: object) => Command>> & {
  readonly DynamoDBClient: new (config: object) => DynamoClient & { destroy(): void }
}

/** The items that a conditional write met where its conditions did not hold, by its place among the actions; only those asked for. */
export type Unmet = ReadonlyMap<number, DynamoItem | undefined>

export type WriteResult = { readonly output: Readonly<Record<string, unknown>> } | { readonly unmet: Unmet }

/** About as long as a caller may be expected to wait: 50 collisions of up to 200 ms. */
const MAX_CONFLICTS = 50
const MAX_BACKOFF_MS = 2_000
const FIRST_BACKOFF_MS = 50
const CONFLICT_BACKOFF_MS = 200
const CONNECT_TIMEOUT_MS = 5_000
const AGENT = { keepAlive: true, maxSockets: 50 }

/** Connects, and sees to it that the table is there. */
export async function openDynamo(options: DynamoOptions, context: FactoryContext, table: string): Promise<DynamoEngine> {
  const place = placeOf(options, table)
  const sdk = await context.loadClient<Sdk>(PACKAGE)
  const link = options.client === undefined ? connect(sdk, place, options) : lent(options.client)
  const engine = new DynamoEngine(sdk, link, place.table, options.maxAttempts ?? 5)
  try {
    await prepareTable(engine, options.autoCreate ?? true)
    return engine
  } catch (error) {
    engine.close()
    throw error
  }
}

/** A client, and what may be done to it. */
interface Link {
  readonly client: DynamoClient
  /** A connection was lost: those that lie idle are as likely to be. */
  readonly lost: () => void
  readonly close: () => void
}

function lent(client: DynamoClient): Link {
  return { client, lost: nothing, close: nothing }
}

function connect(sdk: Sdk, { endpoint, region }: DynamoPlace, options: DynamoOptions): Link {
  const { credentials, requestTimeoutMs = 30_000 } = options
  const agents = { httpAgent: new HttpAgent(AGENT), httpsAgent: new HttpsAgent(AGENT) }
  const requestHandler = {
    ...agents,
    connectionTimeout: Math.min(CONNECT_TIMEOUT_MS, requestTimeoutMs),
    requestTimeout: requestTimeoutMs,
    socketTimeout: requestTimeoutMs,
    throwOnRequestTimeout: true,
  }
  const given = Object.entries({ endpoint, region, credentials }).filter(([, value]) => value !== undefined)
  const client = new sdk.DynamoDBClient({ ...Object.fromEntries(given), requestHandler, maxAttempts: 1 })
  const idle = (): Socket[] => Object.values(agents).flatMap((agent) => Object.values(agent.freeSockets).flat() as Socket[])
  return { client, lost: () => idle().forEach((socket) => socket.destroy()), close: () => client.destroy() }
}

export class DynamoEngine {
  readonly table: string
  readonly #sdk: Sdk
  readonly #link: Link
  readonly #maxAttempts: number

  constructor(sdk: Sdk, link: Link, table: string, maxAttempts: number) {
    this.table = table
    this.#sdk = sdk
    this.#link = link
    this.#maxAttempts = maxAttempts
  }

  /** Sends a read, and again while DynamoDB throttles it. */
  read<T>(operation: Operation, input: object, call?: BackendCall): Promise<T> {
    return this.#repeated(false, call, async () => (await this.#once(operation, input, call)) as T)
  }

  /** Sends a change to one item. What becomes of it may be unknown; it is only sent again where nothing was done. */
  write(operation: Operation, input: object, call?: BackendCall): Promise<WriteResult> {
    return this.#repeated(false, call, async () => {
      try {
        return { output: (await this.#once(operation, input, call)) as Readonly<Record<string, unknown>> }
      } catch (error) {
        const { name, Item } = faultOf(error)
        if (name === 'ConditionalCheckFailedException') return { unmet: new Map([[0, Item as DynamoItem | undefined]]) }
        throw failureOf(error, true, call?.signal)
      }
    })
  }

  /**
   * Sends a transaction; `undefined` says that it was applied. DynamoDB knows it by its token for 10 minutes, so it may be sent again whatever
   * became of it.
   */
  transact(actions: readonly object[], call?: BackendCall): Promise<Unmet | undefined> {
    const input = { TransactItems: actions, ClientRequestToken: randomUUID() }
    return this.#repeated(true, call, async () => {
      try {
        await this.#once('TransactWriteItems', input, call)
        return undefined
      } catch (error) {
        const { name, CancellationReasons: reasons = [] } = faultOf(error)
        if (name !== 'TransactionCanceledException') throw failureOf(error, true, call?.signal)
        const other = faultOfReasons(reasons)
        if (other !== undefined) throw failureOf(other, true, call?.signal)
        const unmet = [...reasons.entries()].filter(([, { Code }]) => Code === 'ConditionalCheckFailed')
        if (unmet.length === 0) throw failureOf(error, true, call?.signal)
        return new Map(unmet.map(([i, { Item }]) => [i, Item as DynamoItem | undefined]))
      }
    })
  }

  /** Sends once, whatever the client is set to do about failures: the SDK would repeat writes that may have been applied. */
  async #once(operation: Operation, input: object, call: BackendCall | undefined): Promise<unknown> {
    call?.signal?.throwIfAborted()
    const command = new this.#sdk[`${operation}Command`](input)
    command.middlewareStack?.add((next) => (args) => next(args).catch(unrepeatable), ONCE)
    const options = call?.signal === undefined ? {} : { abortSignal: call.signal }
    try {
      return await this.#link.client.send(command, options)
    } catch (wrapped) {
      const error = wrapped instanceof Unrepeatable ? wrapped.original : wrapped
      if (isDisconnection(error)) this.#link.lost()
      throw error
    }
  }

  close(): void {
    this.#link.close()
  }

  /** Tries again what was throttled or collided; `always`: also what may have been applied. */
  async #repeated<T>(always: boolean, call: BackendCall | undefined, send: () => Promise<T>): Promise<T> {
    let open = false
    for (let attempt = 0; ; attempt++) {
      try {
        return await send()
      } catch (error) {
        const failure = failureOf(error, false, call?.signal)
        if (!this.#mayRepeat(failure, attempt, always, open)) throw open ? withOutcome(failure, 'unknown') : failure
        open ||= failure.outcome === 'unknown'
        await pause(attempt, failure.code, call).catch((reason: unknown) => {
          throw open ? withOutcome(reason, 'unknown') : reason
        })
      }
    }
  }

  #mayRepeat(failure: unknown, attempt: number, always: boolean, open: boolean): failure is HoldfastError {
    if (isHoldfastError(failure, 'CONFLICT')) return attempt + 1 < MAX_CONFLICTS
    if (attempt + 1 >= this.#maxAttempts) return false
    if (isHoldfastError(failure, 'RATE_LIMITED')) return true
    // What was never sent is for the store to try again.
    return always && isHoldfastError(failure, 'UNAVAILABLE') && (open || failure.outcome === 'unknown')
  }
}

/** Inside of the SDK's own repeating, which ends at once at what it does not know. */
const ONCE = { step: 'finalizeRequest', name: 'holdfastOnce', priority: 'low' }

class Unrepeatable extends Error {
  /** Not `cause`, in which the SDK would look for a reason to repeat. */
  readonly original: unknown

  constructor(original: unknown) {
    super('sent once')
    this.original = original
  }
}

function unrepeatable(error: unknown): never {
  throw new Unrepeatable(error)
}

/** Full jitter: clients that failed together must not come back together. */
async function pause(attempt: number, code: string, call: BackendCall | undefined): Promise<void> {
  const [first, max] = code === 'CONFLICT' ? [1, CONFLICT_BACKOFF_MS] : [FIRST_BACKOFF_MS, MAX_BACKOFF_MS]
  const delayMs = Math.random() * Math.min(max, first * 2 ** attempt)
  await sleep(delayMs, undefined, call?.signal === undefined ? {} : { signal: call.signal }).catch(nothing)
  call?.signal?.throwIfAborted()
}

function nothing(): void {}
