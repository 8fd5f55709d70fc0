/** `holdfast sessions import`: reads what `export` wrote, each session whole or not at all. */
import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { isHoldfastError, type ConversationStore, type Message, type Session } from '../../index.ts'
import { Failure } from '../failure.ts'
import { plural, progress } from '../terminal.ts'
import { BadLine, parseLine, type Counts, type Line } from './jsonl.ts'
import { readLines, type NumberedLine } from './lines.ts'

export interface ImportOptions {
  /** A file, or `-` for standard input. */
  readonly file: string
  /** What to do where a session's id is taken. Default: report it and leave the stored one as it is. */
  readonly taken?: 'report' | 'skip' | undefined
  /** Give every session a new id. */
  readonly newIds?: boolean | undefined
}

export interface Problem {
  readonly line: number
  readonly code: 'CORRUPT' | 'CONFLICT'
  readonly reason: string
}

export interface ImportResult {
  sessions: number
  messages: number
  /** Sessions that were there already and were to be skipped. */
  skipped: number
  /** In the order of their lines. */
  problems: Problem[]
  /** With `newIds`: the id in the file and the one it got. */
  ids: [string, string][]
}

/** A session with its messages, and the line of each. */
interface Group {
  readonly session: Session
  readonly line: number
  readonly messages: Message[]
  readonly lines: number[]
  broken: boolean
}

/** Sessions on their way at a time: they share the store's commits. */
const CONCURRENCY = 16

/** Imports every session that can be; what cannot is in `problems`, by line. An outage ends it, and running it again with `taken: 'skip'` goes on. */
export async function importSessions(store: ConversationStore, options: ImportOptions): Promise<ImportResult> {
  const result: ImportResult = { sessions: 0, messages: 0, skipped: 0, problems: [], ids: [] }
  const bar = progress()
  const report = (line: number, reason: string): void => void result.problems.push({ line, code: 'CORRUPT', reason })
  const underway = new Set<Promise<void>>()
  const failures: unknown[] = []
  try {
    for await (const group of readSessions(readLines(openInput(options.file)), report)) {
      const work = restore(store, group, options, result)
        .catch((error: unknown) => void failures.push(error))
        .finally(() => underway.delete(work))
      underway.add(work)
      if (underway.size >= CONCURRENCY) await Promise.race(underway)
      if (failures.length > 0) break
      bar.show(`imported ${plural(result.sessions, 'session')}, ${plural(result.messages, 'message')}`)
    }
  } finally {
    await Promise.all(underway)
    bar.end()
  }
  if (failures.length > 0) throw failures[0]
  result.problems.sort((a, b) => a.line - b.line)
  return result
}

function openInput(file: string): AsyncIterable<Buffer> {
  return file === '-' ? process.stdin : createReadStream(file)
}

async function restore(store: ConversationStore, group: Group, options: ImportOptions, result: ImportResult): Promise<void> {
  const { id } = group.session
  const session = options.newIds === true ? { ...group.session, id: randomUUID() } : group.session
  try {
    await store.restore(session, group.messages)
    result.sessions++
    result.messages += group.messages.length
    if (session.id !== id) result.ids.push([id, session.id])
  } catch (error) {
    if (isHoldfastError(error, 'CONFLICT') && options.taken === 'skip') result.skipped++
    else result.problems.push(problemOf(error, group))
  }
}

/** What the store says against a session; anything that is not the session's fault is thrown on. */
function problemOf(error: unknown, { session, line, lines }: Group): Problem {
  if (isHoldfastError(error, 'CONFLICT')) {
    return { line, code: 'CONFLICT', reason: `the session ${JSON.stringify(session.id)} is there already` }
  }
  const isFault =
    error instanceof TypeError || isHoldfastError(error, 'INVALID_ARGUMENT') || isHoldfastError(error, 'VALUE_TOO_LARGE')
  if (!isFault) throw error
  const index = /^messages\[(\d+)\]\.?/.exec(error.message)
  const at = index === null ? line : (lines[Number(index[1])] ?? line)
  return { line: at, code: 'CORRUPT', reason: error.message.slice(index?.[0].length ?? 0) }
}

/** Complete sessions. `report` gets what is wrong with a line; the session that it belongs to, or may belong to, is left out. */
async function* readSessions(
  lines: AsyncIterable<NumberedLine>,
  report: (line: number, reason: string) => void,
): AsyncGenerator<Group, void> {
  const reader = new Reader(report)
  for await (const line of lines) {
    const complete = reader.take(line)
    if (complete !== undefined) yield complete
  }
  reader.finish()
}

class Reader {
  readonly #report: (line: number, reason: string) => void
  #place: 'before' | 'inside' | 'ended' = 'before'
  #group: Group | undefined
  /** The session whose messages are passed over, because its own line is missing or bad. */
  #lost: string | undefined
  #sessions = 0
  #messages = 0
  #faults = 0
  #line = 0

  constructor(report: (line: number, reason: string) => void) {
    this.#report = report
  }

  /** The session that this line completes. */
  take({ number, text }: NumberedLine): Group | undefined {
    this.#line = number
    if (text?.trim() === '') return undefined
    try {
      if (text === undefined) throw new BadLine('it is not UTF-8')
      return this.#accept(parseLine(text), number)
    } catch (error) {
      if (!(error instanceof BadLine)) throw error
      if (this.#place === 'before') throw notAnExport()
      return this.#bad(number, error)
    }
  }

  /** A file that was cut off may end within its last session. */
  finish(): void {
    if (this.#place === 'before') throw notAnExport()
    if (this.#place === 'inside') this.#cutOff(this.#line + 1)
  }

  #accept(line: Line, number: number): Group | undefined {
    if (line.type === 'header') this.#begin(number)
    if (this.#place === 'before') throw notAnExport()
    if (this.#place === 'ended') throw new BadLine('it stands behind the end line')
    if (line.type === 'message') this.#add(line.message, number)
    if (line.type === 'header' || line.type === 'message') return undefined
    const complete = this.#complete()
    if (line.type === 'end') this.#end(line.counts, number)
    else this.#group = { session: line.session, line: number, messages: [], lines: [], broken: false }
    if (line.type === 'session') this.#sessions++
    return complete
  }

  /** Files may be joined: each begins with a header of its own. */
  #begin(number: number): void {
    if (this.#place === 'inside') this.#cutOff(number)
    this.#place = 'inside'
    ;[this.#group, this.#sessions, this.#messages, this.#faults] = [undefined, 0, 0, 0]
  }

  #add(message: Message, number: number): void {
    this.#messages++
    const group = this.#group
    if (group === undefined || message.sessionId !== group.session.id) return this.#orphan(message, number)
    group.messages.push(message)
    group.lines.push(number)
  }

  /** Said once for all the messages of a session. */
  #orphan({ sessionId }: Message, number: number): void {
    if (this.#lost === sessionId) return
    this.#lost = sessionId
    this.#fault(number, 'its session is not the one before it; messages of that session are left out')
  }

  #complete(): Group | undefined {
    const group = this.#group
    this.#group = undefined
    return group?.broken === false ? group : undefined
  }

  #end(counts: Counts, number: number): void {
    this.#place = 'ended'
    const agrees = counts.sessions === this.#sessions && counts.messages === this.#messages
    // Lines that could not be read were not counted either.
    if (agrees || this.#faults > 0) return
    const expected = `${plural(counts.sessions, 'session')} and ${plural(counts.messages, 'message')}`
    this.#fault(number, `lines are missing: it speaks of ${expected}, and there were ${this.#sessions} and ${this.#messages}`)
  }

  #bad(number: number, { message, beginsSession }: BadLine): Group | undefined {
    this.#fault(number, message)
    if (beginsSession) return this.#complete()
    if (this.#group !== undefined) this.#group.broken = true
    return undefined
  }

  #cutOff(number: number): void {
    this.#group = undefined
    this.#fault(number, 'the file ends before its end line; its last session was not imported')
  }

  #fault(number: number, reason: string): void {
    this.#faults++
    this.#report(number, reason)
  }
}

function notAnExport(): Failure {
  const message = 'this is no export of sessions: it does not begin with a "holdfast-sessions" line'
  return new Failure('CORRUPT', message, 'Give it what `holdfast sessions export` wrote.')
}
