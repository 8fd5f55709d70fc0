/** The plugin-storage suite on Cloud Storage, whose commits hold one key: reserve, write, settle. */
import { pluginStorageCases } from '../../src/conformance/plugin-storage.ts'
import { defineConformance } from '../../src/conformance/run.ts'
import { recorded } from '../conformance/recorded.ts'
import { gcsHarness, onEachServer } from './gcs-support.ts'

onEachServer('gcs', (server, on) => {
  defineConformance(recorded('state', 'gcs', on), {
    name: 'plugin storage',
    cases: pluginStorageCases,
    harness: gcsHarness(server),
  })
})
