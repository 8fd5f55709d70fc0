/** The conversation suite: every backend passes it in both views, every broken one fails by the case meant for it. */
import { describe, expect, it } from 'vitest'
import {
  conversationCases,
  conversationProperty,
  defineConformance,
  formatReport,
  runConformance,
  type ConformanceReport,
} from '../../src/conformance/index.ts'
import { replacing } from './broken/conversation-wrappers.ts'
import { brokenConversations, type BrokenConversation } from './broken/conversation.ts'
import { asyncSqliteHarness, jsonHarness, memoryHarness, sqliteHarness } from './conversation-harness.ts'
import { recordedInProcess } from './recorded.ts'

defineConformance(recordedInProcess('conversation', 'memory'), {
  name: 'conversation on memory',
  cases: conversationCases,
  harness: memoryHarness(),
})
defineConformance(recordedInProcess('conversation', 'sqlite'), {
  name: 'conversation on sqlite',
  cases: conversationCases,
  harness: sqliteHarness(),
})
defineConformance(recordedInProcess('conversation', 'async_sqlite'), {
  name: 'conversation on async_sqlite',
  cases: conversationCases,
  harness: asyncSqliteHarness(),
})
defineConformance(recordedInProcess('conversation', 'json'), {
  name: 'conversation on json',
  cases: conversationCases,
  harness: jsonHarness(),
})

describe('the conversation cases', () => {
  it('have an id and a sentence each', () => {
    const ids = conversationCases.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    for (const { id, sentence } of conversationCases) {
      expect(id).toMatch(/^conversation(\/[a-z0-9-]+){1,3}$/)
      expect(sentence).toMatch(/^.{10,}\.$/)
    }
  })
})

describe('the conversation model', () => {
  it('agrees with memory', () => conversationProperty(memoryHarness(), { runs: 200 }))
  it('agrees with sqlite', () => conversationProperty(sqliteHarness(), { runs: 200 }))
  it('agrees with json', () => conversationProperty(jsonHarness(), { runs: 200 }))
  it('agrees with async_sqlite', () => conversationProperty(asyncSqliteHarness(), { runs: 100 }))

  for (const name of [
    'a patch drops the fields that it does not name',
    'a seq is used again after a deletion',
    'ids are trimmed',
  ]) {
    it(`disagrees where ${name}`, async () => {
      const broken = brokenConversations.find((each) => each.name === name)
      await expect(conversationProperty(memoryHarness(broken), { runs: 200, seed: 1 })).rejects.toThrow('Counterexample')
    })
  }
})

/** Backends that can less, and say so. */
const MODEST: readonly Pick<BrokenConversation, 'name' | 'breaks'>[] = [
  {
    name: 'no search',
    breaks: (backend) => replacing(backend, { capabilities: { search: false }, search: undefined }),
  },
  {
    name: 'low limits',
    breaks: (backend) => replacing(backend, { limits: { contentBytes: 200_000, jsonBytes: 1_000_000, batch: 25 } }),
  },
]

function suiteOn(broken?: Partial<BrokenConversation>, only?: readonly string[]): Promise<ConformanceReport> {
  return runConformance({ cases: conversationCases, harness: memoryHarness(broken), only, concurrency: 8, timeoutMs: 3_000 })
}

function failedIds(report: ConformanceReport): string[] {
  return report.results.filter(({ status }) => status === 'failed').map(({ id }) => id)
}

describe('broken conversation backends', () => {
  it('is the break that fails them, not the harness', async () => {
    const report = await suiteOn()
    expect(report.failed, formatReport(report)).toBe(0)
  })

  for (const modest of MODEST) {
    it(`may have ${modest.name}`, async () => {
      const report = await suiteOn(modest)
      expect(report.failed, formatReport(report)).toBe(0)
    })
  }

  for (const broken of brokenConversations) {
    it(`${broken.name}: caught by ${broken.caughtBy}`, async () => {
      expect(failedIds(await suiteOn(broken, [broken.caughtBy]))).toContain(broken.caughtBy)
    })
  }
})
