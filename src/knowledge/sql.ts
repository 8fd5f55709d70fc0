/**
 * Knowledge in SQL tables, and the scripts over them.
 *
 * Every document carries the number of its last change, counted in its collection, and a deleted one leaves a tombstone with such a
 * number. So whoever has seen all changes up to one number asks for those behind it and misses nothing, whichever process made them.
 */
import {
  changes,
  distinctValues,
  row,
  rows,
  type Script,
  type SqlDialect,
  type SqlSchema,
  type SqlValue,
} from '../engines/sql.ts'
import { parseJsonObject } from '../store/json.ts'
import type { CollectionRecord, Distance, DocumentRecord, FieldType, ListRecordQuery } from './contract.ts'
import { checkNotRecreated, checkSameSettings, collectionMissing, documentTaken } from './faults.ts'
import { toPredicate, type FilterNode } from './filter.ts'
import { fromBlob, toBlob } from './blob.ts'
import { parseMetadata } from './records.ts'

/** Tombstones may outnumber the documents only up to here; then the older ones go, and the floor rises over them. */
export const MIN_TOMBSTONES = 1_000
/** Rows that a filter looks at in one statement. */
const CHUNK = 500

/** A collection's row. `n` is never used again, so a collection that was deleted and created anew has another. */
export interface CollectionRow {
  readonly n: number
  readonly dimension: number
  readonly distance: Distance
  /** Number of the last change. */
  readonly change: number
  /** Tombstones up to this change are gone. */
  readonly floor: number
  readonly documents: number
  readonly tombstones: number
}

export interface DocumentRow {
  readonly id: string
  readonly change: number
  readonly created_at: number
  readonly content_hash: string
  readonly escaped: number
  readonly metadata: string
  readonly content: string
  readonly embedding?: Uint8Array
}

/** A document that was written or, without metadata and embedding, deleted. */
export interface ChangeRow {
  readonly id: string
  readonly change: number
  readonly metadata: string | null
  readonly embedding: Uint8Array | null
}

/** How far a reader has come. */
export interface Position {
  readonly n: number
  readonly floor: number
  readonly seen: number
}

export interface Changes {
  readonly collection: CollectionRow
  /** The reader's knowledge is of no use: these are the first changes of all. */
  readonly isRestart: boolean
  readonly rows: readonly ChangeRow[]
}

type Tables = Readonly<Record<'collections' | 'documents' | 'tombstones', string>>

function tablesOf({ quote }: SqlDialect, prefix: string): Tables {
  return {
    collections: quote(`${prefix}collections`),
    documents: quote(`${prefix}documents`),
    tombstones: quote(`${prefix}tombstones`),
  }
}

export function knowledgeSchema(dialect: SqlDialect, prefix: string): SqlSchema {
  const { collections, documents, tombstones } = tablesOf(dialect, prefix)
  const index = dialect.quote(`${prefix}documents_by_change`)
  const up = [
    `CREATE TABLE ${collections} (
      n INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, name TEXT NOT NULL,
      dimension INTEGER NOT NULL, distance TEXT NOT NULL, fields TEXT NOT NULL,
      change INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 0,
      documents INTEGER NOT NULL DEFAULT 0, tombstones INTEGER NOT NULL DEFAULT 0,
      UNIQUE (workspace, name)) STRICT`,
    // What filters read comes before what is large, so that reading it leaves the rest on its pages.
    `CREATE TABLE ${documents} (
      collection INTEGER NOT NULL, id TEXT NOT NULL, change INTEGER NOT NULL, created_at INTEGER NOT NULL,
      content_hash TEXT NOT NULL, escaped INTEGER NOT NULL, metadata TEXT NOT NULL, content TEXT NOT NULL, embedding BLOB NOT NULL,
      PRIMARY KEY (collection, id)) STRICT`,
    `CREATE UNIQUE INDEX ${index} ON ${documents} (collection, change)`,
    `CREATE TABLE ${tombstones} (
      collection INTEGER NOT NULL, change INTEGER NOT NULL, id TEXT NOT NULL,
      PRIMARY KEY (collection, change), UNIQUE (collection, id)) STRICT, WITHOUT ROWID`,
  ]
  return { prefix, component: 'knowledge', migrations: [{ version: 1, up }] }
}

const COLUMNS = 'id, change, created_at, content_hash, escaped, metadata, content'

export class KnowledgeSql {
  readonly describe: string
  readonly listCollections: string
  readonly #tables: Tables

  constructor(dialect: SqlDialect, prefix: string) {
    this.#tables = tablesOf(dialect, prefix)
    const settings = `SELECT name, dimension, distance, fields FROM ${this.#tables.collections} WHERE workspace = ?`
    this.describe = `${settings} AND name = ?`
    this.listCollections = `${settings} ORDER BY name`
  }

  /** Values: the name to continue behind where `exclusive`, else '', and the limit. */
  listWorkspaces(exclusive: boolean): string {
    return distinctValues(this.#tables.collections, 'workspace', { exclusive })
  }

  *create(workspace: string, wanted: CollectionRecord): Script<void> {
    const added = yield* changes(
      `INSERT INTO ${this.#tables.collections} (workspace, name, dimension, distance, fields) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (workspace, name) DO NOTHING`,
      workspace,
      wanted.name,
      wanted.dimension,
      wanted.distance,
      JSON.stringify(wanted.fields),
    )
    if (added > 0) return
    const existing = yield* row<SettingsRow>(this.describe, workspace, wanted.name)
    checkSameSettings(toCollectionRecord(existing!), wanted)
  }

  *remove(workspace: string, name: string): Script<boolean> {
    const found = yield* this.#find(workspace, name)
    if (found === undefined) return false
    const { collections, documents, tombstones } = this.#tables
    yield* changes(`DELETE FROM ${documents} WHERE collection = ?`, found.n)
    yield* changes(`DELETE FROM ${tombstones} WHERE collection = ?`, found.n)
    yield* changes(`DELETE FROM ${collections} WHERE n = ?`, found.n)
    return true
  }

  *write(
    workspace: string,
    collection: CollectionRecord,
    documents: readonly DocumentRecord[],
    mode: 'insert' | 'upsert',
  ): Script<void> {
    const before = yield* this.open(workspace, collection)
    let { change } = before
    let added = 0
    let revived = 0
    for (const document of documents) {
      const values = documentValues(document, ++change)
      if (mode === 'upsert' && (yield* this.#update(before.n, document.id, values))) continue
      if (!(yield* this.#insert(before.n, document.id, values))) throw documentTaken(collection.name, document.id)
      added++
      if (before.tombstones > 0) revived += yield* this.#deleteFrom('tombstones', before.n, document.id)
    }
    yield* this.#updateCounts({ ...before, change, documents: before.documents + added, tombstones: before.tombstones - revived })
  }

  *delete(workspace: string, collection: CollectionRecord, ids: readonly string[]): Script<number> {
    return yield* this.#delete(yield* this.open(workspace, collection), ids)
  }

  *deleteMatching(workspace: string, collection: CollectionRecord, filter: FilterNode): Script<number> {
    const found = yield* this.open(workspace, collection)
    const ids: string[] = []
    let after: string | undefined = ''
    while (after !== undefined) {
      const chunk: FilteredChunk = yield* this.matching(found.n, filter, after)
      ids.push(...chunk.ids)
      after = chunk.next
    }
    return yield* this.#delete(found, ids)
  }

  *get(workspace: string, collection: CollectionRecord, ids: readonly string[], withEmbeddings: boolean): Script<DocumentRow[]> {
    const { n } = yield* this.open(workspace, collection)
    return yield* this.byIds(n, ids, withEmbeddings)
  }

  /** In no order. */
  byIds(n: number, ids: readonly string[], withEmbeddings: boolean): Script<DocumentRow[]> {
    const sql = `SELECT ${columns(withEmbeddings)} FROM ${this.#tables.documents}
      WHERE collection = ? AND id IN (SELECT value FROM json_each(?))`
    return rows<DocumentRow>(sql, n, JSON.stringify(ids))
  }

  /** Some documents behind `after`, and where to continue: with a filter there may be more even where fewer than `limit` came. */
  *list(
    workspace: string,
    collection: CollectionRecord,
    { filter, after, limit, withEmbeddings }: ListRecordQuery & { readonly after: string },
  ): Script<{ readonly rows: readonly DocumentRow[]; readonly next: string | undefined }> {
    const { n } = yield* this.open(workspace, collection)
    const from = `FROM ${this.#tables.documents} WHERE collection = ?`
    if (filter === undefined) {
      const sql = `SELECT ${columns(withEmbeddings)} ${from} AND id > ? ORDER BY id LIMIT ?`
      return { rows: yield* rows<DocumentRow>(sql, n, after, limit), next: undefined }
    }
    const { ids, next } = yield* this.matching(n, filter, after)
    const sql = `SELECT ${columns(withEmbeddings)} ${from} AND id IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?`
    return { rows: yield* rows<DocumentRow>(sql, n, JSON.stringify(ids.slice(0, limit)), limit), next }
  }

  /** The ids that match among the next rows behind `after`, and where to continue. */
  *matching(n: number, filter: FilterNode, after: string): Script<FilteredChunk> {
    const accepts = toPredicate(filter)
    const chunk = yield* rows<{ id: string; metadata: string }>(
      `SELECT id, metadata FROM ${this.#tables.documents} WHERE collection = ? AND id > ? ORDER BY id LIMIT ${CHUNK}`,
      n,
      after,
    )
    const ids = chunk.filter((found) => accepts(parseMetadata(found))).map(({ id }) => id)
    return { ids, next: chunk.length < CHUNK ? undefined : chunk.at(-1)!.id }
  }

  /** The next changes behind a position, oldest first; undefined where there is no such collection. */
  *changesSince(workspace: string, name: string, position: Position | undefined, limit: number): Script<Changes | undefined> {
    const collection = yield* this.#find(workspace, name)
    if (collection === undefined) return undefined
    const isRestart = position === undefined || isUseless(position, collection)
    return { collection, isRestart, rows: yield* this.#changes(collection, isRestart ? 0 : position.seen, limit) }
  }

  /** All changes behind a position; undefined where it is of no use any more. */
  *missed(workspace: string, collection: CollectionRecord, position: Position): Script<readonly ChangeRow[] | undefined> {
    const found = yield* this.open(workspace, collection)
    return isUseless(position, found) ? undefined : yield* this.#changes(found, position.seen, -1)
  }

  /** The row of a collection that a call was checked against. */
  *open(workspace: string, collection: CollectionRecord): Script<CollectionRow> {
    const found = yield* this.#find(workspace, collection.name)
    if (found === undefined) throw collectionMissing(collection.name)
    checkNotRecreated(found, collection)
    return found
  }

  #find(workspace: string, name: string): Script<CollectionRow | undefined> {
    return row<CollectionRow>(
      `SELECT n, dimension, distance, change, floor, documents, tombstones FROM ${this.#tables.collections} WHERE workspace = ? AND name = ?`,
      workspace,
      name,
    )
  }

  *#changes({ n, change }: CollectionRow, from: number, limit: number): Script<readonly ChangeRow[]> {
    if (from === change) return []
    const { documents, tombstones } = this.#tables
    const sql = `SELECT change, id, metadata, embedding FROM ${documents} WHERE collection = ? AND change > ?
      UNION ALL SELECT change, id, NULL, NULL FROM ${tombstones} WHERE collection = ? AND change > ?
      ORDER BY change LIMIT ?`
    return yield* rows<ChangeRow>(sql, n, from, n, from, limit)
  }

  *#delete(before: CollectionRow, ids: readonly string[]): Script<number> {
    let { change } = before
    for (const id of ids) {
      if ((yield* this.#deleteFrom('documents', before.n, id)) === 0) continue
      const sql = `INSERT INTO ${this.#tables.tombstones} (collection, change, id) VALUES (?, ?, ?)`
      yield* changes(sql, before.n, ++change, id)
    }
    const deleted = change - before.change
    if (deleted === 0) return 0
    const after = { ...before, change, documents: before.documents - deleted, tombstones: before.tombstones + deleted }
    yield* this.#updateCounts(yield* this.#compacted(after))
    return deleted
  }

  /** Half of the tombstones stay, so that readers which are nearly up to date need not load everything anew. */
  *#compacted(collection: CollectionRow): Script<CollectionRow> {
    const allowed = Math.max(MIN_TOMBSTONES, collection.documents)
    if (collection.tombstones <= allowed) return collection
    const newest = `SELECT change FROM ${this.#tables.tombstones} WHERE collection = ? ORDER BY change DESC LIMIT 1 OFFSET ?`
    const { change: floor } = (yield* row<{ change: number }>(newest, collection.n, Math.floor(allowed / 2)))!
    const purged = yield* changes(
      `DELETE FROM ${this.#tables.tombstones} WHERE collection = ? AND change <= ?`,
      collection.n,
      floor,
    )
    return { ...collection, floor, tombstones: collection.tombstones - purged }
  }

  *#insert(n: number, id: string, values: readonly SqlValue[]): Script<boolean> {
    const sql = `INSERT INTO ${this.#tables.documents} (change, created_at, content_hash, escaped, metadata, content, embedding, collection, id)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (collection, id) DO NOTHING`
    return (yield* changes(sql, ...values, n, id)) > 0
  }

  *#update(n: number, id: string, values: readonly SqlValue[]): Script<boolean> {
    const sql = `UPDATE ${this.#tables.documents} SET change = ?, created_at = ?, content_hash = ?, escaped = ?, metadata = ?, content = ?,
      embedding = ? WHERE collection = ? AND id = ?`
    return (yield* changes(sql, ...values, n, id)) > 0
  }

  #deleteFrom(table: 'documents' | 'tombstones', n: number, id: string): Script<number> {
    return changes(`DELETE FROM ${this.#tables[table]} WHERE collection = ? AND id = ?`, n, id)
  }

  #updateCounts({ n, change, floor, documents, tombstones }: CollectionRow): Script<number> {
    const sql = `UPDATE ${this.#tables.collections} SET change = ?, floor = ?, documents = ?, tombstones = ? WHERE n = ?`
    return changes(sql, change, floor, documents, tombstones, n)
  }
}

export interface FilteredChunk {
  readonly ids: readonly string[]
  /** The id to continue behind; undefined at the end. */
  readonly next: string | undefined
}

export interface SettingsRow {
  readonly name: string
  readonly dimension: number
  readonly distance: Distance
  /** JSON. */
  readonly fields: string
}

export function toCollectionRecord({ name, dimension, distance, fields }: SettingsRow): CollectionRecord {
  return { name, dimension, distance, fields: parseJsonObject(fields, 'the fields of a collection') as Record<string, FieldType> }
}

export function toDocumentRecord(found: DocumentRow): DocumentRecord {
  return {
    id: found.id,
    content: found.content,
    escaped: found.escaped !== 0,
    metadata: found.metadata,
    contentHash: found.content_hash,
    createdAt: found.created_at,
    embedding: found.embedding && fromBlob(found.embedding),
  }
}

/** It reached another collection of that name, or has not seen deletions whose tombstones are gone. */
function isUseless({ n, floor, seen }: Position, collection: CollectionRow): boolean {
  return n !== collection.n || (floor < collection.floor && seen < collection.floor)
}

function columns(withEmbeddings: boolean): string {
  return withEmbeddings ? `${COLUMNS}, embedding` : COLUMNS
}

function documentValues(document: DocumentRecord, change: number): SqlValue[] {
  const { createdAt, contentHash, escaped, metadata, content, embedding } = document
  return [change, createdAt, contentHash, escaped ? 1 : 0, metadata, content, toBlob(embedding!)]
}
