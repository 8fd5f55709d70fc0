/** The vectors of a collection in this process's memory, kept up to date with a database that other processes write to as well. */
import { setImmediate as turn } from 'node:timers/promises'
import type { SqlEngine } from '../engines/sql.ts'
import { fromBlob } from './blob.ts'
import { collectionMissing } from './faults.ts'
import { parseMetadata } from './records.ts'
import { createScan, type VectorScan } from './scan.ts'
import type { ChangeRow, CollectionRow, KnowledgeSql, Position } from './sql.ts'

/** Rows taken over in one go; between two of them the event loop gets its turn. */
const CHUNK = 500

export interface Loaded extends Position {
  readonly collection: CollectionRow
  /** Never behind the position; ahead of it once others have loaded more. */
  readonly scan: VectorScan<undefined>
}

export class LiveIndex {
  readonly #engine: SqlEngine
  readonly #sql: KnowledgeSql
  readonly #workspace: string
  readonly #name: string
  #loaded: Loaded | undefined
  #running: Promise<Loaded> | undefined
  #next: Promise<Loaded> | undefined

  constructor(engine: SqlEngine, sql: KnowledgeSql, workspace: string, name: string) {
    this.#engine = engine
    this.#sql = sql
    this.#workspace = workspace
    this.#name = name
  }

  /**
   * The index with every change in it that was committed when this was called. Callers share one load. One that is under way may have
   * read before the caller's own last write, so whoever comes later waits for it and shares the next, which is short.
   */
  fresh(): Promise<Loaded> {
    if (this.#running === undefined) {
      this.#running = this.#refresh().finally(() => (this.#running = undefined))
      return this.#running
    }
    this.#next ??= this.#afterRunning(this.#running)
    return this.#next
  }

  async #afterRunning(running: Promise<unknown>): Promise<Loaded> {
    // Its failure is for its own callers.
    await running.catch(() => undefined)
    this.#next = undefined
    return this.fresh()
  }

  /** A restart loads beside the old state, which searches that began before may still use. */
  async #refresh(): Promise<Loaded> {
    let loaded = this.#loaded
    for (;;) {
      const position = loaded
      const changes = await this.#engine.read(() => this.#sql.changesSince(this.#workspace, this.#name, position, CHUNK))
      if (changes === undefined) {
        this.#loaded = undefined
        throw collectionMissing(this.#name)
      }
      const { collection, isRestart, rows } = changes
      const scan =
        isRestart || loaded === undefined ? createScan<undefined>(collection.dimension, collection.distance) : loaded.scan
      for (const row of rows) take(scan, row)
      const seen = rows.length < CHUNK ? collection.change : rows.at(-1)!.change
      loaded = { n: collection.n, floor: collection.floor, seen, collection, scan }
      if (seen === collection.change) return (this.#loaded = loaded)
      await turn()
    }
  }
}

function take(scan: VectorScan<undefined>, { id, metadata, embedding }: ChangeRow): void {
  if (embedding === null || metadata === null) scan.delete(id)
  else scan.upsert(id, fromBlob(embedding), parseMetadata({ id, metadata }), undefined)
}
