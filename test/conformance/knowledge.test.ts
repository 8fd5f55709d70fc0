/** The knowledge suite: every backend passes it in both views, every broken one fails by the case meant for it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Harness } from '../../src/conformance/case.ts'
import { knowledgeCases } from '../../src/conformance/knowledge.ts'
import { knowledgeProperty } from '../../src/conformance/property/knowledge.ts'
import { filterProperty } from '../../src/conformance/property/knowledge-filter.ts'
import { formatReport } from '../../src/conformance/report.ts'
import { defineConformance, runConformance } from '../../src/conformance/run.ts'
import { create as createMemory } from '../../src/knowledge/backends/memory.ts'
import { create as createSqlite } from '../../src/knowledge/backends/sqlite.ts'
import type { KnowledgeBackend } from '../../src/knowledge/contract.ts'
import type { KnowledgeStore } from '../../src/knowledge/store.ts'
import { flat, lagging, modest } from './broken/knowledge-limited.ts'
import { override } from './broken/knowledge-wrappers.ts'
import { brokenKnowledge } from './broken/knowledge.ts'
import { localContext, localHarness, type LocalPlace } from './harness.ts'
import { recordedInProcess } from './recorded.ts'

type Wrap = (backend: KnowledgeBackend) => KnowledgeBackend

const asItIs: Wrap = (backend) => backend

function sqlite(): Harness<KnowledgeStore> {
  return localHarness('knowledge', 'sqlite', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-knowledge-'))
    const path = join(folder, 'knowledge.db')
    return {
      connect: () => createSqlite({ path }, localContext('knowledge', 'sqlite')),
      remove: () => rm(folder, { recursive: true, force: true, maxRetries: 3 }),
    }
  })
}

/** In memory, but outliving its handles, as a server would. */
function memory(breaks?: Wrap): Harness<KnowledgeStore> {
  const make = async (): Promise<LocalPlace<KnowledgeBackend>> => {
    const backend = await createMemory({}, localContext('knowledge', 'memory'))
    return { connect: () => override(backend, { close: async () => undefined }), remove: () => backend.close() }
  }
  return localHarness('knowledge', 'memory', make, { breaks })
}

const RUNS = 200

defineConformance(recordedInProcess('knowledge', 'memory'), {
  name: 'knowledge on memory',
  cases: knowledgeCases,
  harness: memory(),
})
defineConformance(recordedInProcess('knowledge', 'sqlite'), {
  name: 'knowledge on sqlite',
  cases: knowledgeCases,
  harness: sqlite(),
})
describe('knowledge backends that can do less and say so', () => {
  for (const wrap of [modest, flat, lagging]) {
    it(`${wrap.name}: passes`, async () => {
      const report = await runConformance({ cases: knowledgeCases, harness: memory(wrap), concurrency: 24 })
      expect(report.failed, formatReport(report)).toBe(0)
    })
  }

  it('leave no case out: each of them runs somewhere', async () => {
    const reports = await Promise.all(
      [asItIs, modest, flat].map((wrap) => runConformance({ cases: knowledgeCases, harness: memory(wrap), concurrency: 24 })),
    )
    const ran = new Set(
      reports.flatMap(({ results }) => results.filter(({ status }) => status !== 'not-run').map(({ id }) => id)),
    )
    expect(knowledgeCases.map(({ id }) => id).filter((id) => !ran.has(id))).toEqual([])
  })
})

describe('knowledge against a model', () => {
  const harnesses = { memory: () => memory(), sqlite, modest: () => memory(modest), flat: () => memory(flat) }
  for (const [name, harness] of Object.entries(harnesses)) {
    it(`${name}: random programs give what a list of documents gives`, () => knowledgeProperty(harness(), { runs: RUNS }))
    it(`${name}: random filters match what mingo matches`, () => filterProperty(harness(), { runs: RUNS }))
  }
})

describe('broken knowledge backends', () => {
  it('are named apart and caught by cases that exist', () => {
    expect(new Set(brokenKnowledge.map(({ name }) => name)).size).toBe(brokenKnowledge.length)
    const ids = new Set(knowledgeCases.map(({ id }) => id))
    expect(brokenKnowledge.filter(({ caughtBy }) => !ids.has(caughtBy))).toEqual([])
  })

  for (const { name, breaks, caughtBy } of brokenKnowledge) {
    it(`${name}: caught by ${caughtBy}`, async () => {
      const run = { cases: knowledgeCases, only: [caughtBy], timeoutMs: 15_000 }
      const report = await runConformance({ ...run, harness: memory(breaks) })
      const sound = await runConformance({ ...run, harness: memory() })
      expect(report.failed, formatReport(report)).toBe(1)
      expect(sound.passed, formatReport(sound)).toBe(1)
    })
  }

  const properties = [
    ['$or wants all to hold', filterProperty],
    ['a missing field does not satisfy $nin', filterProperty],
    ['the declared distance is ignored in the ranking', knowledgeProperty],
    ['upsert merges metadata', knowledgeProperty],
    ['insert leaves part of a batch', knowledgeProperty],
    ['search filters after the limit', knowledgeProperty],
  ] as const
  for (const [name, property] of properties) {
    it(`${name}: caught by a random program too`, async () => {
      const { breaks } = brokenKnowledge.find((broken) => broken.name === name)!
      await expect(property(memory(breaks), { runs: 1_000, seed: 1 })).rejects.toThrow(/Counterexample/)
    })
  }
})

describe('the knowledge cases', () => {
  it('have ids of their own, of this kind', () => {
    const ids = knowledgeCases.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids.filter((id) => !/^knowledge(\/[a-z0-9-]+){2,3}$/.test(id))).toEqual([])
  })
})
