/** The Markdown files that a demo is about, and their passages in a knowledge collection. */
import { createHash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { HoldfastError, type Embed, type KnowledgeStore, type NewDocument } from '../../index.ts'
import { Failure } from '../failure.ts'
import { plural, progress } from '../terminal.ts'
import { DIMENSION, embed, features, weighBy, type Weigh } from './lexical.ts'
import { toPassages, type Passage } from './markdown.ts'

export interface Library {
  /** What it is called to people. */
  readonly label: string
  readonly files: readonly string[]
  readonly passages: readonly Passage[]
  readonly weigh: Weigh
}

export interface Changes {
  readonly written: number
  readonly removed: number
  readonly total: number
}

/** Folder of this package, from the sources and from the build alike. */
const PACKAGE = resolve(import.meta.dirname, '../../..')
const MARKDOWN = /\.(?:md|markdown)$/i
const BATCH = 64
const NAME_MARKDOWN = 'Name a Markdown file, or a folder that holds some, with --docs.'

/** Reads a file or folder of Markdown; by default this package's README and docs. Nothing to read: `NOT_FOUND`. */
export async function readLibrary(docs: string | undefined): Promise<Library> {
  const root = docs === undefined ? PACKAGE : await rootOf(docs)
  const files = docs === undefined ? await ownFiles() : await filesOf(resolve(docs))
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')))
  const names = files.map((file) => relative(root, file).split(sep).join('/'))
  const passages = texts.flatMap((text, i) => toPassages(names[i]!, text))
  const label = docs ?? "Holdfast's own documentation"
  if (passages.length === 0) throw new Failure('NOT_FOUND', `${label}: there is no Markdown with text in it`, NAME_MARKDOWN)
  return { label, files: names, passages, weigh: weighBy(passages.map(textOf)) }
}

async function rootOf(docs: string): Promise<string> {
  const path = resolve(docs)
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) throw new Failure('NOT_FOUND', `there is no file or folder ${path}`, NAME_MARKDOWN)
  return found.isDirectory() ? path : dirname(path)
}

async function ownFiles(): Promise<string[]> {
  const readme = join(PACKAGE, 'README.md')
  const docs = join(PACKAGE, 'docs')
  const parts = await Promise.all([readme, docs].map((path) => filesOf(path).catch(ignoreMissing)))
  return parts.flat()
}

function ignoreMissing(error: NodeJS.ErrnoException): string[] {
  if (error.code === 'ENOENT') return []
  throw error
}

/** Links are not followed, and hidden folders and installed packages are left out. Sorted, so that every machine sees the same order. */
async function filesOf(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path]
  const entries = await readdir(path, { withFileTypes: true })
  const wanted = entries
    .filter((entry) =>
      entry.isDirectory() ? !/^\.|^node_modules$/.test(entry.name) : entry.isFile() && MARKDOWN.test(entry.name),
    )
    .map(({ name }) => name)
    .toSorted()
  return (await Promise.all(wanted.map((name) => filesOf(join(path, name))))).flat()
}

/** The text that is embedded: the headings count as much as what stands under them. */
function textOf({ content, metadata }: Passage): string {
  return `${metadata.heading}\n${metadata.trail}\n${content}`
}

export function libraryId(docs: string | undefined): string {
  if (docs === undefined) return 'holdfast-demo'
  const path = resolve(docs)
  return `holdfast-demo-${createHash('sha256').update(path).digest('hex').slice(0, 8)}`
}

export function nameOf(docs: string | undefined): string {
  return docs === undefined ? "About Holdfast's documentation" : `About ${basename(resolve(docs))}`
}

/**
 * Makes the collection hold exactly these passages: writes those that are new or changed, removes those that are gone. It may be killed
 * anywhere; the next run compares anew and does what is left.
 */
export async function ingest(
  store: KnowledgeStore,
  collection: string,
  passages: readonly Passage[],
  own: Embed | undefined,
): Promise<Changes> {
  const embedder = own === undefined ? 'lexical' : 'configured'
  await prepare(store, collection, own === undefined ? DIMENSION : await dimensionOf(own))
  const documents = passages.map((passage) => toDocument(passage, embedder))
  const stored = await readStored(store, collection)
  const changed = documents.filter((document) => !isStored(document, stored.get(document.id)))
  const ids = new Set(documents.map(({ id }) => id))
  const gone = [...stored.keys()].filter((id) => !ids.has(id))
  const bar = progress()
  for (let i = 0; i < changed.length; i += BATCH) {
    await store.upsert(collection, changed.slice(i, i + BATCH))
    bar.show(`reading: ${Math.min(i + BATCH, changed.length)} of ${plural(changed.length, 'passage')}`)
  }
  const removed = gone.length === 0 ? 0 : await store.delete(collection, { ids: gone })
  bar.end()
  return { written: changed.length, removed, total: documents.length }
}

async function dimensionOf(own: Embed): Promise<number> {
  const [vector] = await own(['dimension'])
  if (vector === undefined) throw new HoldfastError('INVALID_OPTIONS', '`embed` gives no embedding for a text')
  return vector.length
}

/** A collection made for another embedder is made anew. */
async function prepare(store: KnowledgeStore, collection: string, dimension: number): Promise<void> {
  const there = await store.describeCollection(collection)
  if (there !== undefined && there.dimension !== dimension) await store.deleteCollection(collection)
  await store.createCollection(collection, { dimension, fields: { file: 'string' } })
}

type PassageDocument = NewDocument & { readonly id: string; readonly content: string }

function toDocument(passage: Passage, embedder: 'lexical' | 'configured'): PassageDocument {
  const document = { id: passage.id, content: passage.content, metadata: { ...passage.metadata, embedder } }
  return embedder === 'configured' ? document : { ...document, embedding: embed(textOf(passage)) }
}

interface Stored {
  readonly contentHash: string
  readonly metadata: object
}

/** What is there by id. A store that cannot list gives nothing: then all passages are written again. */
async function readStored(store: KnowledgeStore, collection: string): Promise<Map<string, Stored>> {
  const stored = new Map<string, Stored>()
  let cursor: string | undefined
  do {
    if (!store.capabilities.list) return stored
    const page = await store.list(collection, { limit: 1_000, cursor })
    for (const { id, contentHash, metadata } of page.items) stored.set(id, { contentHash, metadata })
    cursor = page.cursor
  } while (cursor !== undefined)
  return stored
}

function isStored({ content, metadata }: PassageDocument, stored: Stored | undefined): boolean {
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 16)
  return stored?.contentHash === hash && isDeepStrictEqual(stored.metadata, metadata)
}

/** Questions that the headings suggest, spread over the whole. */
export function questionsFrom({ passages }: Library, count: number): string[] {
  const tellingOf = ({ content, metadata: { heading, file, part } }: Passage): boolean =>
    part === 1 && heading !== file && content.length >= 60 && features(heading).length > 0
  const headings = [...new Set(passages.filter(tellingOf).map(({ metadata }) => metadata.heading.replace(/[`*_[\]]/g, '')))]
  const step = Math.max(1, headings.length / count)
  const chosen = Array.from({ length: Math.min(count, headings.length) }, (_, i) => headings[Math.floor(i * step)]!)
  return chosen.map((heading) => (heading.endsWith('?') ? heading : `What about “${heading}”?`))
}
