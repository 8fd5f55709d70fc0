/** One collection in both of its places: its documents in the sidecar, their vectors in the vector store. */
import type { BackendCall } from '../store/contract.ts'
import type { DocumentRecord } from './contract.ts'
import { collectionMissing } from './faults.ts'
import { decodeDocument, decodeVector, encodeDocument, type KeptDocument } from './langchain-codec.ts'
import { directorySpace, documentsSpace, type Located } from './langchain-directory.ts'
import { inBatches, type Sidecar, type SidecarEntry } from './langchain-sidecar.ts'
import type { NewVector, Vectors } from './langchain-vectors.ts'

/** What a vector store is told of a document besides its vector. */
export type Describe = (record: DocumentRecord) => Pick<NewVector, 'pageContent' | 'metadata'>

/** The vector that stands for a document now. */
export interface Present {
  readonly tag: string
  readonly vectorId: string
  readonly version: string
}

export class Shelf {
  readonly located: Located
  readonly vectors: Vectors
  readonly describe: Describe
  readonly #sidecar: Sidecar
  readonly #directoryKey: string
  readonly #space: string

  constructor(located: Located, sidecar: Sidecar, directoryKey: string, vectors: Vectors, describe: Describe) {
    this.located = located
    this.vectors = vectors
    this.describe = describe
    this.#sidecar = sidecar
    this.#directoryKey = directoryKey
    this.#space = documentsSpace(located.generation)
  }

  /** Documents that one commit writes or deletes. */
  get commitKeys(): number {
    return this.#sidecar.commitKeys
  }

  // ── Documents ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Those that exist. */
  async read(ids: readonly string[], call: BackendCall | undefined): Promise<(KeptDocument & Present)[]> {
    const entries = await this.#sidecar.entries(this.#space, ids, call)
    return Array.from(entries, ([id, { value, version }]) => ({ ...decodeDocument(value, id), version }))
  }

  /** The same, without reading more of them than that they are there. */
  async present(ids: readonly string[], call: BackendCall | undefined): Promise<Map<string, Present>> {
    const entries = await this.#sidecar.entries(this.#space, ids, call)
    return new Map(Array.from(entries, ([id, { value, version }]) => [id, { ...decodeVector(value), version }]))
  }

  /** Pages of ids behind `after`, in bytewise order. */
  ids(call: BackendCall | undefined, after?: string): AsyncGenerator<string[], void> {
    return this.#sidecar.pages(this.#space, '', call, after)
  }

  /** Writes where the documents are still as they were found; else false. */
  replace(documents: readonly KeptDocument[], found: ReadonlyMap<string, Present>, call?: BackendCall): Promise<boolean> {
    const checks = documents.map(({ record: { id } }) => ({ key: id, version: found.get(id)?.version ?? null }))
    const set = documents.map((document) => ({ key: document.record.id, value: encodeDocument(document) }))
    return this.#sidecar.commit(this.#space, { checks, set }, call)
  }

  /** Deletes where the documents are still as they were found; else false. */
  remove(found: readonly (readonly [id: string, present: Present])[], call?: BackendCall): Promise<boolean> {
    const checks = found.map(([key, { version }]) => ({ key, version }))
    return this.#sidecar.commit(this.#space, { checks, delete: found.map(([id]) => id) }, call)
  }

  /** Deletes whatever these are by now. */
  async erase(ids: readonly string[], call: BackendCall | undefined): Promise<void> {
    for (const batch of inBatches(ids, this.commitKeys)) await this.#sidecar.commit(this.#space, { delete: batch }, call)
  }

  // ── Notes of what is under way ────────────────────────────────────────────────────────────────────────────────────

  /** Refused where the collection was deleted meanwhile, so that whoever deleted it has seen every note of it. */
  async note(name: string, value: string, call: BackendCall | undefined): Promise<void> {
    const [key, version] = [this.#directoryKey, this.located.version]
    const set = [{ key: this.#noteKey(name), value }]
    const isOne = this.commitKeys >= 2
    if (await this.#sidecar.commit(this.#directory, isOne ? { checks: [{ key, version }], set } : { set }, call)) {
      if (isOne || (await this.#sidecar.entry(this.#directory, key, call))?.version === version) return
      await this.forget(name, call)
    }
    throw collectionMissing(this.located.record.name)
  }

  async notes(call: BackendCall | undefined): Promise<{ readonly name: string; readonly entry: SidecarEntry }[]> {
    const start = this.#noteKey('')
    const found: { name: string; entry: SidecarEntry }[] = []
    for await (const keys of this.#sidecar.pages(this.#directory, start, call)) {
      const entries = await this.#sidecar.entries(this.#directory, keys, call)
      found.push(...Array.from(entries, ([key, entry]) => ({ name: key.slice(start.length), entry })))
    }
    return found
  }

  async forget(name: string, call: BackendCall | undefined): Promise<void> {
    await this.#sidecar.commit(this.#directory, { delete: [this.#noteKey(name)] }, call)
  }

  get #directory(): string {
    return directorySpace(this.located.workspace)
  }

  #noteKey(name: string): string {
    return `n:${this.#sidecar.prefix}:${this.located.generation}:${name}`
  }
}
