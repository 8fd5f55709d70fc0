/** The suites over HTTP: the stores of a client, on the engines of a server, through a network that can be cut. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import type { Harness } from '../../src/conformance/case.ts'
import {
  conversationCases,
  conversationProperty,
  defineConformance,
  knowledgeCases,
  knowledgeProperty,
  pluginStorageCases,
  stateCases,
  stateProperty,
} from '../../src/conformance/index.ts'
import type { TestRunner } from '../../src/conformance/run.ts'
import type { Kind } from '../../src/errors.ts'
import type { Stores } from '../../src/registry/index.ts'
import { Proxy } from '../faults/proxy.ts'
import { serverHarness } from '../conformance/harness.ts'
import { recorded } from '../conformance/recorded.ts'
import { ROOT } from '../support.ts'
import { startServer } from './support.ts'

function overHttp<K extends Kind>(kind: K): Harness<Stores[K]> {
  return serverHarness(kind, 'holdfast', async () => {
    const server = await startServer()
    const proxy = await Proxy.open(server.url)
    const remove = async (): Promise<void> => {
      await proxy.close()
      await server.close()
    }
    // A connection that was reset is found out by using it: what is safe is tried again, as by default.
    return { options: { url: proxy.url(server.url), retries: 2 }, proxy, remove }
  })
}

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
/** A server of its own for each store, on this machine, with memory behind it. */
const runner = (kind: Kind): TestRunner =>
  recorded(kind, 'holdfast', { engine: 'Holdfast server on memory, over HTTP', version, category: 'in process' })

defineConformance(runner('conversation'), {
  name: 'conversation over HTTP',
  cases: conversationCases,
  harness: overHttp('conversation'),
})
defineConformance(runner('knowledge'), { name: 'knowledge over HTTP', cases: knowledgeCases, harness: overHttp('knowledge') })
defineConformance(runner('state'), { name: 'state over HTTP', cases: stateCases, harness: overHttp('state') })
defineConformance(runner('state'), { name: 'plugin storage over HTTP', cases: pluginStorageCases, harness: overHttp('state') })

describe('over HTTP, random calls give what a model gives', () => {
  it('conversation', () => conversationProperty(overHttp('conversation'), { runs: 100 }))
  it('knowledge', () => knowledgeProperty(overHttp('knowledge'), { runs: 100 }))
  it('state', () => stateProperty(overHttp('state'), { runs: 100 }))
})
