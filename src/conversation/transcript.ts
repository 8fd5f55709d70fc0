/** A session as a file of lines: what each line says, and what they come to. */
import { HoldfastError } from '../errors.ts'
import type { MessageRecord, SessionRecord } from './contract.ts'
import { readLines, toLine } from './jsonl.ts'
import { indexOfSeq } from './selection.ts'

const FORMAT = 'conversation/1'

/** The first line of every file. */
interface HeaderLine {
  readonly holdfast: typeof FORMAT
  readonly workspace: string
  readonly session: SessionRecord
}

/** The session after a change of its own. */
interface SessionLine {
  readonly session: SessionRecord
}

/** One append, which is one line, so that it is there whole or not at all. */
interface MessagesLine {
  readonly messages: readonly MessageRecord[]
  readonly updatedAt: number
}

/** A message after a change. */
interface MessageLine {
  readonly message: MessageRecord
  readonly updatedAt: number
}

export type TranscriptLine = SessionLine | MessagesLine | MessageLine

/** The messages of a session, in the order of their seqs. */
export class Transcript {
  readonly messages: MessageRecord[]
  readonly ids: Set<string>
  /** Bytes of the file, up to its last whole line. */
  size: number
  /** Bytes behind it, of a line that was cut short. */
  readonly torn: number

  constructor(messages: MessageRecord[], size: number, torn = 0) {
    this.messages = messages
    this.ids = new Set(messages.map(({ id }) => id))
    this.size = size
    this.torn = torn
  }

  /** The message with this id. */
  find(id: string): MessageRecord | undefined {
    return this.ids.has(id) ? this.messages.find((message) => message.id === id) : undefined
  }

  /** Takes over what a line adds or changes, and its size. */
  apply(line: TranscriptLine, size: number): void {
    this.size += size
    if ('messages' in line) {
      for (const message of line.messages) {
        this.messages.push(message)
        this.ids.add(message.id)
      }
    } else if ('message' in line) {
      this.messages[indexOfSeq(this.messages, line.message.seq)] = line.message
    }
  }
}

/** A file that was read whole. */
export interface ReadTranscript {
  readonly workspace: string
  readonly session: SessionRecord
  readonly transcript: Transcript
  /** Bytes of lines that later lines replace, about. */
  readonly garbage: number
}

/** Reads a file; `CORRUPT` where it is not that of a session. */
export function readTranscript(bytes: Uint8Array, what: string): ReadTranscript {
  const { values, size, torn } = readLines(bytes, what)
  const [header, ...lines] = values as [HeaderLine | undefined, ...TranscriptLine[]]
  if (header?.holdfast !== FORMAT) throw new HoldfastError('CORRUPT', `${what} does not begin as the file of a session`)
  const transcript = new Transcript([], size, torn)
  let { session } = header
  let garbage = 0
  for (const line of lines) {
    transcript.apply(line, 0)
    session = sessionAfter(session, line)
    if (!('messages' in line)) garbage += toLine(line).length
  }
  return { workspace: header.workspace, session, transcript, garbage }
}

/** Lines that another process added to a file. */
export function readAdded(bytes: Uint8Array, what: string): readonly TranscriptLine[] {
  return readLines(bytes, what).values as readonly TranscriptLine[]
}

/** What a line makes of the session's record. */
function sessionAfter(session: SessionRecord, line: TranscriptLine): SessionRecord {
  if ('session' in line) return line.session
  const updatedAt = Math.max(session.updatedAt, line.updatedAt)
  const lastSeq = 'messages' in line ? Math.max(session.lastSeq, line.messages.at(-1)?.seq ?? 0) : session.lastSeq
  return { ...session, lastSeq, updatedAt }
}

/** A whole file: the session as it is, and one line a message. */
export function writeTranscript(workspace: string, session: SessionRecord, messages: readonly MessageRecord[]): Uint8Array {
  const header: HeaderLine = { holdfast: FORMAT, workspace, session }
  const lines = messages.map((message): MessagesLine => ({ messages: [message], updatedAt: session.updatedAt }))
  return Buffer.concat([header, ...lines].map(toLine))
}
