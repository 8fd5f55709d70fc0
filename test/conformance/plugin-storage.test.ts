/** The plugin-storage suite: it passes on every state backend and on backends whose commits hold few keys; broken storages fail it. */
import { describe, expect, it } from 'vitest'
import { pluginStorageCases, pluginStorageCasesOf } from '../../src/conformance/plugin-storage.ts'
import { formatReport } from '../../src/conformance/report.ts'
import { defineConformance, runConformance } from '../../src/conformance/run.ts'
import { PluginHost, type PluginHostOptions } from '../../src/plugin-storage/host.ts'
import { brokenStorages } from './broken/plugin-storage.ts'
import { atMost, digests, far, memory, small, sqlite } from './plugin-storage-harness.ts'
import { recordedInProcess } from './recorded.ts'

const createHost = (options: PluginHostOptions): PluginHost => new PluginHost(options)
const about = { cases: pluginStorageCases }

defineConformance(recordedInProcess('state', 'memory'), { ...about, name: 'plugin storage on memory', harness: memory() })
defineConformance(recordedInProcess('state', 'sqlite'), { ...about, name: 'plugin storage on sqlite', harness: sqlite() })
defineConformance({ describe, it }, { ...about, name: 'plugin storage on single-key commits', harness: memory(atMost(1)) })

describe('the plugin-storage suite', () => {
  it('has one sentence and one id a case', () => {
    expect(new Set(pluginStorageCases.map((each) => each.id)).size).toBe(pluginStorageCases.length)
    for (const { id, sentence } of pluginStorageCases) {
      expect(id).toMatch(/^plugin-storage(\/[a-z-]+){2}$/)
      expect(sentence).toMatch(/\.$/)
    }
  })

  it.each([2, 3, 6])('passes on commits of up to %i keys', async (keys) => {
    const report = await runConformance({ ...about, harness: memory(atMost(keys)), concurrency: 8 })
    expect(report.failed, formatReport(report)).toBe(0)
  })

  it.each([1, 2, 3])(
    'leaves no value without its pieces when cleared among writers far away, by commits of %i keys',
    async (keys) => {
      const cases = Array.from({ length: 4 }, () =>
        pluginStorageCases.find(({ id }) => id === 'plugin-storage/admin/clear-among-writers')!,
      )
      const report = await runConformance({ cases, harness: memory((backend) => far(atMost(keys)(backend))), concurrency: 4 })
      expect(report.failed, formatReport(report)).toBe(0)
    },
  )

  it.each([
    ['with small values and batches', small],
    ['whose versions are digests', digests],
  ])('passes on an engine %s', async (_, variety) => {
    const report = await runConformance({ ...about, harness: memory(variety), concurrency: 8 })
    expect(report.failed, formatReport(report)).toBe(0)
  })

  for (const broken of brokenStorages) {
    it(`catches a storage where ${broken.name}, by ${broken.caughtBy}`, async () => {
      const cases = pluginStorageCasesOf(broken.createHost ?? createHost)
      const report = await runConformance({ cases, harness: memory(broken.breaks), only: [broken.caughtBy], timeoutMs: 10_000 })
      expect(report.results.map(({ status }) => status)).toEqual(['failed'])
    })
  }
})
