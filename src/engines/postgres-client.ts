/**
 * Connections to Postgres by the library `pg`, ours or the caller's: one at a time for each piece of work, thrown away when anything about it is in
 * doubt. Only the few members of `pg` that are used are described, so that any client of its shape fits.
 */
import { connect as connectSocket } from 'node:net'
import type { SqlRow } from './sql.ts'

export interface PostgresQuery {
  readonly text: string
  readonly values: readonly unknown[]
  /** The statement is prepared under this name on its connection, where it is not yet. */
  readonly name?: string
  /** How columns are read, so that what an application sets for all its clients does not matter here. */
  readonly types: { getTypeParser(oid: number): (text: string) => unknown }
}

export interface PostgresResult {
  readonly rows: SqlRow[]
  readonly rowCount: number | null
  /** The command that ran, e.g. `COMMIT`. */
  readonly command: string
}

/** A `Client` of `pg`, connected. */
export interface PostgresConnection {
  query(query: PostgresQuery): Promise<PostgresResult>
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
}

/** What `pg` gives from its pool. */
export interface PooledConnection extends PostgresConnection {
  /** Gives it back; with true it is closed instead. */
  release(broken?: boolean): void
}

/** A `Pool` of `pg`. */
export interface PostgresPool {
  readonly totalCount: number
  connect(): Promise<PooledConnection>
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
  end(): Promise<void>
}

/** The module `pg`, as far as it is used. */
export interface PostgresModule {
  readonly Pool: new (options: object) => PostgresPool
  readonly Client: new (options: object) => object
}

/** A connection that is one piece of work's own until it gives it back. */
export interface Lease {
  readonly connection: PostgresConnection
  /** It has been idle before this, and so may have died without anybody noticing. */
  readonly reused: boolean
  /** Asks the server to stop what runs on it; the connection must not be used for anything else after that. */
  cancel(): void
  release(): void
  /** Closes it, and so undoes what is not committed. A caller's own single client is given back as it is. */
  discard(): void
}

/** Where connections come from. */
export interface Connections {
  /** Waits for a free one. A signal that aborts meanwhile rejects with its reason. */
  lease(signal: AbortSignal | undefined): Promise<Lease>
  /** Closes what was opened here. */
  end(): Promise<void>
}

/** How long closing waits for servers to say goodbye. */
const GOODBYE_MS = 1_000

/** Members of `pg`'s clients that are not in its documentation: without them, less can be cancelled and closed at once. */
interface Internals {
  readonly processID?: unknown
  readonly secretKey?: unknown
  readonly connection?: { readonly stream?: { destroy?: () => void } }
}

export class PoolConnections implements Connections {
  readonly #pool: PostgresPool
  readonly #own: boolean
  readonly #place: { readonly host: string; readonly port: number } | undefined
  readonly #opened = new Set<PostgresConnection>()
  readonly #used = new WeakSet<PostgresConnection>()

  /** `place` is where cancellations go; a pool that is the caller's own is not closed. */
  constructor(pool: PostgresPool, own: boolean, place?: { readonly host: string; readonly port: number }) {
    this.#pool = pool
    this.#own = own
    this.#place = place
    // An idle connection that the server closes is an event, which ends the process where nobody listens.
    pool.on('error', ignore)
  }

  async lease(signal: AbortSignal | undefined): Promise<Lease> {
    signal?.throwIfAborted()
    const connecting = this.#pool.connect()
    if (signal === undefined) return this.#leaseOf(await connecting)
    const aborted = Promise.withResolvers<never>()
    const onAbort = (): void => aborted.reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return this.#leaseOf(await Promise.race([connecting, aborted.promise]))
    } catch (error) {
      if (signal.aborted)
        connecting.then(
          (late) => late.release(),
          () => undefined,
        )
      throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  async end(): Promise<void> {
    if (!this.#own) return void this.#pool.removeListener('error', ignore)
    const late = setTimeout(() => this.#opened.forEach(destroy), GOODBYE_MS)
    await this.#pool.end()
    clearTimeout(late)
  }

  #leaseOf(connection: PooledConnection): Lease {
    const reused = this.#used.has(connection)
    this.#used.add(connection)
    this.#opened.add(connection)
    connection.on('error', ignore)
    let held = true
    const give = (broken: boolean): void => {
      if (!held) return
      held = false
      connection.removeListener('error', ignore)
      if (broken) this.#opened.delete(connection)
      connection.release(broken)
    }
    return {
      connection,
      reused,
      cancel: () => cancel(connection, this.#place),
      release: () => give(false),
      discard: () => {
        give(true)
        // A peer that does not answer would keep a polite goodbye waiting, and with it the process.
        destroy(connection)
      },
    }
  }
}

/** A single client of the caller's: its users take turns. */
export class OneConnection implements Connections {
  readonly #client: PostgresConnection
  #last: Promise<void> = Promise.resolve()

  constructor(client: PostgresConnection) {
    this.#client = client
    client.on('error', ignore)
  }

  async lease(signal: AbortSignal | undefined): Promise<Lease> {
    const before = this.#last
    const mine = Promise.withResolvers<void>()
    this.#last = before.then(() => mine.promise)
    const aborted = Promise.withResolvers<never>()
    const onAbort = (): void => aborted.reject(signal?.reason)
    if (signal?.aborted === true) onAbort()
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      await Promise.race([before, aborted.promise])
    } catch (error) {
      mine.resolve()
      throw error
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
    return { connection: this.#client, reused: false, cancel: () => undefined, release: mine.resolve, discard: mine.resolve }
  }

  async end(): Promise<void> {
    this.#client.removeListener('error', ignore)
  }
}

function ignore(): void {
  // What was under way on the connection is told by its own error.
}

function destroy(connection: PostgresConnection): void {
  const { stream } = (connection as Internals).connection ?? {}
  stream?.destroy?.()
}

const CANCEL_CODE = 80_877_102

/** The request is a connection of its own, which servers take unencrypted. https://www.postgresql.org/docs/current/protocol-flow.html */
function cancel(connection: PostgresConnection, place: { readonly host: string; readonly port: number } | undefined): void {
  const { processID, secretKey } = connection as Internals
  if (place === undefined || typeof processID !== 'number' || typeof secretKey !== 'number') return
  const request = Buffer.alloc(16)
  for (const [i, value] of [request.length, CANCEL_CODE, processID, secretKey].entries()) request.writeInt32BE(value | 0, i * 4)
  const { host, port } = place
  const socket = host.startsWith('/') ? connectSocket(`${host}/.s.PGSQL.${port}`) : connectSocket(port, host)
  socket.on('error', ignore)
  socket.setTimeout(GOODBYE_MS, () => socket.destroy())
  socket.end(request)
  socket.resume()
}
