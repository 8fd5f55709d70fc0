/** One piece of work on one connection: statements by themselves, and, once one is not, a transaction. */
import { createHash } from 'node:crypto'
import { HoldfastError, isHoldfastError } from '../errors.ts'
import type { Lease, PostgresQuery, PostgresResult } from './postgres-client.ts'
import { endsConnection, translatePostgresError, type Phase } from './postgres-errors.ts'
import type { Script, SqlRow, SqlValue, Statement } from './sql.ts'

/** How long an aborted statement may take to end before its connection is closed. */
const CANCEL_MS = 400
/** How long an undoing may take before the connection is closed, which undoes as well. */
const ROLLBACK_MS = 1_000

/** What the beginning of a transaction says: what others commit meanwhile is seen by the next statement, or by none. */
const BEGIN = {
  write: 'BEGIN ISOLATION LEVEL READ COMMITTED',
  read: 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
} as const

/** Whether a transaction may change something. */
export type Access = keyof typeof BEGIN

/** How a piece of work is done. */
export interface Manner {
  readonly access: Access
  /** Statements are kept prepared at the server, under a name each. */
  readonly prepare: boolean
  readonly signal: AbortSignal | undefined
}

export class Transaction {
  readonly #lease: Lease
  readonly #access: Access
  readonly #prepare: boolean
  readonly #signal: AbortSignal | undefined
  #state: 'none' | 'open' | 'over' = 'none'
  #broken = false

  constructor(lease: Lease, { access, prepare, signal }: Manner) {
    this.#lease = lease
    this.#access = access
    this.#prepare = prepare
    this.#signal = signal
  }

  async run({ sql, values, wants, alone }: Statement): Promise<SqlRow[] | number> {
    const single = alone === true && this.#state === 'none'
    if (!single && this.#state === 'none') await this.#open()
    const result = await this.#ask(sql, values, single ? 'committing' : 'uncommitted')
    return wants === 'rows' ? result.rows : (result.rowCount ?? 0)
  }

  async commit(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'over'
    const { command } = await this.#ask('COMMIT', [], 'committing')
    // The server's answer to the commit of a transaction in which a statement had failed.
    if (command === 'ROLLBACK') throw new HoldfastError('UNAVAILABLE', 'the transaction was undone', { outcome: 'not-applied' })
  }

  /** Undoes what is not committed, and never fails: closing the connection undoes too. */
  async undo(): Promise<void> {
    if (this.#state !== 'open' || this.#broken) return
    const late = setTimeout(() => this.#lease.discard(), ROLLBACK_MS)
    await this.#lease.connection.query(queryOf('ROLLBACK', [])).catch(() => (this.#broken = true))
    clearTimeout(late)
  }

  end(): void {
    if (this.#broken) this.#lease.discard()
    else this.#lease.release()
  }

  async #open(): Promise<void> {
    await this.#ask(BEGIN[this.#access], [], 'uncommitted')
    this.#state = 'open'
  }

  async #ask(sql: string, values: readonly SqlValue[], step: Phase): Promise<PostgresResult> {
    this.#stopIfAborted()
    const phase = this.#access === 'read' ? 'uncommitted' : step
    const abandon = this.#onAbort(phase)
    try {
      return await this.#lease.connection.query(queryOf(sql, values, this.#prepare))
    } catch (error) {
      this.#broken ||= endsConnection(error)
      const translated = translatePostgresError(error, phase)
      throw this.#signal?.aborted === true ? stopped(this.#signal.reason, translated) : translated
    } finally {
      abandon()
    }
  }

  /** Before anything is sent; an open transaction ends with its connection. */
  #stopIfAborted(): void {
    if (this.#signal?.aborted !== true) return
    this.#broken ||= this.#state === 'open'
    throw this.#signal.reason
  }

  /** Has an aborted statement stopped; gives what ends the watch. A cancellation may come late, so the connection is not used again. */
  #onAbort(phase: Phase): () => void {
    const signal = this.#signal
    if (signal === undefined) return () => undefined
    let late: NodeJS.Timeout | undefined
    const abort = (): void => {
      this.#broken = true
      if (phase === 'uncommitted' || this.#state === 'none') this.#lease.cancel()
      late = setTimeout(() => this.#lease.discard(), CANCEL_MS)
    }
    signal.addEventListener('abort', abort, { once: true })
    return () => {
      clearTimeout(late)
      signal.removeEventListener('abort', abort)
    }
  }
}

/** Why an aborted statement ended: the reason, with what is known of its outcome. */
function stopped(reason: unknown, { outcome }: HoldfastError): unknown {
  if (!isHoldfastError(reason) || outcome === 'not-applied') return reason
  const { code, message, kind, backend } = reason
  return new HoldfastError(code, message, { kind, backend, outcome })
}

/** Runs a script's statements one after another; a failure is thrown into the script at its `yield`. */
export async function drive<T>(script: () => Script<T>, transaction: Transaction): Promise<T> {
  const running = script()
  let step = running.next()
  while (step.done !== true) {
    let result
    try {
      result = await transaction.run(step.value)
    } catch (error) {
      step = running.throw(error)
      continue
    }
    step = running.next(result)
  }
  return step.value
}

const MAX_TEXTS = 1_000
const texts = new Map<string, { readonly text: string; readonly name: string }>()

/**
 * `?` as `$1`, `$2` …, and the name that the statement is prepared under, a digest of it: poolers may give a connection to one client after
 * another, and none must find another's statement under the name of its own. Texts are constant, so each is worked out once.
 */
function preparedText(sql: string): { readonly text: string; readonly name: string } {
  let known = texts.get(sql)
  if (known === undefined) {
    if (texts.size >= MAX_TEXTS) texts.clear()
    let count = 0
    const text = sql.replaceAll('?', () => `$${++count}`)
    const name = `holdfast_${createHash('sha256').update(text).digest('base64url')}`
    texts.set(sql, (known = { text, name }))
  }
  return known
}

function queryOf(sql: string, values: readonly SqlValue[], prepare = false): PostgresQuery {
  const { text, name } = preparedText(sql)
  // Without values a statement is one message to the server and no plan to keep.
  return prepare && values.length > 0 ? { text, values, types: COLUMN_TYPES, name } : { text, values, types: COLUMN_TYPES }
}

function asText(text: string): string {
  return text
}

function asBytes(text: string): Uint8Array {
  const { buffer, byteOffset, byteLength } = Buffer.from(text.slice(2), 'hex')
  return new Uint8Array(buffer, byteOffset, byteLength)
}

/** By type: bool; bytea; int8, int2, int4, float4, float8, numeric. Everything else is text. Our integers are safe ones. */
const READERS = new Map<number, (text: string) => SqlValue>([
  [16, (text) => (text === 't' ? 1 : 0)],
  [17, asBytes],
  ...[20, 21, 23, 700, 701, 1700].map((oid) => [oid, Number] as const),
])

const COLUMN_TYPES: PostgresQuery['types'] = { getTypeParser: (oid) => READERS.get(oid) ?? asText }
