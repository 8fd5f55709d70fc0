/** What the bench must know of a contender in vectors. */
import type { Row } from './vectors-data.ts'

export interface VectorContender {
  readonly name: string
  /** The npm package, of which the version is told; our own has none. */
  readonly package?: string
  /** What it promises about an insert that it has acknowledged. */
  readonly durability: string
  /** How it was set up, where there was a choice. */
  readonly note?: string
  /** Opens an empty store in the folder, for cosine similarity. */
  open(folder: string, dimension: number): Promise<VectorStore>
}

export interface VectorStore {
  /** Brings rows into the contender's own shape, and returns what inserts them: only the latter is timed. */
  insertion(rows: readonly Row[]): () => unknown
  /** What is to be done once after the last insert, e.g. building an index. */
  ready?(): Promise<unknown>
  /** The ids of the best documents; of those only whose `tenth` is `TENTH`, where `filtered`. */
  search(query: Float32Array, filtered: boolean): Promise<readonly string[]>
  close(): unknown
}
