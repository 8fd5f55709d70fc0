/**
 * Knowledge in pgvector against `pg` by hand: the same data (filters ask the metadata itself, where the store has a column for them), an
 * HNSW index of the same build, searched as widely, and the same kind of index for filters. A store's call looks first whether the
 * collection is there and what it is like. By hand that is done as well, but for the lines that say it is known.
 */
import { createHash, randomBytes } from 'node:crypto'
import { Pool } from 'pg'
import type { Service } from '../../scripts/services/home.ts'
import { KNOWLEDGE_STORES } from '../../src/index.ts'
import type { KnowledgeStore } from '../../src/knowledge/store.ts'
import type { Comparison, Prepared, ServerBench } from './frame.ts'

const DIMENSION = 384
const DOCUMENTS = 5_000
const BATCH = 100
const LIMIT = 10
const CONTENT = 'All work and no play makes a dull chunk of text. '.repeat(20)
/** As the store sets them in each search. */
const SETTINGS = '-c hnsw.ef_search=100 -c hnsw.iterative_scan=relaxed_order'

export const pgvectorKnowledge: ServerBench = {
  title: 'pgvector: knowledge',
  service: 'postgres',
  sides: ['pg', 'holdfast'],
  prepare,
}

async function prepare({ url }: Service): Promise<Prepared> {
  const schema = `bench_${randomBytes(4).toString('hex')}`
  const pool = new Pool({ connectionString: url, options: SETTINGS })
  const store = await KNOWLEDGE_STORES.create('pgvector', { url, schema })
  const close = async (): Promise<void> => {
    await store.close()
    await pool.query(`DROP SCHEMA ${schema} CASCADE`)
    await pool.end()
  }
  const raw = byHand(pool, schema)
  await pool.query(raw.tables)
  await store.createCollection('docs', { dimension: DIMENSION })
  for (let at = 0; at < DOCUMENTS; at += 500) {
    const documents = Array.from({ length: 500 }, (_, i) => documentOf(at + i))
    await raw.upsert(documents)
    await store.upsert('docs', documents)
  }
  await pool.query('VACUUM ANALYZE')
  return { comparisons: [...reading(raw, store), ...writing(raw, store)], close }
}

interface Document {
  readonly id: string
  readonly content: string
  readonly metadata: { readonly group: number; readonly source: string }
  readonly embedding: readonly number[]
}

function documentOf(n: number): Document {
  const metadata = { group: n % 10, source: `page-${n}` }
  return { id: `doc-${n % DOCUMENTS}`, content: `${CONTENT}${n}`, metadata, embedding: embeddingOf(n) }
}

/** With as many digits as embeddings have that come over HTTP. */
function embeddingOf(n: number): number[] {
  const bytes = createHash('shake256', { outputLength: 2 * DIMENSION })
    .update(String(n))
    .digest()
  return Array.from({ length: DIMENSION }, (_, i) => Number((bytes.readInt16LE(2 * i) / 327_680).toFixed(8)))
}

type ByHand = ReturnType<typeof byHand>
type Work = (round: number) => unknown

function pair(what: string, rounds: number, hand: Work, ours: Work): Comparison {
  return {
    what,
    rounds,
    contenders: [
      { name: 'pg', run: hand },
      { name: 'holdfast', run: ours },
    ],
  }
}

const idOf = (round: number): string => `doc-${(round * 7_919) % DOCUMENTS}`
const queries = Array.from({ length: 50 }, (_, i) => embeddingOf(-1 - i))
const queryOf = (round: number): readonly number[] => queries[round % queries.length]!

function reading(raw: ByHand, store: KnowledgeStore): Comparison[] {
  const get: Work = (i) => store.get('docs', [idOf(i)])
  const search: Work = (i) => store.search('docs', { embedding: queryOf(i), limit: LIMIT })
  const filtered: Work = (i) => store.search('docs', { embedding: queryOf(i), limit: LIMIT, filter: { group: i % 10 } })
  return [
    pair('get', 500, (i) => raw.looked(() => raw.get(idOf(i))), get),
    pair('get, collection known', 500, (i) => raw.get(idOf(i)), get),
    pair(`search ${LIMIT} of ${DOCUMENTS.toLocaleString('en')}`, 300, (i) => raw.looked(() => raw.search(queryOf(i))), search),
    pair(`search ${LIMIT} of ${DOCUMENTS.toLocaleString('en')}, collection known`, 300, (i) => raw.search(queryOf(i)), search),
    pair('search filtered to a tenth', 300, (i) => raw.looked(() => raw.search(queryOf(i), { group: i % 10 })), filtered),
  ]
}

/** Each vector differs from what is there, and each side's from the other's by nothing. */
function writing(raw: ByHand, store: KnowledgeStore): Comparison[] {
  const one = (round: number): Document[] => [documentOf(DOCUMENTS + round)]
  const many = (round: number): Document[] =>
    Array.from({ length: BATCH }, (_, i) => documentOf(2 * DOCUMENTS + BATCH * round + i))
  return [
    pair(
      'upsert 1',
      200,
      (i) => raw.looked(() => raw.upsert(one(i))),
      (i) => store.upsert('docs', one(i)),
    ),
    pair(
      `upsert ${BATCH}`,
      20,
      (i) => raw.looked(() => raw.upsert(many(i))),
      (i) => store.upsert('docs', many(i)),
    ),
  ]
}

interface Row {
  readonly embedding?: string
}

function byHand(pool: Pool, schema: string) {
  const [collections, docs] = [`${schema}.raw_collections`, `${schema}.raw_docs`]
  const columns = 'id, created_at, content_hash, metadata, content'
  return {
    tables: `CREATE TABLE ${collections} (name text PRIMARY KEY, dimension int NOT NULL, distance text NOT NULL);
      INSERT INTO ${collections} VALUES ('docs', ${DIMENSION}, 'cosine');
      CREATE TABLE ${docs} (id text COLLATE "C" PRIMARY KEY, created_at bigint NOT NULL, content_hash text NOT NULL,
        metadata jsonb NOT NULL, content text NOT NULL, embedding vector(${DIMENSION}) NOT NULL);
      CREATE INDEX ON ${docs} USING gin (metadata jsonb_path_ops);
      CREATE INDEX ON ${docs} USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64)`,
    /** After a look whether the collection is there. */
    looked: async <T>(work: () => Promise<T>): Promise<T> => {
      const { rows } = await pool.query(`SELECT name, dimension, distance FROM ${collections} WHERE name = $1`, ['docs'])
      if (rows.length === 0) throw new Error('no such collection')
      return work()
    },
    get: async (id: string) => {
      const { rows } = await pool.query<Row>(`SELECT ${columns}, embedding FROM ${docs} WHERE id = ANY ($1)`, [[id]])
      return rows.map((row) => ({ ...row, embedding: Float32Array.from(JSON.parse(row.embedding!) as number[]) }))
    },
    search: async (query: readonly number[], filter?: object) => {
      const values = [JSON.stringify(query), LIMIT, ...(filter === undefined ? [] : [JSON.stringify(filter)])]
      const { rows } = await pool.query<Row>(
        `SELECT ${columns}, embedding <=> $1 AS between FROM ${docs} ${filter === undefined ? '' : 'WHERE metadata @> $3::jsonb'}
          ORDER BY embedding <=> $1 LIMIT $2`,
        values,
      )
      return rows
    },
    upsert: (documents: readonly Document[]) =>
      pool.query(
        `INSERT INTO ${docs} (${columns}, embedding)
          SELECT id, $1, hash, metadata, content, embedding
          FROM unnest($2::text[], $3::text[], $4::jsonb[], $5::text[], $6::vector[]) AS d (id, hash, metadata, content, embedding)
          ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at, content_hash = excluded.content_hash,
            metadata = excluded.metadata, content = excluded.content, embedding = excluded.embedding`,
        [
          Date.now(),
          documents.map(({ id }) => id),
          documents.map(({ content }) => createHash('sha256').update(content).digest('hex')),
          documents.map(({ metadata }) => JSON.stringify(metadata)),
          documents.map(({ content }) => content),
          documents.map(({ embedding }) => JSON.stringify(embedding)),
        ],
      ),
  }
}
