import { join } from 'node:path'
import { KNOWLEDGE_STORES, type NewDocument } from '../../../src/index.ts'
import { kilobyte, times, type Group } from '../hot-paths.ts'

const DIMENSION = 64
const DOCUMENTS = 500

/** A direction of its own for each number. */
function embedding(i: number): Float32Array {
  return Float32Array.from({ length: DIMENSION }, (_, n) => Math.sin((i + 1) * (n + 1)))
}

function document(i: number): NewDocument {
  return { id: `d${i}`, content: kilobyte(i), embedding: embedding(i), metadata: { year: 2_000 + (i % 10) } }
}

export async function open(folder: string): Promise<Group> {
  const store = await KNOWLEDGE_STORES.create('sqlite', { path: join(folder, 'knowledge.db') })
  for (const name of ['read', 'written']) await store.createCollection(name, { dimension: DIMENSION })
  await store.insert('read', times(DOCUMENTS, document))
  const filter = { year: 2_003 }
  return {
    paths: [
      { name: 'insert', run: (i) => store.insert('written', [document(i)]) },
      {
        name: 'insert 100',
        calls: 10,
        run: (i) =>
          store.insert(
            'written',
            times(100, (n) => document(1_000_000 + 100 * i + n)),
          ),
      },
      {
        name: 'get 10',
        run: () =>
          store.get(
            'read',
            times(10, (i) => `d${i}`),
          ),
      },
      { name: 'search 10 of 500', run: (i) => store.search('read', { embedding: embedding(i), limit: 10 }) },
      { name: 'search 10 of 500, filtered', run: (i) => store.search('read', { embedding: embedding(i), limit: 10, filter }) },
    ],
    [Symbol.asyncDispose]: () => store.close(),
  }
}
