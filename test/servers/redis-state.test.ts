/** The state suites on Redis, alone and as a cluster. */
import { describe, expect, it } from 'vitest'
import { pluginStorageCases } from '../../src/conformance/plugin-storage.ts'
import { stateProperty } from '../../src/conformance/property/state.ts'
import { defineConformance } from '../../src/conformance/run.ts'
import { stateCases } from '../../src/conformance/state.ts'
import { recorded } from '../conformance/recorded.ts'
import { withService } from '../services.ts'
import { redisHarness } from './redis-support.ts'

/** A program is some 15 calls long. */
const RUNS = Number(process.env['HOLDFAST_FUZZ'] ?? 200)

for (const name of ['redis', 'redis-cluster']) {
  withService(name, name, (service) => {
    const harness = redisHarness('redis', service)
    // What is on record is the single server.
    const runner = name === 'redis' ? recorded('state', 'redis', service) : { describe, it }

    defineConformance(runner, { name: `state on ${name}`, cases: stateCases, harness })
    defineConformance(runner, { name: `plugin storage on ${name}`, cases: pluginStorageCases, harness })

    it('agrees with the model', async () => {
      await expect(stateProperty(harness, { runs: RUNS })).resolves.toBeUndefined()
    })
  })
}
