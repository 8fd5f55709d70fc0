/** Which of the records in memory a query means, for backends that cannot ask their engine. */
import { compareBytes } from '../store/text.ts'
import type { MessageRecord, MessageRecordQuery, SessionRecord, SessionRecordQuery } from './contract.ts'
import { matchesMetadata } from './metadata.ts'

/** The page of sessions that a query asks for. */
export function selectSessions(sessions: Iterable<SessionRecord>, query: SessionRecordQuery): SessionRecord[] {
  const sign = query.order === 'asc' ? 1 : -1
  const { after } = query
  return [...sessions]
    .filter((session) => after === undefined || sign * comparePosition(session, after) > 0)
    .filter((session) => matchesQuery(session, query))
    .toSorted((a, b) => sign * comparePosition(a, b))
    .slice(0, query.limit)
}

/** The messages that a query asks for, of all those of a session in the order of their seqs. */
export function selectMessages(all: readonly MessageRecord[], query: MessageRecordQuery): MessageRecord[] {
  const from = query.after === undefined ? 0 : indexOfSeq(all, query.after + 1)
  const to = query.before === undefined ? all.length : Math.max(from, indexOfSeq(all, query.before))
  const { order, limit = Infinity } = query
  if (query.ids !== undefined) {
    const ids = new Set(query.ids)
    const found = all.slice(from, to).filter(({ id }) => ids.has(id))
    return (order === 'asc' ? found : found.toReversed()).slice(0, limit)
  }
  return order === 'asc' ? all.slice(from, Math.min(to, from + limit)) : all.slice(Math.max(from, to - limit), to).toReversed()
}

/** Index of the first message whose seq is at least `seq`. */
export function indexOfSeq(messages: readonly MessageRecord[], seq: number): number {
  let low = 0
  let high = messages.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (messages[middle]!.seq < seq) low = middle + 1
    else high = middle
  }
  return low
}

function matchesQuery(session: SessionRecord, { userId, agentId, metadata }: SessionRecordQuery): boolean {
  if (userId !== undefined && session.userId !== userId) return false
  if (agentId !== undefined && session.agentId !== agentId) return false
  return metadata === undefined || matchesMetadata(session.metadata, metadata)
}

function comparePosition(a: { updatedAt: number; id: string }, b: { updatedAt: number; id: string }): number {
  return a.updatedAt - b.updatedAt || compareBytes(a.id, b.id)
}
