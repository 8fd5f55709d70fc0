/** The state suite: every backend passes it in both views, every broken one fails by the case meant for it. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Harness } from '../../src/conformance/case.ts'
import { stateProperty } from '../../src/conformance/property/state.ts'
import { formatReport } from '../../src/conformance/report.ts'
import { defineConformance, runConformance, type ConformanceReport } from '../../src/conformance/run.ts'
import { stateCases } from '../../src/conformance/state.ts'
import { HoldfastError } from '../../src/errors.ts'
import { create as createFile } from '../../src/state/backends/file.ts'
import { create as createMemory } from '../../src/state/backends/memory.ts'
import { create as createSqlite } from '../../src/state/backends/sqlite.ts'
import type { StateBackend } from '../../src/state/contract.ts'
import type { StateStore } from '../../src/state/store.ts'
import { brokenStates } from './broken/state.ts'
import { over, ownVersions, type Break } from './broken/state/wrappers.ts'
import { localContext, localHarness, type LocalPlace } from './harness.ts'
import { recordedInProcess } from './recorded.ts'

function folderHarness(name: string, connect: (folder: string) => StateBackend | Promise<StateBackend>): Harness<StateStore> {
  return localHarness('state', name, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-state-'))
    return { connect: () => connect(folder), remove: () => rm(folder, { recursive: true, force: true, maxRetries: 3 }) }
  })
}

function sqlite(): Harness<StateStore> {
  return folderHarness('sqlite', (folder) => createSqlite({ path: join(folder, 'state.db') }, localContext('state', 'sqlite')))
}

/** Each handle has a lock, a journal and a memory of its own, as in several processes. */
function file(): Harness<StateStore> {
  return folderHarness('file', (folder) => createFile({ path: join(folder, 'state') }, localContext('state', 'file')))
}

/** In memory, but outliving its handles, as a server would. */
function memory(breaks?: Break, retries?: number): Harness<StateStore> {
  const make = async (): Promise<LocalPlace<StateBackend>> => {
    const backend = await createMemory({}, localContext('state', 'memory'))
    return { connect: () => over(backend, { close: async () => undefined }), remove: () => backend.close() }
  }
  return localHarness('state', 'memory', make, { breaks, retries })
}

/** The whole suite at once; retries would only wait. */
function run(breaks: Break): Promise<ConformanceReport> {
  return runConformance({ cases: stateCases, harness: memory(breaks, 0), concurrency: 24, timeoutMs: 15_000 })
}

defineConformance(recordedInProcess('state', 'memory'), { name: 'state on memory', cases: stateCases, harness: memory() })
defineConformance(recordedInProcess('state', 'sqlite'), { name: 'state on sqlite', cases: stateCases, harness: sqlite() })
defineConformance(recordedInProcess('state', 'file'), { name: 'state on file', cases: stateCases, harness: file() })

describe('the state suite', () => {
  it('has one sentence and one id a case', () => {
    expect(new Set(stateCases.map((each) => each.id)).size).toBe(stateCases.length)
    for (const { id, sentence } of stateCases) {
      expect(id).toMatch(/^state(\/[a-z-]+){2,3}$/)
      expect(sentence).toMatch(/\.$/)
    }
  })

  for (const { name, breaks, caughtBy } of brokenStates) {
    it.concurrent(`catches a backend where ${name}, by ${caughtBy}`, async () => {
      const report = await run(breaks)
      const failed = report.results.filter((result) => result.status === 'failed').map((result) => result.id)
      expect(failed).toContain(caughtBy)
    })
  }

  for (const [name, variety] of Object.entries(varieties())) {
    it.concurrent(`passes ${name}`, async () => {
      const report = await run(variety)
      expect(report.failed, formatReport(report)).toBe(0)
    })
  }
})

describe('the state model', () => {
  it('agrees with memory', () => stateProperty(memory(), { runs: 200 }))
  it('agrees with file', () => stateProperty(file(), { runs: 200 }))
  it('agrees with sqlite', () => stateProperty(sqlite(), { runs: 200 }))

  for (const name of [
    '"123" becomes 123',
    'set keeps the TTL',
    'keys in lower case',
    'prefix as a LIKE pattern',
    'order of UTF-16 units',
  ]) {
    it(`disagrees with a backend where ${name}`, async () => {
      const broken = brokenStates.find((each) => each.name === name)!
      await expect(stateProperty(memory(broken.breaks), { runs: 1_000 })).rejects.toThrow(/Counterexample/)
    })
  }
})

/** What the contract leaves to the backend. */
function varieties(): Readonly<Record<string, Break>> {
  return {
    'versions that are digests': ownVersions(({ value }) => createHash('sha256').update(value).digest('hex'), 'store'),
    'text that comes back as bytes': asBytes,
    'one key a commit': atMost(1),
    'three keys a commit': atMost(3),
    'a hundred keys a commit': atMost(100),
    'small batches and values': (backend) => over(backend, { limits: { batch: 7, valueBytes: 400_000 } }),
    'commits of a million bytes': limitedCommits,
    'a slow engine': slow,
  }
}

function asBytes(backend: StateBackend): StateBackend {
  return over(backend, {
    get: async (space, keys) => {
      const entries = await backend.get(space, keys)
      return entries.map((entry) => entry && { ...entry, value: Uint8Array.from(Buffer.from(entry.value)) })
    },
  })
}

function atMost(commitKeys: number): Break {
  return (backend) =>
    over(backend, {
      capabilities: { bytes: 'base64', commitKeys },
      commit: async (space, commit) => {
        const { checks = [], set = [], add = [], delete: unwanted = [] } = commit
        const keys = new Set([...[...checks, ...set, ...add].map(({ key }) => key), ...unwanted])
        if (keys.size <= commitKeys) return backend.commit(space, commit)
        throw new HoldfastError('UNSUPPORTED', `a commit of ${keys.size} keys`, { outcome: 'not-applied' })
      },
    })
}

function limitedCommits(backend: StateBackend): StateBackend {
  const commitBytes = 1_000_000
  return over(backend, {
    limits: { valueBytes: 500_000, commitBytes },
    commit: async (space, commit) => {
      const bytes = (commit.set ?? []).reduce((sum, { value }) => sum + Buffer.byteLength(value), 0)
      if (bytes <= commitBytes) return backend.commit(space, commit)
      throw new HoldfastError('VALUE_TOO_LARGE', `a commit of ${bytes} bytes`, { outcome: 'not-applied' })
    },
  })
}

function slow(backend: StateBackend): StateBackend {
  const wait = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.random() * 12))
  return over(backend, {
    get: (space, keys) => wait().then(() => backend.get(space, keys)),
    commit: (space, commit) => wait().then(() => backend.commit(space, commit)),
    scan: (space, scan) => wait().then(() => backend.scan(space, scan)),
  })
}
