/** From options to a bucket: the client library, or a client of the caller's. */
import { HoldfastError } from '../errors.ts'
import type { FactoryContext } from '../store/factory.ts'
import { typeName } from '../store/text.ts'
import { GcsHttp, type GcsClient } from './gcs-http.ts'
import type { GcsOptions } from './gcs-options.ts'
import { GcsBucket } from './gcs.ts'

/** The client that was given, or a new one with the credentials that the options, or else the surroundings, hold. */
export async function openGcs(options: GcsOptions, bucket: string, context: FactoryContext): Promise<GcsBucket> {
  const client = options.client === undefined ? await newClient(options, context) : checkClient(options.client)
  return new GcsBucket(new GcsHttp(client, options.requestTimeoutMs ?? 60_000), bucket)
}

async function newClient(options: GcsOptions, context: FactoryContext): Promise<GcsClient> {
  const { Storage } = await context.loadClient<{ Storage: new (options: object) => GcsClient }>('@google-cloud/storage')
  const { apiEndpoint, projectId, keyFilename, credentials } = options
  const given = Object.entries({ apiEndpoint, projectId, keyFilename, credentials }).filter(([, value]) => value !== undefined)
  return new Storage(Object.fromEntries(given))
}

function checkClient(client: unknown): GcsClient {
  const { apiEndpoint, authClient } = (client ?? {}) as Partial<GcsClient>
  if (typeof apiEndpoint === 'string' && typeof authClient?.getRequestHeaders === 'function') return client as GcsClient
  throw new HoldfastError('INVALID_OPTIONS', `client must be a Storage of @google-cloud/storage, not ${typeName(client)}`)
}
