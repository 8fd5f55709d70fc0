/**
 * Full-text search of messages on SQLite: an FTS5 index of trigrams, built behind the appends.
 *
 * To index a message costs ten times as much as to store it, so no append does it. A mark says how far the index reaches; what lies behind
 * is looked through row by row, and when that is much, a search starts indexing it in the background, a few rows at a time. The
 * index names candidates; whether a message matches is decided by its text, here as on every backend.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { changes, marks, padded, row, rows, type Script, type SqlEngine, type SqlValue } from '../engines/sql.ts'
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import type { MessageRecord, MessageRecordSearch } from './contract.ts'
import type { ConversationTables } from './schema.ts'
import { matchesTerms, newestFirst, searchText } from './search.ts'
import { MESSAGE_COLUMNS, toRecord, type MessageRow } from './sql-statements.ts'
import type { MessageIndex } from './sql.ts'

export interface FtsTuning {
  /** Rows behind the index that a search still looks through one by one; more are indexed in the background. Default 500. */
  readonly tailRows?: number
  /** Candidates up to which the index answers; terms with more are so common that looking from the newest on is quicker. Default 2,000. */
  readonly candidates?: number
  /** Rows indexed in one transaction, during which the event loop waits: about 0.2 ms a row of 1 KB. Default 32. */
  readonly batchRows?: number
}

interface Hit {
  readonly sessionId: string
  readonly message: MessageRecord
}

interface SearchRow extends MessageRow {
  readonly n: number
  readonly session_id: string
}

/** Rows read between two turns of the event loop. */
const SCAN_ROWS = 256
/** Trigrams of one query. Fewer than the terms have only means more candidates. */
const MAX_TRIGRAMS = 24
const ROW_COLUMNS = `n, session_id, ${MESSAGE_COLUMNS}`

export class FtsIndex implements MessageIndex {
  readonly #engine: SqlEngine
  readonly #sql: ReturnType<typeof texts>
  readonly #tuning: Required<FtsTuning>
  readonly #stop = new AbortController()
  #indexing: Promise<void> | undefined

  constructor(engine: SqlEngine, tables: ConversationTables, tuning: FtsTuning = {}) {
    this.#engine = engine
    this.#sql = texts(tables)
    this.#tuning = { tailRows: 500, candidates: 2000, batchRows: 32, ...tuning }
  }

  *removing(where: string, values: readonly SqlValue[]): Script<void> {
    const upto = yield* this.#upto()
    if (upto > 0) yield* changes(this.#sql.remove(where), ...values, upto)
  }

  *changed(workspace: string, sessionId: string, message: MessageRecord): Script<void> {
    const found = yield* row<{ n: number }>(this.#sql.number, workspace, sessionId, message.id)
    if (found === undefined || found.n > (yield* this.#upto())) return
    yield* changes(this.#sql.removeOne, found.n)
    yield* changes(this.#sql.add, found.n, searchText(message))
  }

  async search(workspace: string, search: MessageRecordSearch, call?: BackendCall): Promise<Hit[]> {
    const found = await this.#engine.read(() => this.#ask(workspace, search), call)
    if (found.tail > this.#tuning.tailRows) this.#startIndexing()
    if (found.hits !== undefined) return newest(found.hits, search.limit)
    return search.sessionId === undefined && search.userId === undefined
      ? this.#scanWorkspace(workspace, search, call)
      : this.#scanSessions(workspace, search, call)
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#indexing
  }

  *#upto(): Script<number> {
    const found = yield* row<{ upto: number }>(this.#sql.upto)
    return found?.upto ?? 0
  }

  /** Asks the index, and looks through the rows behind it. No hits where looking through all rows promises to be quicker. */
  *#ask(workspace: string, search: MessageRecordSearch): Script<{ tail: number; hits?: Hit[] }> {
    const upto = yield* this.#upto()
    const last = yield* row<{ n: number | null }>(this.#sql.last)
    const tail = Math.max(0, (last?.n ?? 0) - upto)
    const match = matchOf(search.terms)
    if (match === undefined || tail > this.#tuning.tailRows) return { tail }
    const candidates = yield* rows<{ n: number }>(this.#sql.candidates, match, this.#tuning.candidates + 1)
    if (candidates.length > this.#tuning.candidates) return { tail }
    const scope = scopeOf(workspace, search)
    const hits: Hit[] = []
    for (let at = 0; at < candidates.length; at += SCAN_ROWS) {
      const numbers = padded(candidates.slice(at, at + SCAN_ROWS).map(({ n }) => n))
      const sql = `${this.#sql.rows} WHERE n IN (${marks(numbers.length)}) AND ${this.#sql.scope}`
      collect(hits, yield* rows<SearchRow>(sql, ...numbers, ...scope), search)
    }
    if (tail > 0)
      collect(hits, yield* rows<SearchRow>(`${this.#sql.rows} WHERE n > ? AND ${this.#sql.scope}`, upto, ...scope), search)
    return { tail, hits }
  }

  /** From the newest message of the workspace on, until there are enough. */
  async #scanWorkspace(workspace: string, search: MessageRecordSearch, call: BackendCall | undefined): Promise<Hit[]> {
    const hits: Hit[] = []
    let position = [Number.MAX_SAFE_INTEGER, 0, 0]
    for (;;) {
      const found = await this.#scan(this.#sql.newest, [workspace, ...position, SCAN_ROWS], call)
      collect(hits, found, search)
      const last = found.at(-1)
      if (last === undefined || found.length < SCAN_ROWS || hits.length >= search.limit) return newest(hits, search.limit)
      position = [last.created_at, last.seq, last.n]
    }
  }

  /** All messages of one session, or of a user's sessions: their `createdAt` may be in any order. */
  async #scanSessions(workspace: string, search: MessageRecordSearch, call: BackendCall | undefined): Promise<Hit[]> {
    let best: Hit[] = []
    for (const { id } of await this.#sessionsOf(workspace, search, call)) {
      let seq = 0
      for (let more = true; more;) {
        const found = await this.#scan(this.#sql.ofSession, [workspace, id, seq, SCAN_ROWS], call)
        collect(best, found, search)
        best = newest(best, search.limit)
        seq = found.at(-1)?.seq ?? seq
        more = found.length === SCAN_ROWS
      }
    }
    return best
  }

  #sessionsOf(workspace: string, { userId, sessionId }: MessageRecordSearch, call?: BackendCall): Promise<{ id: string }[]> {
    if (userId === undefined) return Promise.resolve([{ id: sessionId! }])
    if (sessionId === undefined) return this.#engine.select(this.#sql.sessionsOfUser, [workspace, userId], call)
    return this.#engine.select(this.#sql.sessionOfUser, [workspace, userId, sessionId], call)
  }

  async #scan(sql: string, values: readonly SqlValue[], call: BackendCall | undefined): Promise<SearchRow[]> {
    await nextTurn()
    call?.signal?.throwIfAborted()
    if (this.#stop.signal.aborted) throw new HoldfastError('STORE_CLOSED', 'the store was closed while it searched')
    return this.#engine.select<SearchRow>(sql, values, call)
  }

  /** Indexes what lies behind the mark, unless that goes on already. A failure harms no search: the next one starts it again. */
  #startIndexing(): void {
    if (this.#stop.signal.aborted) return
    this.#indexing ??= this.#indexAll()
      .catch(() => undefined)
      .finally(() => (this.#indexing = undefined))
  }

  async #indexAll(): Promise<void> {
    const { signal } = this.#stop
    for (;;) {
      const began = performance.now()
      const indexed = await this.#engine.write(() => this.#indexBatch(), { signal })
      if (indexed < this.#tuning.batchRows) return
      // Half of the time belongs to others; and an unfinished index keeps no process alive.
      await sleep(performance.now() - began, undefined, { signal, ref: false })
    }
  }

  *#indexBatch(): Script<number> {
    const upto = yield* this.#upto()
    const batch = yield* rows<SearchRow>(`${this.#sql.rows} WHERE n > ? ORDER BY n LIMIT ?`, upto, this.#tuning.batchRows)
    for (const message of batch) yield* changes(this.#sql.add, message.n, searchText(toRecord(message)))
    if (batch.length > 0) yield* changes(this.#sql.moveUpto, batch.at(-1)!.n)
    return batch.length
  }
}

function texts({ sessions, messages, texts, indexed }: ConversationTables) {
  const select = `SELECT ${ROW_COLUMNS} FROM ${messages}`
  return {
    rows: select,
    // A workspace, and a session and a user where they are not null. The unary + keeps the planner to the rows at hand.
    scope: `+workspace = ? AND session_id = coalesce(?, session_id)
      AND (? IS NULL OR EXISTS (SELECT 1 FROM ${sessions} AS s WHERE s.workspace = ? AND s.id = session_id AND +s.user_id = ?))`,
    newest: `${select} WHERE workspace = ? AND (created_at, seq, n) < (?, ?, ?) ORDER BY created_at DESC, seq DESC, n DESC LIMIT ?`,
    ofSession: `${select} WHERE workspace = ? AND session_id = ? AND seq > ? ORDER BY seq LIMIT ?`,
    sessionsOfUser: `SELECT id FROM ${sessions} WHERE workspace = ? AND user_id = ?`,
    sessionOfUser: `SELECT id FROM ${sessions} WHERE workspace = ? AND +user_id = ? AND id = ?`,
    last: `SELECT max(n) AS n FROM ${messages}`,
    number: `SELECT n FROM ${messages} WHERE workspace = ? AND session_id = ? AND id = ?`,
    upto: `SELECT upto FROM ${indexed} WHERE one = 1`,
    moveUpto: `UPDATE ${indexed} SET upto = ? WHERE one = 1`,
    candidates: `SELECT rowid AS n FROM ${texts} WHERE ${texts} MATCH ? LIMIT ?`,
    add: `INSERT INTO ${texts} (rowid, body) VALUES (?, ?)`,
    removeOne: `DELETE FROM ${texts} WHERE rowid = ?`,
    remove: (where: string) => `DELETE FROM ${texts} WHERE rowid IN (SELECT n FROM ${messages} WHERE ${where} AND n <= ?)`,
  }
}

function scopeOf(
  workspace: string,
  { sessionId = null, userId = null }: { sessionId?: string | null | undefined; userId?: string | null | undefined },
): SqlValue[] {
  return [workspace, sessionId, userId, workspace, userId]
}

/** An FTS5 query for the trigrams of all terms; undefined where no term has three characters. */
function matchOf(terms: readonly string[]): string | undefined {
  const trigrams = new Set<string>()
  for (const term of terms) {
    const characters = Array.from(term)
    for (let i = 0; i + 3 <= characters.length; i++) trigrams.add(characters.slice(i, i + 3).join(''))
  }
  if (trigrams.size === 0) return undefined
  return [...trigrams]
    .slice(0, MAX_TRIGRAMS)
    .map((trigram) => `"${trigram.replaceAll('"', '""')}"`)
    .join(' AND ')
}

function collect(hits: Hit[], found: readonly SearchRow[], { terms }: MessageRecordSearch): void {
  for (const row of found) {
    const message = toRecord(row)
    if (matchesTerms(message, terms)) hits.push({ sessionId: row.session_id, message })
  }
}

function newest(hits: Hit[], limit: number): Hit[] {
  return hits.toSorted(newestFirst).slice(0, limit)
}
