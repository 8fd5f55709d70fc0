/** Two instances on one database are one service: what the suites say of concurrency holds for clients that are spread over both. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import type { ConformanceCase, Harness } from '../../src/conformance/case.ts'
import {
  conversationCases,
  defineConformance,
  knowledgeCases,
  pluginStorageCases,
  stateCases,
} from '../../src/conformance/index.ts'
import { SPACE } from '../../src/conformance/state/backend.ts'
import type { Kind } from '../../src/errors.ts'
import type { Stores } from '../../src/registry/index.ts'
import { builtIn } from '../conformance/harness.ts'
import { newPrefix, optionsAt, removeTables } from '../servers/postgres-places.ts'
import { withService } from '../services.ts'
import { startCommand, type Command } from './command.ts'

/** Writers, readers and handles at once. */
const ABOUT = /concurr|race|one-winner|created-once|handles?\b|first-writes|no-stale-reads|no-lost-update|commit\/whole/

/** What two processes serve. */
interface Place {
  /** Writes into their folder what they need. */
  prepare(folder: string): Promise<readonly string[]>
  remove(): Promise<void>
}

function onBoth(place: Place): void {
  const urls: string[] = []
  let instances: Command[] = []
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-test-'))
    const args = ['serve', '--port', '0', '--quiet', ...(await place.prepare(folder))]
    instances = await Promise.all([0, 1].map(() => startCommand(args, folder)))
    urls.push(...instances.map(({ url }) => url))
  })
  afterAll(async () => {
    await Promise.all(instances.map((instance) => instance.end()))
    await place.remove()
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  })

  const suite = <K extends Kind>(kind: K, name: string, cases: readonly ConformanceCase<Stores[K]>[]): void => {
    const chosen = cases.filter(({ id }) => ABOUT.test(id))
    const harness = spread(kind, urls)
    defineConformance({ describe, it: it.concurrent }, { name, cases: chosen, harness, views: ['default'] })
  }
  suite('conversation', 'conversation', conversationCases)
  suite('knowledge', 'knowledge', knowledgeCases)
  suite('state', 'state', stateCases)
  suite('state', 'plugin storage', pluginStorageCases)
}

/**
 * Stores whose requests go to the instances in turn. Each case has a workspace of its own, which is its new and empty data; where cases go
 * past the store, to a space of state that they name themselves, each has its own as well.
 */
function spread<K extends Kind>(kind: K, urls: readonly string[]): Harness<Stores[K]> {
  const workspaces = new WeakMap<object, string>()
  let turn = 0
  const open = async (workspace: string): Promise<Stores[K]> => {
    const balanced = (input: unknown, init?: RequestInit): Promise<Response> => {
      const url = String(input).replace(urls[0]!, urls[turn++ % urls.length]!)
      if (typeof init?.body !== 'string') return fetch(url, init)
      return fetch(url, { ...init, body: init.body.replace(`{"space":"${SPACE}"`, `{"space":"${SPACE} ${workspace}"`) })
    }
    const store = await builtIn(kind).create('holdfast', { url: urls[0], fetch: balanced, workspace } as never)
    workspaces.set(store, workspace)
    return store
  }
  return { open: () => open(randomUUID()), reopen: (store) => open(workspaces.get(store)!) }
}

describe('two instances on one SQLite folder', () => {
  onBoth({ prepare: async () => [], remove: async () => undefined })
})

withService('postgres', 'two instances on one Postgres database', (service) => {
  const prefix = newPrefix()
  onBoth({
    prepare: async (folder) => {
      const at = (backend: string): object => ({ backend, ...optionsAt(service.url, prefix) })
      const config = { conversation: at('postgres'), knowledge: at('pgvector'), state: at('postgres') }
      await writeFile(join(folder, 'holdfast.config.json'), JSON.stringify(config))
      return ['--config', 'holdfast.config.json']
    },
    remove: () => removeTables(service, prefix),
  })
})
