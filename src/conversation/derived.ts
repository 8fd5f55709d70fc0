/** What the store derives from the backend's few methods, within one workspace. Arguments are checked by then. */
import { HoldfastError, isHoldfastError } from '../errors.ts'
import type { BackendCall, CallOptions, Limits } from '../store/contract.ts'
import { withOutcome, type Work } from '../store/core.ts'
import { sleep } from '../store/platform.ts'
import { invalid } from '../store/text.ts'
import type {
  ConversationBackend,
  MessageRecord,
  MessageSelection,
  NewSession,
  Session,
  SessionRecord,
  SessionRecordQuery,
} from './contract.ts'
import { messageTaken, sessionMissing } from './faults.ts'
import { isSameMessage, isSameSession, mergingPatch, toSession } from './records.ts'

/** What a fork has of its own; every field left out is the source's. */
export interface ForkOptions extends CallOptions {
  /** Take messages up to this seq. Default: all. Greater than the source's `lastSeq`: `INVALID_ARGUMENT`. */
  readonly atSeq?: number | undefined
  /** Id of the fork. Default: a new UUID. */
  readonly newId?: string | undefined
  readonly userId?: string | undefined
  readonly agentId?: string | undefined
  readonly name?: string | undefined
  readonly state?: NewSession['state']
  readonly metadata?: NewSession['metadata']
}

/** What was deleted. After an outage within the call the numbers may be too low, never too high. */
export interface DeletedSessions {
  sessions: number
  messages: number
}

export interface SessionCopy {
  readonly session: SessionRecord
  readonly messages: readonly MessageRecord[]
}

/** `Work` that does not care what came of earlier attempts. */
type Step<T> = (call: BackendCall) => Promise<T>

/** How often an upsert tries to get its change in between those of others. */
const UPSERT_ATTEMPTS = 100
const MAX_UPSERT_PAUSE_MS = 20
/** Sessions a page of those that are deleted. */
const SESSION_PAGE = 100

export class DerivedOperations {
  readonly #backend: ConversationBackend
  readonly #workspace: string
  readonly #limits: Limits

  constructor(backend: ConversationBackend, workspace: string, limits: Limits) {
    this.#backend = backend
    this.#workspace = workspace
    this.#limits = limits
  }

  creating(record: SessionRecord): Work<Session> {
    return this.#writing(
      async () => record,
      (session, call) => this.#backend.createSession(this.#workspace, session, call),
    )
  }

  restoring(record: SessionRecord, messages: readonly MessageRecord[]): Work<Session> {
    return this.#writing(
      async () => record,
      (session, call) => this.#backend.restore(this.#workspace, session, messages, call),
    )
  }

  /** What `own` and `options` say, the rest from the source, which is read once, whatever the number of attempts. */
  forking(id: string, own: SessionRecord, options: ForkOptions): Work<Session> {
    let copy: SessionCopy | undefined
    return this.#writing(
      async (call) => (copy ??= await beforeWriting(this.#copy(id, own, options, call))).session,
      (session, call) => this.#backend.restore(this.#workspace, session, copy!.messages, call),
    )
  }

  /** Creates or merges, again and again until no other writer comes in between. */
  async upsert(given: NewSession, record: SessionRecord, call: BackendCall): Promise<Session> {
    for (let attempt = 0; attempt < UPSERT_ATTEMPTS; attempt++) {
      const done = await this.#tryUpsert(given, record, call)
      if (done !== undefined) return toSession(done)
      await sleep(Math.random() * Math.min(attempt, MAX_UPSERT_PAUSE_MS))
      call.signal?.throwIfAborted()
    }
    throw new HoldfastError('CONFLICT', 'too many others changed the session at the same time', { outcome: 'not-applied' })
  }

  /** One page, and whether more follow: one more than wanted is asked for, to know. */
  async page(query: SessionRecordQuery, call: BackendCall): Promise<{ records: SessionRecord[]; more: boolean }> {
    const records = await this.#backend.listSessions(this.#workspace, { ...query, limit: query.limit + 1 }, call)
    const more = records.length > query.limit
    return { records: more ? records.slice(0, query.limit) : records, more }
  }

  /** Appends and gives the new `lastSeq`; of no messages, 0. A repeated attempt may meet the messages that an earlier one wrote. */
  appending(
    sessionId: string,
    records: readonly MessageRecord[],
    options: { readonly now: number; readonly expectedSeq: number | undefined },
  ): Work<number> {
    if (records.length === 0) return async () => 0
    if (hasTwins(records)) return () => Promise.reject(messageTaken(sessionId))
    return repeatable(
      (call) => this.#backend.append(this.#workspace, sessionId, records, options, call),
      (call) => this.#appended(sessionId, records, call),
    )
  }

  async readMessage(sessionId: string, id: string, call: BackendCall): Promise<MessageRecord | undefined> {
    const [record] = await this.#backend.readMessages(this.#workspace, sessionId, { ids: [id], order: 'asc' }, call)
    return record
  }

  /** Deletes what the selections name, one after the other, and counts. */
  deletingMessages(sessionId: string, selections: readonly MessageSelection[], now: number): Work<number> {
    let next = 0
    let deleted = 0
    const step: Step<boolean> = async (call) => {
      const selection = selections[next]
      if (selection === undefined) return false
      deleted += await this.#backend.deleteMessages(this.#workspace, sessionId, selection, { now }, call)
      next++
      return true
    }
    return stepwise(
      step,
      () => next > 0,
      () => deleted,
    )
  }

  /** Goes through the sessions once, oldest first, and so also meets those that writers move to the end meanwhile. */
  deletingSessions(userId: string | undefined, updatedBefore: number | undefined): Work<DeletedSessions> {
    const deleted = { sessions: 0, messages: 0 }
    let after: SessionRecordQuery['after']
    const step: Step<boolean> = async (call) => {
      const { records, more } = await this.page({ userId, order: 'asc', limit: SESSION_PAGE, after }, call)
      const due = records.filter((session) => updatedBefore === undefined || session.updatedAt < updatedBefore)
      for (const { id } of due) await this.#deleteCounted(id, updatedBefore, deleted, call)
      after = records.at(-1)
      return more && due.length === records.length
    }
    return stepwise(
      step,
      () => deleted.sessions > 0,
      () => deleted,
    )
  }

  /** Work that writes a new session. A repeated attempt may meet the one that an earlier attempt wrote. */
  #writing(prepare: Step<SessionRecord>, write: (record: SessionRecord, call: BackendCall) => Promise<void>): Work<Session> {
    return repeatable(
      async (call) => {
        const record = await prepare(call)
        await write(record, call)
        return toSession(record)
      },
      async (call) => {
        const record = await prepare(call)
        const found = await this.#backend.getSession(this.#workspace, record.id, call)
        return found !== undefined && isSameSession(found, record) ? toSession(found) : undefined
      },
    )
  }

  /** A session as its fork, with the messages up to the fork's `lastSeq`: later ones may appear while they are read. */
  async #copy(id: string, own: SessionRecord, options: ForkOptions, call: BackendCall): Promise<SessionCopy> {
    const source = await this.#backend.getSession(this.#workspace, id, call)
    if (source === undefined) throw sessionMissing(id)
    const lastSeq = options.atSeq ?? source.lastSeq
    if (lastSeq > source.lastSeq) throw invalid(`atSeq ${lastSeq} is behind the session's last seq, ${source.lastSeq}`)
    const messages = await this.#backend.readMessages(this.#workspace, id, { before: lastSeq + 1, order: 'asc' }, call)
    return { session: { ...forked(source, own, options), lastSeq }, messages }
  }

  /** One attempt to create or to merge; undefined when another writer came in between. */
  async #tryUpsert(given: NewSession, record: SessionRecord, call: BackendCall): Promise<SessionRecord | undefined> {
    const current = await beforeWriting(this.#backend.getSession(this.#workspace, record.id, call))
    try {
      if (current !== undefined) return await this.#merge(given, record, current, call)
      await this.#backend.createSession(this.#workspace, record, call)
      return record
    } catch (error) {
      if (isHoldfastError(error, 'CONFLICT')) return undefined
      throw error
    }
  }

  #merge(
    given: NewSession,
    record: SessionRecord,
    current: SessionRecord,
    call: BackendCall,
  ): Promise<SessionRecord | undefined> {
    const patch = mergingPatch(given, record, current, this.#limits)
    const options = { now: record.updatedAt, ifVersion: current.version }
    return this.#backend.patchSession(this.#workspace, record.id, patch, options, call)
  }

  /** The last seq of an append whose answer was lost, where these very messages are stored, one behind the other. */
  async #appended(sessionId: string, records: readonly MessageRecord[], call: BackendCall): Promise<number | undefined> {
    const ids = records.map(({ id }) => id)
    const found = await this.#backend.readMessages(this.#workspace, sessionId, { ids, order: 'asc' }, call)
    const first = found[0]?.seq ?? 0
    const all = found.length === records.length && found.every((it, i) => it.seq === first + i && isSameMessage(it, records[i]!))
    return all ? first + records.length - 1 : undefined
  }

  async #deleteCounted(
    id: string,
    updatedBefore: number | undefined,
    deleted: DeletedSessions,
    call: BackendCall,
  ): Promise<void> {
    call.signal?.throwIfAborted()
    const messages = await this.#backend.deleteSession(this.#workspace, id, { updatedBefore }, call)
    if (messages === undefined) return
    deleted.sessions++
    deleted.messages += messages
  }
}

function hasTwins(records: readonly MessageRecord[]): boolean {
  return records.length > 1 && new Set(records.map(({ id }) => id)).size < records.length
}

/**
 * Work that, repeated after an outage, may find that an earlier attempt did it and only the answer was lost: `find` then gives the
 * result from what is stored.
 */
function repeatable<T>(apply: Step<T>, find: Step<T | undefined>): Work<T> {
  return (call, mayBeApplied) => (mayBeApplied ? applyOrFind(apply, find, call) : apply(call))
}

async function applyOrFind<T>(apply: Step<T>, find: Step<T | undefined>, call: BackendCall): Promise<T> {
  try {
    return await apply(call)
  } catch (error) {
    const own = isHoldfastError(error, 'CONFLICT') ? await find(call) : undefined
    if (own !== undefined) return own
    throw error
  }
}

/** Repeats the step until it gives false. A repeated attempt goes on where the last one failed. */
function stepwise<T>(step: Step<boolean>, begun: () => boolean, result: () => T): Work<T> {
  return async (call) => {
    try {
      while (await step(call)) call.signal?.throwIfAborted()
      return result()
    } catch (error) {
      throw begun() ? withOutcome(error, 'unknown') : error
    }
  }
}

/** A read that comes before a write: when it fails, nothing is written, and the call may be tried again. */
async function beforeWriting<T>(read: Promise<T>): Promise<T> {
  try {
    return await read
  } catch (error) {
    throw withOutcome(error, 'not-applied')
  }
}

/** The source as a new session, with what the fork was given of its own. */
function forked(source: SessionRecord, own: SessionRecord, given: ForkOptions): SessionRecord {
  return {
    ...own,
    userId: own.userId ?? source.userId,
    agentId: own.agentId ?? source.agentId,
    name: own.name ?? source.name,
    state: given.state === undefined ? source.state : own.state,
    metadata: given.metadata === undefined ? source.metadata : own.metadata,
  }
}
