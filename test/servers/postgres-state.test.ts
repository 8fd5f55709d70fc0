/** State on Postgres, straight and through PgBouncer in transaction mode: the whole suites, and random programs. */
import { describe, it } from 'vitest'
import { pluginStorageCases } from '../../src/conformance/plugin-storage.ts'
import { stateProperty } from '../../src/conformance/property/state.ts'
import { defineConformance } from '../../src/conformance/run.ts'
import { stateCases } from '../../src/conformance/state.ts'
import { serverHarness } from '../conformance/harness.ts'
import { recorded } from '../conformance/recorded.ts'
import { withService } from '../services.ts'
import { newPlace } from './postgres-places.ts'

/** Programs of a property run, of 6 steps on average. */
const RUNS = Number(process.env['HOLDFAST_RUNS'] ?? 360)

withService('postgres', 'Postgres', (service) => {
  const harness = serverHarness('state', 'postgres', () => newPlace(service))
  const runner = { ...recorded('state', 'postgres', service), it: it.concurrent }
  defineConformance(runner, { name: 'state on postgres', cases: stateCases, harness })
  defineConformance(runner, { name: 'plugin storage on postgres', cases: pluginStorageCases, harness, views: ['default'] })

  it('agrees with the model', { timeout: 300_000 }, () => stateProperty(harness, { runs: RUNS }))
})

withService('pgbouncer', 'PgBouncer', (service) => {
  const harness = serverHarness('state', 'postgres', () => newPlace(service))
  const cases = stateCases.filter(({ id }) => /\/(?:commit|ttl|expired|listing|outage)\//.test(id))
  defineConformance({ describe, it: it.concurrent }, { name: 'state through pgbouncer', cases, harness, views: ['workspace'] })
})
