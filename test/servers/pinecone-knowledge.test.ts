/** The Pinecone backend against a fake of the service that executes its requests: the whole suite, and random programs. */
import { afterAll, beforeAll, describe, it } from 'vitest'
import type { Harness } from '../../src/conformance/case.ts'
import { knowledgeCases } from '../../src/conformance/knowledge.ts'
import { knowledgeProperty } from '../../src/conformance/property/knowledge.ts'
import { filterProperty } from '../../src/conformance/property/knowledge-filter.ts'
import { defineConformance } from '../../src/conformance/run.ts'
import type { KnowledgeStore } from '../../src/knowledge/store.ts'
import { serverHarness } from '../conformance/harness.ts'
import { recorded } from '../conformance/recorded.ts'
import { FakePinecone } from '../fakes/pinecone.ts'
import { Proxy } from '../faults/proxy.ts'

let fake: FakePinecone
beforeAll(async () => void (fake = await FakePinecone.start()))
afterAll(() => fake.stop())

let places = 0

/** Each place has indexes and a proxy of its own, so that cases can run at the same time. */
function harness(more: object = {}): Harness<KnowledgeStore> {
  return serverHarness('knowledge', 'pinecone', async () => {
    const proxy = await Proxy.open(fake.url)
    const prefix = `t${places++}-`
    const remove = (): Promise<void> => {
      fake.drop(prefix)
      return proxy.close()
    }
    return { options: { apiKey: fake.apiKey, controllerHost: proxy.url(fake.url), prefix, ...more }, proxy, remove }
  })
}

const runner = { describe: describe.concurrent, it }
const on = { engine: 'Pinecone API', version: '2026-07', category: 'wire-level fake' } as const
const cases = knowledgeCases

defineConformance(
  { ...recorded('knowledge', 'pinecone', on), it: it.concurrent },
  { name: 'knowledge on pinecone', cases, harness: harness() },
)
defineConformance(runner, {
  name: 'knowledge on pinecone without waiting',
  cases,
  harness: harness({ waitForWrites: false }),
  views: ['default'],
})

/** Programs of some eight operations each: more than 2,000 of them. Filters are tried by the thousand in pinecone-knowledge-filter.test.ts. */
const RUNS = Number(process.env['HOLDFAST_RUNS'] ?? 280)

describe.concurrent('knowledge on pinecone against a model', () => {
  it.each([1, 2, 3, 4])('random programs give what a list of documents gives (%i of 4)', { timeout: 300_000 }, () =>
    knowledgeProperty(harness(), { runs: RUNS / 4 }),
  )
  it('random filters match what mingo matches', { timeout: 300_000 }, () => filterProperty(harness(), { runs: RUNS / 7 }))
})
