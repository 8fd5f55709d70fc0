/** The suites of state and of plugin storage on Cloud Storage, on both servers that there are for tests. */
import { describe, it } from 'vitest'
import { pluginStorageCases } from '../../src/conformance/plugin-storage.ts'
import { stateProperty } from '../../src/conformance/property/state.ts'
import { defineConformance } from '../../src/conformance/run.ts'
import { stateCases } from '../../src/conformance/state.ts'
import { gcsHarness, onEachServer } from './gcs-support.ts'

/** About 15 steps each. */
const RUNS = 140

onEachServer('gcs', (server) => {
  const harness = gcsHarness(server)
  defineConformance({ describe, it }, { name: 'state', cases: stateCases, harness })
  defineConformance({ describe, it }, { name: 'plugin storage', cases: pluginStorageCases, harness })
  it('agrees with the model over 2,000 random operations', () => stateProperty(harness, { runs: RUNS }), 120_000)
})
