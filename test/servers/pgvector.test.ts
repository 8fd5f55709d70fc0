/** Knowledge on Postgres with pgvector: the whole suite, random programs, and what matters of the suite on every kind of index. */
import { describe, it } from 'vitest'
import { knowledgeCases } from '../../src/conformance/knowledge.ts'
import { filterProperty } from '../../src/conformance/property/knowledge-filter.ts'
import { knowledgeProperty } from '../../src/conformance/property/knowledge.ts'
import { defineConformance } from '../../src/conformance/run.ts'
import type { Harness } from '../../src/conformance/case.ts'
import type { KnowledgeStore } from '../../src/knowledge/store.ts'
import { serverHarness } from '../conformance/harness.ts'
import { recorded } from '../conformance/recorded.ts'
import { runningService, withService, type Service } from '../services.ts'
import { newPlace, type Server } from './postgres-places.ts'

/** Programs of a property run, of 6 steps on average. */
const RUNS = Number(process.env['HOLDFAST_RUNS'] ?? 350)
const concurrent = { describe, it: it.concurrent }

function harness(service: Server, options: object = {}): Harness<KnowledgeStore> {
  return serverHarness('knowledge', 'pgvector', () => newPlace(service, options))
}

/** What the suite shows is shown of the extension as well. */
function withExtension(service: Service): Service {
  if (runningService('postgres') === undefined) return service
  const { version, pgvector } = service
  return { ...service, engine: 'PostgreSQL with pgvector', version: `${version}, ${String(pgvector)}` }
}

withService('postgres', 'Postgres', (service) => {
  defineConformance(
    { ...recorded('knowledge', 'pgvector', withExtension(service)), it: it.concurrent },
    { name: 'knowledge on pgvector', cases: knowledgeCases, harness: harness(service) },
  )

  const cases = knowledgeCases.filter(({ id }) => /\/(?:search|score|insert|upsert)\//.test(id))
  for (const options of [
    { index: 'none' },
    { type: 'halfvec' },
    { index: 'ivfflat', lists: 2, probes: 1 },
    { index: 'ivfflat', type: 'halfvec', lists: 3 },
  ]) {
    defineConformance(concurrent, {
      name: JSON.stringify(options),
      cases,
      harness: harness(service, options),
      views: ['default'],
    })
  }

  describe('against a model', () => {
    it('random programs give what a list of documents gives', { timeout: 300_000 }, () =>
      knowledgeProperty(harness(service), { runs: RUNS }),
    )
    it('random filters match what mingo matches', { timeout: 300_000 }, () => filterProperty(harness(service), { runs: 200 }))
  })
})

withService('pgbouncer', 'PgBouncer', (service) => {
  const cases = knowledgeCases.filter(({ id }) => /\/(?:search|collection|insert|outage)\//.test(id))
  for (const options of [{}, { index: 'ivfflat', lists: 2 }]) {
    const name = `knowledge through pgbouncer ${JSON.stringify(options)}`
    defineConformance(concurrent, { name, cases, harness: harness(service, options), views: ['workspace'] })
  }
})
