/** The state suites on DynamoDB. */
import { describe, expect, it } from 'vitest'
import { pluginStorageCases } from '../../src/conformance/plugin-storage.ts'
import { stateProperty } from '../../src/conformance/property/state.ts'
import { defineConformance } from '../../src/conformance/run.ts'
import { stateCases } from '../../src/conformance/state.ts'
import { serverHarness } from '../conformance/harness.ts'
import { withService } from '../services.ts'
import { newPlace } from './dynamodb-support.ts'

withService('dynamodb', 'DynamoDB', (service) => {
  const harness = serverHarness('state', 'dynamodb', () => newPlace(service))

  defineConformance({ describe, it }, { name: 'state on dynamodb', cases: stateCases, harness })
  defineConformance({ describe, it }, { name: 'plugin storage on dynamodb', cases: pluginStorageCases, harness })

  it('agrees with the model', async () => {
    // A program is some 15 calls long.
    await expect(stateProperty(harness, { runs: 200 })).resolves.toBeUndefined()
  })
})
