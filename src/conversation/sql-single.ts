/**
 * Scripts for servers that can change several tables in one statement, as Postgres can: one round trip an operation, and a second one only to
 * tell why something was refused.
 *
 * A statement sees what was committed before it began; a row that it is to change and that another transaction holds is waited for and then
 * looked at again as it has become, but no other row is. So what is safe is said at each statement. All of them lock the session's row before
 * they touch its messages: appends to one session queue there, and no two operations wait for each other.
 */
import { isHoldfastError } from '../errors.ts'
import { changes, changesAlone, row, rowAlone, rowsAlone, type Script } from '../engines/sql.ts'
import type {
  MessageRecord,
  MessageRecordPatch,
  MessageRecordQuery,
  MessageSelection,
  SessionRecord,
  SessionRecordPatch,
} from './contract.ts'
import { messageTaken, sessionMissing, sessionTaken, staleSeq, staleVersion } from './faults.ts'
import type { ConversationTables } from './schema.ts'
import type { AppendChoices, ConversationScripts, PatchChoices } from './sql-scripts.ts'
import {
  batchesOf,
  foldedPatch,
  isLong,
  rowValues,
  sessionValues,
  singleStatements,
  toJsonRows,
  type SingleStatements,
} from './sql-single-statements.ts'
import {
  messagePatch,
  seqBounds,
  sessionPatch,
  toRecord,
  type LastSeq,
  type MessageRow,
  type Statements,
} from './sql-statements.ts'

export class SingleScripts implements ConversationScripts {
  readonly #sql: Statements
  readonly #single: SingleStatements

  constructor(tables: ConversationTables, sql: Statements) {
    this.#sql = sql
    this.#single = singleStatements(tables, sql)
  }

  *createSession(workspace: string, session: SessionRecord): Script<void> {
    try {
      yield* changesAlone(this.#sql.insertSession, workspace, ...sessionValues(session))
    } catch (error) {
      throw isHoldfastError(error, 'CONFLICT') ? sessionTaken(session.id, error.cause) : error
    }
  }

  *patchSession(
    workspace: string,
    id: string,
    patch: SessionRecordPatch,
    { now, ifVersion }: PatchChoices,
  ): Script<SessionRecord | undefined> {
    const { sets, values } = sessionPatch(patch)
    const sql = this.#single.patchSession(sets, ifVersion !== undefined)
    const patched = yield* rowAlone<SessionRecord>(
      sql,
      ...values,
      now,
      workspace,
      id,
      ...(ifVersion === undefined ? [] : [ifVersion]),
    )
    if (patched !== undefined || ifVersion === undefined) return patched
    const found = yield* rowAlone<SessionRecord>(this.#sql.session, workspace, id)
    if (found !== undefined) throw staleVersion(id, ifVersion, found.version)
    return undefined
  }

  /**
   * The one statement deletes the messages that were there when it began, and so only applies where no append came in since: `last_seq`
   * tells. Otherwise the session's row is locked first, and what is there then is seen by the next statement.
   */
  *deleteSession(workspace: string, id: string, updatedBefore = Number.MAX_SAFE_INTEGER): Script<number | undefined> {
    const values = [workspace, id, updatedBefore]
    const done = yield* rowAlone<{ seen: number; gone: number; messages: number }>(
      this.#single.deleteSession,
      ...values,
      workspace,
      id,
      workspace,
      id,
    )
    if (done?.seen !== 1) return undefined
    if (done.gone === 1) return done.messages
    const deleted = yield* changes(this.#sql.deleteOldSession, ...values)
    return deleted === 0 ? undefined : yield* changes(this.#single.deleteAllMessages, workspace, id)
  }

  /** The seqs are counted from the session's row as it is once this append has it, and so never tie. */
  *append(workspace: string, sessionId: string, messages: readonly MessageRecord[], choices: AppendChoices): Script<number> {
    try {
      const moved = yield* this.#tryAppend(workspace, sessionId, messages, choices)
      if (moved !== undefined) return moved.last_seq
    } catch (error) {
      throw isHoldfastError(error, 'CONFLICT') ? messageTaken(sessionId, error.cause) : error
    }
    const { expectedSeq } = choices
    const found = yield* rowAlone<LastSeq>(this.#sql.lastSeq, workspace, sessionId)
    throw found === undefined || expectedSeq === undefined
      ? sessionMissing(sessionId)
      : staleSeq(sessionId, expectedSeq, found.last_seq)
  }

  *messagesById(
    workspace: string,
    sessionId: string,
    ids: readonly string[],
    query: MessageRecordQuery,
  ): Script<MessageRecord[]> {
    const values = [workspace, sessionId, ...seqBounds(query), JSON.stringify(ids)]
    const sql = this.#single.messagesById[query.order]
    const found = yield* rowsAlone<MessageRow>(sql, ...values, query.limit ?? ids.length)
    return found.map(toRecord)
  }

  /** A message that is deleted while this waits is not there any more; one of the same id that comes after it is not seen. */
  *patchMessage(
    workspace: string,
    sessionId: string,
    id: string,
    patch: MessageRecordPatch,
    now: number,
  ): Script<MessageRecord | undefined> {
    const { sets, values } = messagePatch(patch)
    const folded = foldedPatch(patch)
    const sql = this.#single.patchMessage([...sets, ...folded.sets])
    const patched = yield* rowAlone<MessageRow>(
      sql,
      workspace,
      sessionId,
      ...values,
      ...folded.values,
      workspace,
      sessionId,
      id,
      now,
      workspace,
      sessionId,
    )
    return patched === undefined ? undefined : toRecord(patched)
  }

  /** Appends that are committed while this waits come after it, and stay. */
  *deleteMessages(workspace: string, sessionId: string, { ids, afterSeq = 0 }: MessageSelection, now: number): Script<number> {
    const { deleteMessages, deleteMessagesById } = this.#single
    const selection = [workspace, sessionId, workspace, sessionId, afterSeq]
    const touch = [now, workspace, sessionId]
    const done = yield* ids === undefined
      ? rowAlone<{ deleted: number }>(deleteMessages, ...selection, ...touch)
      : rowAlone<{ deleted: number }>(deleteMessagesById, ...selection, JSON.stringify(ids), ...touch)
    return done?.deleted ?? 0
  }

  /** Nobody sees the session before its messages are there. */
  *restore(workspace: string, session: SessionRecord, messages: readonly MessageRecord[]): Script<void> {
    try {
      yield* this.#restore(workspace, session, messages)
    } catch (error) {
      throw isHoldfastError(error, 'CONFLICT') ? sessionTaken(session.id, error.cause) : error
    }
  }

  *#restore(workspace: string, session: SessionRecord, messages: readonly MessageRecord[]): Script<void> {
    const batches = batchesOf(messages)
    if (messages.length === 0) {
      yield* changesAlone(this.#sql.insertSession, workspace, ...sessionValues(session))
    } else if (batches.length === 1 && !isLong(messages[0]!)) {
      const values = [workspace, ...sessionValues(session), workspace, session.id, 0]
      yield* changesAlone(
        this.#single.restore,
        ...values,
        toJsonRows(messages, ({ seq }) => seq),
      )
    } else {
      yield* changes(this.#sql.insertSession, workspace, ...sessionValues(session))
      yield* this.#insertBatches(workspace, session.id, batches, ({ seq }) => seq, 0)
    }
  }

  *#tryAppend(
    workspace: string,
    sessionId: string,
    messages: readonly MessageRecord[],
    { now, expectedSeq }: AppendChoices,
  ): Script<LastSeq | undefined> {
    const guarded = expectedSeq !== undefined
    const move = [messages.length, now, workspace, sessionId, ...(guarded ? [expectedSeq] : [])]
    const batches = batchesOf(messages)
    if (messages.length === 1) {
      return yield* rowAlone<LastSeq>(
        this.#single.append[guarded ? 'oneFrom' : 'one'],
        ...move,
        workspace,
        sessionId,
        ...rowValues(messages[0]!),
      )
    }
    const offsets = new Map(messages.map((message, i) => [message, i + 1]))
    const seqOf = (message: MessageRecord): number => offsets.get(message)!
    if (batches.length === 1) {
      const sql = this.#single.append[guarded ? 'manyFrom' : 'many']
      return yield* rowAlone<LastSeq>(sql, ...move, workspace, sessionId, messages.length, toJsonRows(messages, seqOf))
    }
    const moved = yield* row<LastSeq>(guarded ? this.#sql.moveFrom : this.#sql.move, ...move)
    if (moved !== undefined) yield* this.#insertBatches(workspace, sessionId, batches, seqOf, moved.last_seq - messages.length)
    return moved
  }

  /** Within a transaction that holds the session's row. */
  *#insertBatches(
    workspace: string,
    sessionId: string,
    batches: readonly (readonly MessageRecord[])[],
    seqOf: (message: MessageRecord) => number,
    base: number,
  ): Script<void> {
    for (const batch of batches) {
      const [first] = batch
      if (isLong(first!)) yield* changes(this.#single.insertOne, workspace, sessionId, base + seqOf(first!), ...rowValues(first!))
      else yield* changes(this.#single.insertMany, workspace, sessionId, base, toJsonRows(batch, seqOf))
    }
  }
}
