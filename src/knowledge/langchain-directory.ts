/**
 * The collections of each workspace, in the sidecar. A collection's documents lie in a space of their own, named by its generation, which no
 * other collection ever has; so what is left of a deleted one is never taken for what belongs to another of that name.
 */
import { hash, randomUUID } from 'node:crypto'
import { HoldfastError } from '../errors.ts'
import type { BackendCall, WorkspaceRecordQuery } from '../store/contract.ts'
import { compareBytes } from '../store/text.ts'
import type { CollectionRecord } from './contract.ts'
import { checkSameSettings } from './faults.ts'
import { readSidecarJson, type Sidecar, type SidecarEntry } from './langchain-sidecar.ts'

/** A collection, and where the sidecar keeps it. */
export interface Located {
  readonly workspace: string
  readonly record: CollectionRecord
  /** 32 hexadecimal digits. */
  readonly generation: string
  /** Of its entry in the directory. */
  readonly version: string
}

const SPACE_PREFIX = 'k:'

/** The space of a workspace's directory; at most 514 bytes of UTF-8. */
export function directorySpace(workspace: string): string {
  return `${SPACE_PREFIX}${workspace}`
}

/** The space of a collection's documents, whose keys are their ids. */
export function documentsSpace(generation: string): string {
  return `kd:${generation}`
}

export class Directory {
  readonly #sidecar: Sidecar

  constructor(sidecar: Sidecar) {
    this.#sidecar = sidecar
  }

  /** The key of a collection's entry. A name may be as long as a key may be, so it is hashed. */
  key(name: string): string {
    return `${this.#prefix}${hash('sha256', name)}`
  }

  async find(workspace: string, name: string, call: BackendCall | undefined): Promise<Located | undefined> {
    const entry = await this.#sidecar.entry(directorySpace(workspace), this.key(name), call)
    return entry && toLocated(workspace, entry)
  }

  async list(workspace: string, call: BackendCall | undefined): Promise<CollectionRecord[]> {
    const found: CollectionRecord[] = []
    for await (const keys of this.#sidecar.pages(directorySpace(workspace), this.#prefix, call)) {
      const entries = await this.#sidecar.entries(directorySpace(workspace), keys, call)
      found.push(...entries.values().map((entry) => toLocated(workspace, entry).record))
    }
    return found.toSorted((a, b) => compareBytes(a.name, b.name))
  }

  async create(workspace: string, record: CollectionRecord, call: BackendCall | undefined): Promise<void> {
    const key = this.key(record.name)
    const value = write({ ...record, generation: randomUUID().replaceAll('-', '') })
    const isNew = await this.#sidecar.commit(
      directorySpace(workspace),
      { checks: [{ key, version: null }], set: [{ key, value }] },
      call,
    )
    if (isNew) return
    const existing = await this.find(workspace, record.name, call)
    if (existing !== undefined) return checkSameSettings(existing.record, record)
    // Deleted in between: as if it had been there no more.
    return this.create(workspace, record, call)
  }

  /** False where it is not there any more. What it held is left to whoever finds its grave. */
  async remove({ workspace, record, generation, version }: Located, call: BackendCall | undefined): Promise<boolean> {
    const space = directorySpace(workspace)
    const key = this.key(record.name)
    const grave = { key: this.#graveKey(generation), value: write({ ...record, generation }) }
    const checks = [{ key, version }]
    if (this.#sidecar.commitKeys >= 2) return this.#sidecar.commit(space, { checks, set: [grave], delete: [key] }, call)
    await this.#sidecar.commit(space, { set: [grave] }, call)
    return this.#sidecar.commit(space, { checks, delete: [key] }, call)
  }

  /** Deleted collections of which something may be left. */
  async graves(workspace: string, call: BackendCall | undefined): Promise<Located[]> {
    const space = directorySpace(workspace)
    const found: Located[] = []
    for await (const keys of this.#sidecar.pages(space, this.#graveKey(''), call)) {
      const entries = await this.#sidecar.entries(space, keys, call)
      found.push(...entries.values().map((entry) => toLocated(workspace, entry)))
    }
    const present = await Promise.all(found.map(({ record }) => this.find(workspace, record.name, call)))
    return found.filter(({ generation }, i) => present[i]?.generation !== generation)
  }

  async closeGrave({ workspace, generation }: Located, call: BackendCall | undefined): Promise<void> {
    await this.#sidecar.commit(directorySpace(workspace), { delete: [this.#graveKey(generation)] }, call)
  }

  /** The workspaces with a collection; what else their directories hold does not count. */
  async workspaces({ after, limit }: WorkspaceRecordQuery, call: BackendCall | undefined): Promise<string[]> {
    const found: string[] = []
    let behind = after === undefined ? undefined : directorySpace(after)
    for (;;) {
      const spaces = await this.#sidecar.listSpaces!({ prefix: SPACE_PREFIX, after: behind, limit }, call)
      for (const space of spaces) {
        const [first] = await this.#sidecar.scan(space, { prefix: this.#prefix, limit: 1 }, call)
        if (first !== undefined) found.push(space.slice(SPACE_PREFIX.length))
      }
      if (spaces.length < limit || found.length >= limit) return found.slice(0, limit)
      behind = spaces.at(-1)
    }
  }

  get #prefix(): string {
    return `c:${this.#sidecar.prefix}:`
  }

  #graveKey(generation: string): string {
    return `g:${this.#sidecar.prefix}:${generation}`
  }
}

type Stored = CollectionRecord & { readonly generation: string }

function write({ name, dimension, distance, fields, generation }: Stored): string {
  return JSON.stringify({ name, dimension, distance, fields, generation } satisfies Stored)
}

function toLocated(workspace: string, entry: SidecarEntry): Located {
  const { generation, ...record } = readSidecarJson(entry, 'a collection') as Partial<Stored>
  if (typeof generation !== 'string' || typeof record.name !== 'string') {
    throw new HoldfastError('CORRUPT', 'what the sidecar holds of a collection is no collection')
  }
  return { workspace, record: record as CollectionRecord, generation, version: entry.version }
}
