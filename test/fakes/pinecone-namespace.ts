/** One namespace of the fake: a log of writes, and replicas that apply it later. */
import type { Metadata } from './pinecone-filter.ts'

export interface Stored {
  readonly id: string
  readonly values: Float32Array
  readonly metadata: Metadata | undefined
}

export type Records = Map<string, Stored>

interface Entry {
  readonly lsn: number
  readonly at: number
  readonly apply: (records: Records) => void
}

interface Replica {
  readonly records: Records
  applied: number
  lsn: number
}

/** What a read sees. */
export interface Seen {
  readonly records: Records
  /** Of the last write that it shows; undefined where it shows no records, as the real engine then leaves the header out. */
  readonly lsn: number | undefined
}

export class Namespace {
  readonly #log: Entry[] = []
  readonly #replicas: readonly Replica[]
  #turn = 0

  constructor(replicas: number) {
    this.#replicas = Array.from({ length: replicas }, () => ({ records: new Map(), applied: 0, lsn: 0 }))
  }

  /** Accepts a write, which gets the next log sequence number. */
  write(apply: (records: Records) => void): number {
    const lsn = this.#log.length + 1
    this.#log.push({ lsn, at: Date.now(), apply })
    return lsn
  }

  /** What the next replica shows by now. Each is later than the one before it. */
  read(lagMs: number): Seen {
    const turn = this.#turn++ % this.#replicas.length
    const replica = this.#replicas[turn]!
    const until = Date.now() - lagMs * (turn + 1)
    for (let next = this.#log[replica.applied]; next !== undefined && next.at <= until; next = this.#log[replica.applied]) {
      next.apply(replica.records)
      replica.applied++
      replica.lsn = next.lsn
    }
    return { records: replica.records, lsn: replica.records.size === 0 ? undefined : replica.lsn }
  }

  /** What it will show. */
  get final(): Records {
    const records: Records = new Map()
    for (const { apply } of this.#log) apply(records)
    return records
  }
}
