/**
 * What is under way between the two places. A write notes which vectors it is about to add and which ones it will leave without a document,
 * before it does anything; what a crash or an outage left behind is then found by these notes, and removed by a later write.
 */
import { hash } from 'node:crypto'
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import type { Present, Shelf } from './langchain-shelf.ts'
import { readSidecarJson, type SidecarEntry } from './langchain-sidecar.ts'

export interface Note {
  /** Milliseconds since 1970. */
  readonly at: number
  /** Documents that get a vector: the first that of `tagOf(name, 0)`, and so on. */
  readonly add: readonly string[]
  /** Vectors, and the documents that they stood for. */
  readonly remove: readonly (readonly [vectorId: string, documentId: string])[]
}

/** After this long a write is taken for dead: it is not done any more, and its vectors are not its own any more. */
const DEAD_AFTER_MS = 15 * 60_000
/** A write that is not this far by then gives up, long before others take it for dead. */
const GIVES_UP_AFTER_MS = DEAD_AFTER_MS / 3

/** The id that a vector of a write is to have: a UUID. */
export function tagOf(name: string, index: number): string {
  const digits = hash('sha256', `${name}:${index}`)
  const parts = [digits.slice(0, 8), digits.slice(8, 12), `8${digits.slice(13, 16)}`, `8${digits.slice(17, 20)}`]
  return [...parts, digits.slice(20, 32)].join('-')
}

/** Before documents are written: nobody may have taken the write for dead, and removed its vectors. */
export function checkAlive({ at }: Note): void {
  if (Date.now() - at < GIVES_UP_AFTER_MS) return
  throw new HoldfastError('UNAVAILABLE', 'the vector store took too long; no document was written', { outcome: 'not-applied' })
}

/** Removes the vectors that the collection's notes name and no document has. False where some writes are still under way. */
export async function sweepNotes(shelf: Shelf, call: BackendCall | undefined): Promise<boolean> {
  let isClean = true
  for (const { name, entry } of await shelf.notes(call)) {
    const note = toNote(entry)
    const isOver = Date.now() - note.at >= DEAD_AFTER_MS
    if (!(await settleNote(shelf, name, note, isOver, call))) isClean = false
  }
  return isClean
}

/** Removes all of a deleted collection. False where a write that began before is still under way, and may write more. */
export async function emptyShelf(
  shelf: Shelf,
  dropIndex: () => Promise<void> | undefined,
  call: BackendCall | undefined,
): Promise<boolean> {
  // Looked for first: no write begins any more, so where there is none now, there is none later.
  const isQuiet = await sweepNotes(shelf, call)
  await dropIndex()
  for await (const ids of shelf.ids(call)) {
    const present = await shelf.present(ids, call)
    await shelf.vectors.delete(Array.from(present.values(), ({ vectorId }) => vectorId))
    await shelf.erase(ids, call)
  }
  return isQuiet
}

/** `isOver`: the write will do nothing any more. True where the note was settled. */
export async function settleNote(
  shelf: Shelf,
  name: string,
  note: Note,
  isOver: boolean,
  call: BackendCall | undefined,
): Promise<boolean> {
  const ids = [...new Set([...note.add, ...note.remove.map(([, id]) => id)])]
  const present = await shelf.present(ids, call)
  const left = note.remove.filter(([vectorId, id]) => present.get(id)?.vectorId === vectorId)
  const lost = note.add.map((id, i) => [tagOf(name, i), id] as const).filter(([tag, id]) => present.get(id)?.tag !== tag)
  // A vector that was replaced never comes back, but one without its document may only be early.
  const dead = [...note.remove.filter((pair) => !stands(present, pair)), ...(isOver ? lost : [])]
  await shelf.vectors.delete(dead.map(([vectorId]) => vectorId))
  if (!isOver && left.length + lost.length > 0) return false
  await shelf.forget(name, call)
  return true
}

function stands(present: ReadonlyMap<string, Present>, [vectorId, id]: readonly [string, string]): boolean {
  return present.get(id)?.vectorId === vectorId
}

function toNote(entry: SidecarEntry): Note {
  const { at, add, remove } = readSidecarJson(entry, 'a note') as Partial<Note>
  if (typeof at === 'number' && Array.isArray(add) && Array.isArray(remove)) return { at, add, remove }
  throw new HoldfastError('CORRUPT', 'what the sidecar holds of a write is no note')
}
