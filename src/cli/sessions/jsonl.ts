/**
 * Exported sessions as lines of JSON: a header with the version, a line for each session followed by one for each of its messages, and
 * an end line with the counts, so that a file that was cut off is noticed. Whatever a store holds goes through unchanged.
 */
import { toJson, type Message, type Session } from '../../index.ts'
import { Failure } from '../failure.ts'
import { harmlessJson } from '../terminal.ts'

const FORMAT = 'holdfast-sessions'
const VERSION = 1

export interface Counts {
  readonly sessions: number
  readonly messages: number
}

export type Line =
  | { readonly type: 'header' }
  | { readonly type: 'session'; readonly session: Session }
  | { readonly type: 'message'; readonly message: Message }
  | { readonly type: 'end'; readonly counts: Counts }

const SESSION_FIELDS = ['id', 'userId', 'agentId', 'name', 'state', 'metadata', 'lastSeq', 'version', 'createdAt', 'updatedAt']
const MESSAGE_FIELDS = ['id', 'sessionId', 'seq', 'role', 'content', 'parts', 'toolCalls', 'toolCallId', 'metadata', 'createdAt']
const DATES = ['createdAt', 'updatedAt']
const ISO_DATE = /^(?:\d{4}|[+-]\d{6})-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?Z$/

export const headerLine = (): string => line({ type: FORMAT, version: VERSION })
export const sessionLine = (session: Session): string => line({ type: 'session', ...session })
export const messageLine = (message: Message): string => line({ type: 'message', ...message })
export const endLine = ({ sessions, messages }: Counts): string => line({ type: 'end', sessions, messages })

/** One JSON object on one line. Each member is written on its own, because the store's limit on nesting counts from there. */
export function line(fields: object): string {
  const members = Object.entries(fields).map(([name, value]: [string, unknown]) => {
    return `${JSON.stringify(name)}:${toJson(value instanceof Date ? value.toISOString() : value, name)}`
  })
  return harmlessJson(`{${members.join(',')}}`)
}

/** Why a line cannot be taken. */
export class BadLine extends Error {
  /** The line was to begin a session. */
  readonly beginsSession: boolean

  constructor(reason: string, beginsSession = false) {
    super(reason)
    this.beginsSession = beginsSession
  }
}

/** What a line holds. One that is no line of an export is a `BadLine`; a version from a newer Holdfast is `UNSUPPORTED`. */
export function parseLine(text: string): Line {
  const { type, ...fields } = parseObject(text)
  switch (type) {
    case FORMAT:
      return header(fields['version'])
    case 'session':
      return { type, session: withDates(fields, SESSION_FIELDS, true) as unknown as Session }
    case 'message':
      return { type, message: withDates(fields, MESSAGE_FIELDS, false) as unknown as Message }
    case 'end':
      return { type, counts: { sessions: Number(fields['sessions']), messages: Number(fields['messages']) } }
    default:
      throw new BadLine('its "type" must be "session", "message" or "end"')
  }
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new BadLine('it is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new BadLine('it is not a JSON object')
  return value as Record<string, unknown>
}

function header(version: unknown): Line {
  if (version === VERSION) return { type: 'header' }
  const message = `the file has format version ${String(version)}, and this Holdfast reads ${VERSION}`
  throw new Failure('UNSUPPORTED', message, 'Read it with a newer Holdfast, or export it again with an older one.')
}

/** The fields with their times as dates. An unknown field would be lost, and so is refused; the store checks the others. */
function withDates(fields: Record<string, unknown>, known: readonly string[], beginsSession: boolean): Record<string, unknown> {
  const stray = Object.keys(fields).find((name) => !known.includes(name))
  if (stray !== undefined) throw new BadLine(`it has an unknown field ${JSON.stringify(stray)}`, beginsSession)
  const names = DATES.filter((name) => known.includes(name))
  const wrong = names.find((name) => !isDate(fields[name]))
  if (wrong !== undefined) throw new BadLine(`its "${wrong}" must be a time such as 2026-01-31T12:00:00.000Z`, beginsSession)
  return { ...fields, ...Object.fromEntries(names.map((name) => [name, new Date(fields[name] as string)])) }
}

function isDate(value: unknown): boolean {
  return typeof value === 'string' && ISO_DATE.test(value) && !Number.isNaN(Date.parse(value))
}
