/**
 * `npm run bench -- --peer-vectors`: embedded vector search against what users pick instead, from npm and by hand. Every contender in a
 * process of its own, over the same documents; the data in `bench/results/peers-vectors.json`.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { reason } from './frame.ts'
import type { Comparison } from './result.ts'
import { study, type Study } from './vectors-study.ts'
import { installVectorPeers } from './vectors/packages.ts'

const EXACT = ['holdfast sqlite', 'holdfast memory', 'plain JavaScript', 'sqlite-vec', 'LanceDB flat']
const LARGE = [...EXACT, 'LanceDB flat, optimized', 'LanceDB HNSW', 'LangChain MemoryVectorStore']
const SMALL = ['holdfast sqlite', 'plain JavaScript', 'vectra', 'Mastra LibSQLVector']

const TOO_SLOW = {
  vectra: 'it writes its whole JSON file at every insert; see 2,000 × 384',
  'Mastra LibSQLVector': 'it would insert for ten minutes and more; see 2,000 × 384',
}

const STUDIES: readonly Study[] = [
  {
    id: 'clustered',
    title: '100,000 × 384, clustered',
    count: 100_000,
    dimension: 384,
    clusters: 1_000,
    contenders: LARGE,
    absent: TOO_SLOW,
  },
  {
    id: 'isotropic',
    title: '100,000 × 384, isotropic',
    count: 100_000,
    dimension: 384,
    clusters: 0,
    contenders: LARGE,
    absent: TOO_SLOW,
  },
  {
    id: 'wide',
    title: '100,000 × 1,536, clustered',
    count: 100_000,
    dimension: 1_536,
    clusters: 1_000,
    contenders: ['holdfast sqlite', 'plain JavaScript', 'sqlite-vec'],
    absent: {},
  },
  {
    id: 'small',
    title: '2,000 × 384, clustered',
    count: 2_000,
    dimension: 384,
    clusters: 100,
    contenders: SMALL,
    absent: {},
  },
]

/** All studies, or those named. Where the packages cannot be installed, Holdfast is still compared with the plain loop. */
export async function vectorComparisons(names: readonly string[] = []): Promise<Comparison[]> {
  const chosen = STUDIES.filter(({ id }) => names.length === 0 || names.includes(id))
  try {
    installVectorPeers()
  } catch (error) {
    console.error(reason(error))
  }
  const found: Comparison[] = []
  for (const each of chosen) {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
    try {
      found.push(...(await study(each, folder)))
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
  return found
}
