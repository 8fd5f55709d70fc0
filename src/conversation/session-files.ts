/**
 * Sessions in a folder: a file of lines each, and an index of them. What is kept of it in memory follows what others write. Every method
 * works on a view of the folder that nobody else changes meanwhile.
 */
import { join } from 'node:path'
import { emitWarning } from 'node:process'
import { fileName, type FileChange, type FolderChanges, type FolderObserver, type FolderView } from '../engines/files.ts'
import { HoldfastError, isHoldfastError } from '../errors.ts'
import type { MessageRecord, SessionRecord } from './contract.ts'
import { sessionTaken } from './faults.ts'
import { toLine } from './jsonl.ts'
import { Listing, type Listed } from './listing.ts'
import { readAdded, readTranscript, Transcript, writeTranscript, type ReadTranscript, type TranscriptLine } from './transcript.ts'
import { TranscriptCache } from './transcript-cache.ts'

const INDEX = 'index.jsonl'
const SESSIONS = 'sessions'
const EXTENSION = '.jsonl'
/** A file is written anew when this much of it, and more than half, is replaced by later lines. */
const MIN_GARBAGE = 64 * 1024

/** A session that is about to be changed. */
export interface Opened extends Listed {
  readonly workspace: string
  readonly transcript: Transcript
}

export class SessionFiles implements FolderObserver {
  /** Of the folder, for messages. */
  readonly #path: string
  /** Undefined where it is to be read. */
  #listing: Listing | undefined
  readonly #transcripts = new TranscriptCache()

  constructor(path: string) {
    this.#path = path
  }

  /** Makes the index and the files agree, whoever changed them, and repairs what a crash has torn. */
  reconcile(files: FolderChanges): void {
    const { listing, changed, torn } = this.#reconciled(files, readIndex(files))
    this.#listing = listing
    if (changed) files.put(INDEX, listing.write())
    for (const { workspace, session } of torn) this.open(files, workspace, session.id)
  }

  get(files: FolderView, workspace: string, id: string): Listed | undefined {
    return this.#index(files).get(workspace, id)
  }

  /** Sessions of a workspace, in no order. */
  list(files: FolderView, workspace: string): readonly Listed[] {
    return this.#index(files).of(workspace)
  }

  /** Workspaces with a session, in no order. */
  workspaces(files: FolderView): Iterable<string> {
    return this.#index(files).workspaces()
  }

  /** The messages of a session that is listed, kept in memory. */
  transcript(files: FolderView, workspace: string, id: string): Transcript {
    const file = fileOf(workspace, id)
    const known = this.#transcripts.get(file)
    if (known !== undefined && known.size + known.torn === files.size(file)) return known
    const { transcript } = this.#read(files, file)
    this.#transcripts.set(file, transcript)
    return transcript
  }

  /** The same, but what is not in memory yet is not kept there: for those who read everything once. */
  peek(files: FolderView, workspace: string, id: string): Transcript {
    const file = fileOf(workspace, id)
    return this.#transcripts.get(file) ?? this.#read(files, file).transcript
  }

  /** A session for a change: what a crash has left of a line is cut off first. */
  open(files: FolderChanges, workspace: string, id: string): Opened | undefined {
    const listed = this.get(files, workspace, id)
    if (listed === undefined) return undefined
    const transcript = this.transcript(files, workspace, id)
    if (transcript.torn === 0) return { ...listed, workspace, transcript }
    this.rewrite(files, workspace, listed.session, transcript.messages)
    return this.open(files, workspace, id)
  }

  /** Writes a new session's file; one that is there already, listed or not: `CONFLICT`. */
  insert(files: FolderChanges, workspace: string, session: SessionRecord, messages: readonly MessageRecord[]): void {
    // One that somebody put there by other means is found by the next that opens the folder.
    const isTaken =
      this.get(files, workspace, session.id) !== undefined || files.size(fileOf(workspace, session.id)) !== undefined
    if (isTaken) throw sessionTaken(session.id)
    this.rewrite(files, workspace, session, messages)
  }

  /** Adds a line to a session's file; `session` is its record afterwards. */
  append(files: FolderChanges, { workspace, transcript, ...listed }: Opened, line: TranscriptLine, session: SessionRecord): void {
    const bytes = toLine(line)
    files.append(fileOf(workspace, session.id), bytes)
    transcript.apply(line, bytes.length)
    const { size, messages } = transcript
    // About as much as it says anew is now said twice.
    const garbage = listed.garbage + ('messages' in line ? 0 : bytes.length)
    if (garbage > MIN_GARBAGE && garbage * 2 > size) this.rewrite(files, workspace, session, messages)
    else this.#list(files, workspace, session.id, { session, count: messages.length, size, garbage })
  }

  /** Writes a session's file anew. */
  rewrite(files: FolderChanges, workspace: string, session: SessionRecord, messages: readonly MessageRecord[]): void {
    const file = fileOf(workspace, session.id)
    const bytes = writeTranscript(workspace, session, messages)
    files.put(file, bytes)
    this.#transcripts.set(file, new Transcript([...messages], bytes.length))
    this.#list(files, workspace, session.id, { session, count: messages.length, size: bytes.length, garbage: 0 })
  }

  remove(files: FolderChanges, workspace: string, id: string): void {
    const file = fileOf(workspace, id)
    files.remove(file)
    this.#transcripts.delete(file)
    this.#list(files, workspace, id, undefined)
  }

  /** The index tells of sessions that are gone. */
  get hasRemoved(): boolean {
    return this.#listing?.hasRemoved === true
  }

  /** Writes the index without them. */
  forget(files: FolderChanges): void {
    files.put(INDEX, this.#index(files).write())
  }

  changed(change: FileChange): void {
    const isAppend = change.kind === 'append'
    if (change.file === INDEX) {
      if (isAppend && change.at > 0) this.#listing?.applyAdded(change.bytes, INDEX)
      else this.#listing = undefined
      return
    }
    const transcript = this.#transcripts.get(change.file)
    if (!isAppend || transcript?.size !== change.at) return this.#transcripts.delete(change.file)
    for (const line of readAdded(change.bytes, change.file)) transcript.apply(line, 0)
    transcript.size += change.bytes.length
  }

  reset(): void {
    this.#listing = undefined
    this.#transcripts.clear()
  }

  #list(files: FolderChanges, workspace: string, id: string, listed: Listed | undefined): void {
    const listing = this.#index(files)
    const line = listing.set(workspace, id, listed)
    if (listing.isBloated || files.size(INDEX) === undefined) files.put(INDEX, listing.write())
    else files.append(INDEX, line)
  }

  #index(files: FolderView): Listing {
    return (this.#listing ??= readIndex(files) ?? this.#reconciled(files, undefined).listing)
  }

  #read(files: FolderView, file: string): ReadTranscript {
    const bytes = files.read(file)
    const path = join(this.#path, file)
    if (bytes === undefined) throw new HoldfastError('CORRUPT', `${path} is missing; restore it from a backup`)
    const read = readTranscript(bytes, path)
    if (fileOf(read.workspace, read.session.id) !== file) {
      throw new HoldfastError('CORRUPT', `${path} is the file of another session, under a name that is not its own`)
    }
    if (read.transcript.torn > 0) {
      warn(`${path}: the last line was cut short; its ${read.transcript.torn} bytes were left out`, 'HOLDFAST_TORN_LINE')
    }
    return read
  }

  /** The index as the files say. Those that have the size that it knows are not read. */
  #reconciled(files: FolderView, known: Listing | undefined): Reconciled {
    const listing = known ?? new Listing()
    const unseen = new Map([...listing.all()].map((entry) => [fileOf(entry[0], entry[1].session.id), entry]))
    const torn: ReadTranscript[] = []
    let changed = known === undefined
    for (const file of sessionFiles(files)) {
      const listed = unseen.get(file)?.[1]
      unseen.delete(file)
      if (listed !== undefined && listed.size === files.size(file)) continue
      const read = this.#adopt(files, listing, file, listed)
      changed ||= read !== undefined
      if (read !== undefined && read.transcript.torn > 0) torn.push(read)
    }
    for (const [workspace, { session }] of unseen.values()) listing.set(workspace, session.id, undefined)
    return { listing, changed: changed || listing.hasRemoved, torn }
  }

  /** Lists a file that was changed by other means. One that cannot be read is told of, and left alone. */
  #adopt(files: FolderView, listing: Listing, file: string, listed: Listed | undefined): ReadTranscript | undefined {
    try {
      const read = this.#read(files, file)
      const { workspace, transcript, garbage } = read
      const session = withoutReuse(read.session, listed?.session)
      listing.set(workspace, session.id, { session, count: transcript.messages.length, size: transcript.size, garbage })
      this.#transcripts.set(file, transcript)
      return read
    } catch (error) {
      if (!isHoldfastError(error, 'CORRUPT')) throw error
      warn(error.message, 'HOLDFAST_UNREADABLE_FILE')
      return undefined
    }
  }
}

interface Reconciled {
  readonly listing: Listing
  /** The index file says something else. */
  readonly changed: boolean
  readonly torn: readonly ReadTranscript[]
}

/** The index file; undefined where there is none that can be used. */
function readIndex(files: FolderView): Listing | undefined {
  const bytes = files.read(INDEX)
  if (bytes === undefined) return undefined
  try {
    return Listing.read(bytes, INDEX)
  } catch {
    // All that it holds is in the session files too.
    warn(`${INDEX} was damaged, and is made anew`, 'HOLDFAST_DAMAGED_INDEX')
    return undefined
  }
}

function fileOf(workspace: string, id: string): string {
  return `${SESSIONS}/${fileName(workspace)}/${fileName(id)}${EXTENSION}`
}

function* sessionFiles(files: FolderView): Generator<string> {
  for (const workspace of files.list(SESSIONS)) {
    const folder = `${SESSIONS}/${workspace}`
    for (const name of files.list(folder)) if (name.endsWith(EXTENSION)) yield `${folder}/${name}`
  }
}

/** A file may have lost its end, but a seq that somebody has seen must not come again. */
function withoutReuse(session: SessionRecord, listed: SessionRecord | undefined): SessionRecord {
  if (listed?.createdAt !== session.createdAt) return session
  return {
    ...session,
    lastSeq: Math.max(session.lastSeq, listed.lastSeq),
    updatedAt: Math.max(session.updatedAt, listed.updatedAt),
  }
}

/** On standard error, unless the program listens to `warning` events. */
function warn(message: string, code: string): void {
  emitWarning(message, { type: 'HoldfastWarning', code })
}
