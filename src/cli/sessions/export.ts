/** `holdfast sessions export`: sessions and their messages, streamed. */
import { HoldfastError, type ConversationStore, type Session } from '../../index.ts'
import { plural, progress, writeTo } from '../terminal.ts'
import { toFile } from '../whole-file.ts'
import { endLine, headerLine, messageLine, sessionLine, type Counts } from './jsonl.ts'

export interface ExportOptions {
  /** The sessions to export; undefined: all, or all of the user. */
  readonly ids: readonly string[] | undefined
  readonly userId?: string | undefined
  /** A file, or `-` for standard output. */
  readonly out: string
}

type Write = (text: string) => Promise<void>

const CHUNK_CHARS = 64 * 1024

export async function exportSessions(store: ConversationStore, options: ExportOptions): Promise<Counts> {
  const sessions = options.ids === undefined ? allSessions(store, options.userId) : someSessions(store, options.ids)
  if (options.out === '-') return writeSessions(store, sessions, (text) => writeTo(process.stdout, text))
  return toFile(options.out, (write) => writeSessions(store, sessions, write))
}

async function writeSessions(store: ConversationStore, found: AsyncIterable<Session>, write: Write): Promise<Counts> {
  const bar = progress()
  let [sessions, messages] = [0, 0]
  let held = `${headerLine()}\n`
  const put = async (line: string): Promise<void> => {
    held += `${line}\n`
    if (held.length < CHUNK_CHARS) return
    await write(held)
    held = ''
  }
  for await (const session of found) {
    sessions++
    await put(sessionLine(session))
    // What is appended meanwhile belongs to a later export: it would not fit the session's line.
    for await (const message of store.iterateMessages(session.id, { before: session.lastSeq + 1 })) {
      messages++
      await put(messageLine(message))
      bar.show(`exported ${plural(sessions, 'session')}, ${plural(messages, 'message')}`)
    }
  }
  await write(`${held}${endLine({ sessions, messages })}\n`)
  bar.end()
  return { sessions, messages }
}

/** Oldest first: a session that changes meanwhile moves ahead of us rather than behind, and is passed over when it is met again. */
async function* allSessions(store: ConversationStore, userId: string | undefined): AsyncGenerator<Session, void> {
  const seen = new Set<string>()
  let cursor: string | undefined
  do {
    const page = await store.listSessions({ userId, cursor, order: 'asc', limit: 500 })
    for (const session of page.items) if (!seen.has(session.id)) yield session
    for (const { id } of page.items) seen.add(id)
    cursor = page.cursor
  } while (cursor !== undefined)
}

/** All of them are looked up before the first is written, so that a wrong id leaves no half output. */
async function* someSessions(store: ConversationStore, ids: readonly string[]): AsyncGenerator<Session, void> {
  const wanted = [...new Set(ids)]
  for (const id of wanted) await existing(store, id)
  for (const id of wanted) yield await existing(store, id)
}

export async function existing(store: ConversationStore, id: string): Promise<Session> {
  const session = await store.getSession(id)
  if (session === undefined) throw new HoldfastError('NOT_FOUND', `there is no session ${JSON.stringify(id)}`)
  return session
}
