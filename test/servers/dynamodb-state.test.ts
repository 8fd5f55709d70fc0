/** The state suite on DynamoDB. */
import { expect, it } from 'vitest'
import { stateProperty } from '../../src/conformance/property/state.ts'
import { defineConformance } from '../../src/conformance/run.ts'
import { stateCases } from '../../src/conformance/state.ts'
import { serverHarness } from '../conformance/harness.ts'
import { recorded } from '../conformance/recorded.ts'
import { withService } from '../services.ts'
import { newPlace } from './dynamodb-support.ts'

withService('dynamodb', 'DynamoDB', (service) => {
  const harness = serverHarness('state', 'dynamodb', () => newPlace(service))

  defineConformance(recorded('state', 'dynamodb', service), { name: 'state on dynamodb', cases: stateCases, harness })

  it('agrees with the model', async () => {
    // A program has 15 calls on average, and as many looks at what it left.
    await expect(stateProperty(harness, { runs: 150 })).resolves.toBeUndefined()
  })
})
