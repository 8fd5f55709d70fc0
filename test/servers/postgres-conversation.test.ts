/** The conversation suite on Postgres, straight and through PgBouncer in transaction mode. */
import { afterAll, describe, expect, it } from 'vitest'
import { conversationCases } from '../../src/conformance/conversation.ts'
import { conversationProperty } from '../../src/conformance/property/conversation.ts'
import { defineConformance } from '../../src/conformance/run.ts'
import { CONVERSATION_CATALOGUE } from '../../src/conversation/catalogue.ts'
import { builtIn, serverHarness } from '../conformance/harness.ts'
import { recorded } from '../conformance/recorded.ts'
import { withService } from '../services.ts'
import { Places } from './postgres-conversation-support.ts'
import { newPrefix, optionsAt, removeTables } from './postgres-places.ts'

/** Random programs; each has 5 to 40 operations, and compares everything at its end. */
const RUNS = 120

withService('postgres', 'Postgres', (service) => {
  const places = new Places(service)
  const harness = serverHarness('conversation', 'postgres', places.take)
  afterAll(() => places[Symbol.asyncDispose]())

  defineConformance(recorded('conversation', 'postgres', service), {
    name: 'conversation on postgres',
    cases: conversationCases,
    harness,
  })

  it('agrees with the model', { timeout: 120_000 }, async () => {
    await expect(conversationProperty(harness, { runs: RUNS })).resolves.toBeUndefined()
  })

  it('opens under every name, which share the tables', async () => {
    const prefix = newPrefix()
    const registry = builtIn('conversation')
    const { postgres, async_postgres } = CONVERSATION_CATALOGUE
    try {
      for (const name of ['postgres', ...postgres.aliases, 'async_postgres', ...async_postgres.aliases, 'Neon']) {
        await using store = await registry.create(name, { ...optionsAt(service.url, prefix) })
        expect(store.backend).toBe(name.includes('async') ? 'async_postgres' : 'postgres')
        await store.upsertSession({ id: 's', metadata: { [name]: 1 } })
        expect(await registry.capabilities(name)).toEqual(store.capabilities)
      }
      await using store = await registry.create('postgres', optionsAt(service.url, prefix))
      expect(Object.keys((await store.getSession('s'))!.metadata)).toHaveLength(postgres.aliases.length + 5)
    } finally {
      await removeTables(service, prefix)
    }
  })
})

withService('pgbouncer', 'PgBouncer', (service) => {
  const places = new Places(service)
  const harness = serverHarness('conversation', 'postgres', places.take)
  afterAll(() => places[Symbol.asyncDispose]())

  defineConformance({ describe, it }, { name: 'conversation through pgbouncer', cases: conversationCases, harness })

  it('statements kept prepared stay so from one of its connections to the next', async () => {
    const prefix = newPrefix()
    try {
      const options = { ...optionsAt(service.url, prefix), prepare: true }
      await using store = await builtIn('conversation').create('postgres', options)
      await store.createSession({ id: 's' })
      await Promise.all(Array.from({ length: 100 }, () => store.addMessage('s', { role: 'user', content: 'x' })))
      expect((await store.getMessages('s')).map(({ seq }) => seq)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
    } finally {
      await removeTables(service, prefix)
    }
  })
})
