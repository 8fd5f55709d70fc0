/** The options that all DynamoDB backends take, and what they say together. */
import { HoldfastError } from '../errors.ts'
import type { OptionsSchema } from '../store/options.ts'
import { redact } from '../store/redact.ts'
import type { DynamoClient } from './dynamodb.ts'

export interface DynamoOptions {
  /** `dynamodb://table?region=eu-west-1`, or the address of an endpoint, `http://localhost:8000`. Default: AWS, in `region`. */
  readonly url?: string | undefined
  /** The address of another endpoint than AWS's own: DynamoDB Local, a VPC endpoint. */
  readonly endpoint?: string | undefined
  /** Default: `AWS_REGION`, else what the SDK finds in the files of the AWS CLI. */
  readonly region?: string | undefined
  readonly table?: string | undefined
  /** `{ accessKeyId, secretAccessKey, sessionToken? }`, or a function that gives it. Default: where the SDK looks for them. */
  readonly credentials?: object | undefined
  /** A `DynamoDBClient` of yours, which stays open; it replaces `endpoint`, `region` and `credentials`. */
  readonly client?: DynamoClient | undefined
  /** Creates the table where it is missing, and has DynamoDB remove expired items. Default true. */
  readonly autoCreate?: boolean | undefined
  /** How often a request is sent that DynamoDB throttles, or of whose fate nothing is known but which may safely be repeated. Default 5. */
  readonly maxAttempts?: number | undefined
  /** Milliseconds until a request without an answer is given up; not of a client of yours. Default 30,000. */
  readonly requestTimeoutMs?: number | undefined
}

export function dynamoOptions(table: string): OptionsSchema<DynamoOptions> {
  return {
    url: {
      type: 'string',
      description: 'dynamodb://table?region=eu-west-1, or an endpoint: http://localhost:8000',
      check: urlProblem,
    },
    endpoint: {
      type: 'string',
      description: "another endpoint than AWS's own: DynamoDB Local, a VPC endpoint",
      check: endpointProblem,
    },
    region: { type: 'string', description: 'the region; else what the SDK finds', env: 'AWS_REGION' },
    table: { type: 'string', description: `name of the table; default ${table}`, check: tableProblem },
    credentials: {
      type: 'any',
      description: '{ accessKeyId, secretAccessKey, sessionToken? } or a function that gives it; default: where the SDK looks',
      secret: true,
      check: credentialsProblem,
    },
    client: { type: 'any', description: 'a DynamoDBClient of yours, which stays open', check: clientProblem },
    autoCreate: { type: 'boolean', description: 'creates the table where it is missing', default: true },
    maxAttempts: { type: 'integer', description: 'how often a throttled request is sent', default: 5, min: 1, max: 100 },
    requestTimeoutMs: {
      type: 'integer',
      description: 'milliseconds until a request without an answer is given up',
      default: 30_000,
      min: 1,
      max: 2 ** 31 - 1,
    },
  }
}

/** Which table, and how to reach it. */
export interface DynamoPlace {
  readonly table: string
  readonly endpoint: string | undefined
  readonly region: string | undefined
}

/** The place that `url` and the other options name together; what they say twice must agree, else `INVALID_OPTIONS`. */
export function placeOf(options: DynamoOptions, fallbackTable: string): DynamoPlace {
  const said = options.url === undefined ? {} : readUrl(options.url)
  return {
    table: agreed('table', said.table, options.table) ?? fallbackTable,
    endpoint: agreed('endpoint', said.endpoint, options.endpoint),
    // The environment must not contradict what a URL says.
    region: said.region ?? options.region,
  }
}

function agreed(name: string, fromUrl: string | undefined, own: string | undefined): string | undefined {
  if (fromUrl === undefined || own === undefined || fromUrl === own) return fromUrl ?? own
  throw new HoldfastError('INVALID_OPTIONS', `\`url\` and \`${name}\` name different ones; give one of them`)
}

function readUrl(text: string): Partial<DynamoPlace> {
  const url = new URL(text)
  if (url.protocol !== SCHEME) return { endpoint: text }
  const region = url.searchParams.get('region') ?? undefined
  const table = decodeURIComponent(url.hostname)
  return { ...(table === '' ? {} : { table }), ...(region === undefined ? {} : { region }) }
}

const SCHEME = 'dynamodb:'
const TABLE_NAME = /^[\w.-]{3,255}$/

function urlProblem(text: string): string | undefined {
  const url = URL.parse(text)
  if (url === null) return `is no URL: ${redact(text)}`
  if (url.protocol !== SCHEME) return endpointProblem(text)
  if (url.username !== '' || url.password !== '') return 'must not hold credentials; give them as `credentials`'
  const unknown = [...url.searchParams.keys()].filter((name) => name !== 'region')
  if (unknown.length > 0 || url.hash !== '' || !/^\/?$/.test(url.pathname)) return 'is dynamodb://table?region=… and no more'
  return url.hostname === '' ? undefined : tableProblem(decodeURIComponent(url.hostname))
}

function endpointProblem(text: string): string | undefined {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) return 'must be an http or https URL'
  if (url.username !== '' || url.password !== '') return 'must not hold credentials; give them as `credentials`'
  return url.search === '' && url.hash === '' ? undefined : 'must have no parameters'
}

function tableProblem(name: string): string | undefined {
  return TABLE_NAME.test(name) ? undefined : 'must be a table name: 3–255 of a–z, A–Z, 0–9, `_`, `-`, `.`'
}

function credentialsProblem(value: unknown): string | undefined {
  if (typeof value === 'function') return undefined
  const { accessKeyId, secretAccessKey } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  const given = typeof accessKeyId === 'string' && typeof secretAccessKey === 'string'
  return given ? undefined : 'must be { accessKeyId, secretAccessKey, sessionToken? } or a function that gives it'
}

function clientProblem(value: unknown): string | undefined {
  const send = typeof value === 'object' && value !== null ? (value as { send?: unknown }).send : undefined
  return typeof send === 'function' ? undefined : 'must be a DynamoDBClient of @aws-sdk/client-dynamodb'
}
