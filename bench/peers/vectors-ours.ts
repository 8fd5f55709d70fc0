/** Holdfast's embedded stores, and the loop that needs no library. */
import { join } from 'node:path'
import { KNOWLEDGE_STORES, type KnowledgeStore } from '../../src/index.ts'
import { LIMIT, TENTH } from './vectors-data.ts'
import type { VectorContender, VectorStore } from './vectors-frame.ts'
import { plainScan } from './vectors-plain.ts'

export const holdfastSqlite: VectorContender = {
  name: 'holdfast sqlite',
  durability: 'WAL, synchronous=FULL',
  open: async (folder, dimension) =>
    knowledge(await KNOWLEDGE_STORES.create('sqlite', { path: join(folder, 'knowledge.db') }), dimension),
}

export const holdfastMemory: VectorContender = {
  name: 'holdfast memory',
  durability: 'none: in memory',
  open: async (_, dimension) => knowledge(await KNOWLEDGE_STORES.create('memory'), dimension),
}

async function knowledge(store: KnowledgeStore, dimension: number): Promise<VectorStore> {
  await store.createCollection('docs', { dimension })
  return {
    insertion: (rows) => {
      const documents = rows.map(({ id, content, embedding, tenth }) => ({ id, content, embedding, metadata: { tenth } }))
      return () => store.insert('docs', documents)
    },
    search: async (embedding, filtered) => {
      const hits = await store.search('docs', { embedding, limit: LIMIT, filter: filtered ? { tenth: TENTH } : {} })
      return hits.map(({ id }) => id)
    },
    close: () => store.close(),
  }
}

export const plain: VectorContender = {
  name: 'plain JavaScript',
  durability: 'none: in memory',
  note: 'one Float32Array and a loop',
  // Grows as a user's array would; what is doubled is never more than half empty.
  open: async (_, dimension) => {
    let matrix = new Float32Array(1_024 * dimension)
    const ids: string[] = []
    const tenths: number[] = []
    const isWanted = (i: number): boolean => tenths[i] === TENTH
    return {
      insertion: (rows) => () => {
        if ((ids.length + rows.length) * dimension > matrix.length) matrix = doubled(matrix)
        for (const { id, embedding, tenth } of rows) {
          matrix.set(embedding, ids.length * dimension)
          ids.push(id)
          tenths.push(tenth)
        }
      },
      search: async (query, filtered) => {
        const used = matrix.subarray(0, ids.length * dimension)
        return plainScan(used, query, LIMIT, filtered ? isWanted : undefined).map((i) => ids[i]!)
      },
      close: () => {},
    }
  },
}

function doubled(matrix: Float32Array): Float32Array<ArrayBuffer> {
  const larger = new Float32Array(matrix.length * 2)
  larger.set(matrix)
  return larger
}
