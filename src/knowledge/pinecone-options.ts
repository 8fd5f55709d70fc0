/** What users may say to the Pinecone backend. */
import type { PineconeClient } from '../engines/pinecone.ts'
import type { OptionsSchema } from '../store/options.ts'

export interface PineconeKnowledgeOptions {
  /** `pinecone:`, `pinecone://index-name`, or the http(s) URL of another control plane, say of an emulator. */
  readonly url?: string | undefined
  /** The API key of the project. Default: `PINECONE_API_KEY`. */
  readonly apiKey?: string | undefined
  /** The control plane. Default: `PINECONE_CONTROLLER_HOST`, else https://api.pinecone.io. */
  readonly controllerHost?: string | undefined
  /** A serverless index that is there and takes every collection, all of its dimension and metric. Default: one is created for each. */
  readonly index?: string | undefined
  /** A `Pinecone` of the client library. It is not used itself: one with its settings is made, without retries. */
  readonly client?: PineconeClient | undefined
  /** The names of indexes and namespaces begin with it. Default `holdfast-`. */
  readonly prefix?: string | undefined
  /** Create the indexes that are missing. Default true. */
  readonly autoCreate?: boolean | undefined
  /** Cloud of created indexes. Default `aws`. */
  readonly cloud?: string | undefined
  /** Region of created indexes. Default `us-east-1`. */
  readonly region?: string | undefined
  /** A write resolves when it is searchable; else when it is accepted, for quick loading. Default true. */
  readonly waitForWrites?: boolean | undefined
  /** Milliseconds until a write must have become searchable. Default 60,000. */
  readonly waitMs?: number | undefined
  /** Milliseconds that one request may take. Default 30,000. */
  readonly requestTimeoutMs?: number | undefined
}

export const PINECONE_OPTIONS: OptionsSchema<PineconeKnowledgeOptions> = {
  url: { type: 'string', description: 'pinecone:, pinecone://index-name, or the URL of a control plane', check: wrongUrl },
  apiKey: { type: 'string', description: 'API key of the project', secret: true, env: 'PINECONE_API_KEY' },
  controllerHost: { type: 'string', description: 'URL of the control plane', env: 'PINECONE_CONTROLLER_HOST' },
  index: { type: 'string', description: 'one existing index for every collection', env: 'PINECONE_INDEX', check: wrongIndex },
  client: { type: 'any', description: 'a Pinecone of @pinecone-database/pinecone, whose settings are used' },
  prefix: { type: 'string', description: 'begins the names of indexes and namespaces', default: 'holdfast-', check: wrongPrefix },
  autoCreate: { type: 'boolean', description: 'create missing indexes', default: true },
  cloud: { type: 'string', description: 'cloud of created indexes', default: 'aws' },
  region: { type: 'string', description: 'region of created indexes', default: 'us-east-1' },
  waitForWrites: { type: 'boolean', description: 'a write resolves when it is searchable', default: true },
  waitMs: { type: 'integer', description: 'milliseconds until a write must be searchable', default: 60_000, min: 1 },
  requestTimeoutMs: { type: 'integer', description: 'milliseconds that one request may take', default: 30_000, min: 1 },
}

/** The index that a URL names. */
export function indexIn(url: string | undefined): string | undefined {
  return /^pinecone:\/\/([^/?#]+)$/.exec(url ?? '')?.[1]
}

function wrongUrl(url: string): string | undefined {
  if (/^pinecone:(\/\/)?$/.test(url) || /^https?:\/\/[^/@]+\/?$/.test(url)) return undefined
  const index = indexIn(url)
  return index === undefined
    ? 'must be pinecone:, pinecone://index-name or the http(s) URL of a control plane'
    : wrongIndex(index)
}

/** Docs, "Identifier limits": index names are up to 45 lowercase letters, digits and hyphens. */
function wrongIndex(name: string): string | undefined {
  return /^[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?$/.test(name) ? undefined : 'must be up to 45 lowercase letters, digits and hyphens'
}

/** What follows it in an index's name is at most `19999-dotproduct`. */
function wrongPrefix(prefix: string): string | undefined {
  return /^[a-z0-9][a-z0-9-]{0,27}$/.test(prefix) ? undefined : 'must be 1 to 28 lowercase letters, digits and hyphens'
}
