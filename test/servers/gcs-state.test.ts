/** The state suite on Cloud Storage, on both servers that there are for tests. */
import { it } from 'vitest'
import { stateProperty } from '../../src/conformance/property/state.ts'
import { defineConformance } from '../../src/conformance/run.ts'
import { stateCases } from '../../src/conformance/state.ts'
import { recorded } from '../conformance/recorded.ts'
import { gcsHarness, onEachServer } from './gcs-support.ts'

/** About 15 steps each. */
const RUNS = 160

onEachServer('gcs', (server, on) => {
  const harness = gcsHarness(server)
  defineConformance(recorded('state', 'gcs', on), { name: 'state', cases: stateCases, harness })
  it('agrees with the model over 2,000 random operations', () => stateProperty(harness, { runs: RUNS }), 120_000)
})
