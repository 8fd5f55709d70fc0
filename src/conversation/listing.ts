/** The index of session files: everything that a listing needs, so that it reads none of them. A file of lines too, derived from theirs. */
import { HoldfastError } from '../errors.ts'
import type { SessionRecord } from './contract.ts'
import { readLines, toLine } from './jsonl.ts'

const FORMAT = 'conversation-index/1'

/** A session, and what is known of its file. */
export interface Listed {
  readonly session: SessionRecord
  /** How many messages it has. */
  readonly count: number
  /** Bytes of its file. */
  readonly size: number
  /** Bytes of lines that later lines replace, about. */
  readonly garbage: number
}

/** What an append changes; the rest stays. */
interface MovedLine extends Omit<Listed, 'session'> {
  readonly workspace: string
  readonly moved: string
  readonly lastSeq: number
  readonly updatedAt: number
}

type ListingLine =
  | (Listed & { readonly workspace: string })
  | MovedLine
  | { readonly workspace: string; readonly removed: string }

/** Lines beyond two a session before the file is written anew. */
const SLACK = 1_000

export class Listing {
  readonly #workspaces = new Map<string, Map<string, Listed>>()
  #lines = 0
  #sessions = 0
  #hasRemoved = false

  /** Reads the file; `CORRUPT` where it is none, or was cut short. */
  static read(bytes: Uint8Array, what: string): Listing {
    const listing = new Listing()
    const { values, torn } = readLines(bytes, what)
    const [header, ...lines] = values as [{ readonly holdfast?: unknown } | undefined, ...ListingLine[]]
    if (header?.holdfast !== FORMAT || torn > 0) throw new HoldfastError('CORRUPT', `${what} is not a whole index`)
    for (const line of lines) listing.#apply(line)
    return listing
  }

  get(workspace: string, id: string): Listed | undefined {
    return this.#workspaces.get(workspace)?.get(id)
  }

  /** Those with a session, in no order. */
  workspaces(): Iterable<string> {
    return this.#workspaces.keys()
  }

  /** Sessions of a workspace, in no order. */
  of(workspace: string): readonly Listed[] {
    return [...(this.#workspaces.get(workspace)?.values() ?? [])]
  }

  *all(): Generator<readonly [workspace: string, listed: Listed]> {
    for (const [workspace, sessions] of this.#workspaces) for (const listed of sessions.values()) yield [workspace, listed]
  }

  /** Puts a session in, or takes it out; the line that says so. */
  set(workspace: string, id: string, listed: Listed | undefined): Uint8Array {
    const before = this.get(workspace, id)
    const line = lineOf(workspace, id, before, listed)
    this.#apply(line)
    return toLine(line)
  }

  /** Takes over lines that another process added. */
  applyAdded(bytes: Uint8Array, what: string): void {
    for (const line of readLines(bytes, what).values) this.#apply(line as ListingLine)
  }

  /** The file still tells of sessions that are gone. */
  get hasRemoved(): boolean {
    return this.#hasRemoved
  }

  get isBloated(): boolean {
    return this.#lines > 2 * this.#sessions + SLACK
  }

  /** The whole file, anew. */
  write(): Uint8Array {
    const lines = [...this.all()].map(([workspace, listed]): ListingLine => ({ workspace, ...listed }))
    this.#lines = lines.length
    this.#hasRemoved = false
    return Buffer.concat([{ holdfast: FORMAT }, ...lines].map(toLine))
  }

  #apply(line: ListingLine): void {
    this.#lines++
    const sessions = this.#workspaces.get(line.workspace) ?? new Map<string, Listed>()
    const before = sessions.size
    if ('removed' in line) this.#hasRemoved = sessions.delete(line.removed) || this.#hasRemoved
    else if ('moved' in line) sessions.set(line.moved, afterMove(sessions.get(line.moved)!, line))
    else sessions.set(line.session.id, listedOf(line))
    this.#sessions += sessions.size - before
    if (sessions.size === 0) this.#workspaces.delete(line.workspace)
    else if (before === 0) this.#workspaces.set(line.workspace, sessions)
  }
}

/** The shortest line that says it: most changes are appends, and a session's state may be large. */
function lineOf(workspace: string, id: string, before: Listed | undefined, after: Listed | undefined): ListingLine {
  if (after === undefined) return { workspace, removed: id }
  const { session, count, size, garbage } = after
  if (before?.session.version !== session.version || before.session.createdAt !== session.createdAt)
    return { workspace, ...after }
  return { workspace, moved: id, lastSeq: session.lastSeq, updatedAt: session.updatedAt, count, size, garbage }
}

function afterMove({ session }: Listed, { lastSeq, updatedAt, count, size, garbage }: MovedLine): Listed {
  return { session: { ...session, lastSeq, updatedAt }, count, size, garbage }
}

function listedOf({ session, count, size, garbage }: Listed): Listed {
  return { session, count, size, garbage }
}
