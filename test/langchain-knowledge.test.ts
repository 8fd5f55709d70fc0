/** Knowledge in LangChain.js vector stores: the suite over stores with the habits of real ones, and what the backend promises beyond it. */
import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'
import { knowledgeCases } from '../src/conformance/knowledge.ts'
import { filterProperty } from '../src/conformance/property/knowledge-filter.ts'
import { knowledgeProperty } from '../src/conformance/property/knowledge.ts'
import { formatReport } from '../src/conformance/report.ts'
import { defineConformance, runConformance } from '../src/conformance/run.ts'
import type { StateBackend } from '../src/state/contract.ts'
import { over } from './conformance/broken/state/wrappers.ts'
import { recorded } from './conformance/recorded.ts'
import { fakeStore, langchainHarness, sqliteGround, type HarnessOptions } from './langchain-support.ts'

const cases = knowledgeCases
const { version } = createRequire(import.meta.url)('@langchain/core/package.json') as { version: string }

defineConformance({ describe, it }, { name: 'knowledge on langchain beside memory', cases, harness: langchainHarness() })
defineConformance(recorded('knowledge', 'langchain', { engine: '@langchain/core', version, category: 'in process' }), {
  name: 'knowledge on langchain beside sqlite',
  cases,
  harness: langchainHarness({ ground: sqliteGround }),
})

const commits = (commitKeys: number) => (backend: StateBackend) =>
  over(backend, { capabilities: { ...backend.capabilities, commitKeys } })

/** Vector stores and sidecars that can less, or do otherwise. */
const VARIETIES: Readonly<Record<string, HarnessOptions>> = {
  'LangChain’s own store in memory': { make: ({ distance }) => fakeStore(distance) },
  'a store with ids of its own': { habits: { ownIds: true } },
  'a store without ids': { habits: { noIds: true } },
  'a store that cannot delete': { habits: { cannotDelete: true } },
  'a store that adds twice what it has': { habits: { duplicates: true, ownIds: true } },
  'a store whose score is a distance': { habits: { distances: true } },
  'a store that must not be searched while empty': { habits: { needsVectors: true } },
  'a store that gives three hits at most': { habits: { atMost: 3 } },
  'a store that gives none': { habits: { atMost: 0 } },
  'a store where writes show up late': { habits: { lagMs: 30 }, visibility: 'eventual' },
  'a store with texts and metadata': {
    toDocument: ({ content, metadata }) => ({ pageContent: content, metadata: { ...metadata } }),
  },
  'a store whose indexes are dropped': { drop: () => undefined },
  'few candidates': { maxCandidates: 4 },
  'a sidecar with commits of one key': { wrap: commits(1) },
  'a sidecar with commits of seven keys': { wrap: commits(7) },
  'a sidecar with low limits': { wrap: (backend) => over(backend, { limits: { batch: 25, valueBytes: 400_000 } }) },
}

describe('the suite passes on', () => {
  for (const [name, options] of Object.entries(VARIETIES)) {
    it(name, { timeout: 120_000 }, async () => {
      // In a workspace among others, the stricter of the two views.
      const run = { cases, harness: langchainHarness(options), view: 'workspace', concurrency: 24 } as const
      const report = await runConformance(run)
      expect(report.failed, formatReport(report)).toBe(0)
    })
  }
})

describe('random programs', () => {
  const harnesses: Readonly<Record<string, HarnessOptions>> = {
    memory: {},
    sqlite: { ground: sqliteGround },
    'a store that cannot delete': { habits: { cannotDelete: true } },
    'three hits at most, commits of one key': { habits: { atMost: 3 }, wrap: commits(1) },
  }
  for (const [name, options] of Object.entries(harnesses)) {
    it(`${name}: give what a list of documents gives`, { timeout: 120_000 }, () =>
      knowledgeProperty(langchainHarness(options), { runs: 300 }),
    )
    it(`${name}: filters match what mingo matches`, { timeout: 120_000 }, () =>
      filterProperty(langchainHarness(options), { runs: 200 }),
    )
  }
})
