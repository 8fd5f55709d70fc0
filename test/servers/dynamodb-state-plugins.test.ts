/** The plugin-storage suite on DynamoDB. */
import { pluginStorageCases } from '../../src/conformance/plugin-storage.ts'
import { defineConformance } from '../../src/conformance/run.ts'
import { serverHarness } from '../conformance/harness.ts'
import { recorded } from '../conformance/recorded.ts'
import { withService } from '../services.ts'
import { newPlace } from './dynamodb-support.ts'

withService('dynamodb', 'DynamoDB', (service) => {
  const harness = serverHarness('state', 'dynamodb', () => newPlace(service))

  defineConformance(recorded('state', 'dynamodb', service), {
    name: 'plugin storage on dynamodb',
    cases: pluginStorageCases,
    harness,
  })
})
