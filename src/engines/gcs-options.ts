/** The options of backends on Google Cloud Storage, and which bucket they name. */
import { HoldfastError } from '../errors.ts'
import type { OptionsSchema } from '../store/options.ts'
import { redact } from '../store/redact.ts'
import { isPlainText } from '../store/text.ts'

export interface GcsOptions {
  /** The bucket, and what all object names begin with: `gs://bucket`, `gs://bucket/some/prefix`. */
  readonly url?: string | undefined
  /** The bucket, which must be there. */
  readonly bucket?: string | undefined
  /** What all object names begin with, up to 128 bytes of UTF-8. Default: the path of `url`, else `holdfast/state/`. */
  readonly prefix?: string | undefined
  /** A `Storage` of `@google-cloud/storage`, whose credentials and endpoint are used. It is never closed. */
  readonly client?: unknown
  /** Another service than Google's, without credentials: an emulator. For a private endpoint with credentials, give a `client`. */
  readonly apiEndpoint?: string | undefined
  /** The project that the credentials belong to. Default: as the credentials say. */
  readonly projectId?: string | undefined
  /** A file with the key of a service account. Default: Google's application default credentials. */
  readonly keyFilename?: string | undefined
  /** The key of a service account itself: `{ client_email, private_key }`. */
  readonly credentials?: object | undefined
  /** Milliseconds that one request may take. Default 60,000. */
  readonly requestTimeoutMs?: number | undefined
}

/** With the key's 768 bytes and the space's 124, a name stays within the 1,024 bytes that object names may have. */
export const MAX_PREFIX_BYTES = 128

export const GCS_OPTIONS: OptionsSchema<GcsOptions> = {
  url: { type: 'string', description: 'the bucket and what object names begin with: gs://bucket/prefix' },
  bucket: { type: 'string', description: 'the bucket, which must be there', check: wrongBucket },
  prefix: { type: 'string', description: 'what object names begin with; default holdfast/state/', check: wrongPrefix },
  client: { type: 'any', description: 'a Storage of @google-cloud/storage, used with its credentials; it is never closed' },
  apiEndpoint: { type: 'string', description: 'URL of an emulator, used without credentials', check: wrongEndpoint },
  projectId: { type: 'string', description: 'the project that the credentials belong to' },
  keyFilename: { type: 'string', description: 'file with the key of a service account' },
  credentials: { type: 'object', description: 'key of a service account: { client_email, private_key }', secret: true },
  requestTimeoutMs: { type: 'integer', description: 'milliseconds that one request may take', default: 60_000, min: 1 },
}

export interface GcsLocation {
  readonly bucket: string
  readonly prefix: string
}

/** The bucket and prefix that the options name. None or two of them: `INVALID_OPTIONS`. */
export function gcsLocation({ url, bucket, prefix }: GcsOptions, defaultPrefix: string): GcsLocation {
  if (url === undefined && bucket === undefined) throw refused('give the bucket: `url: "gs://bucket"` or `bucket`')
  if (url !== undefined && bucket !== undefined) throw refused('give `url` or `bucket`, not both')
  const named = url === undefined ? { bucket: bucket!, prefix: undefined } : locationOf(url)
  if (prefix !== undefined && named.prefix !== undefined) throw refused('give the prefix in `url` or as `prefix`, not both')
  return { bucket: named.bucket, prefix: prefix ?? named.prefix ?? defaultPrefix }
}

function locationOf(url: string): { bucket: string; prefix: string | undefined } {
  const found = /^(?:gs|gcs):\/\/([^/?#]*)(?:\/([^?#]*))?([?#].*)?$/is.exec(url)
  if (found === null) throw refused(`"${redact(url)}" is not "gs://bucket" or "gs://bucket/prefix"`)
  const [, bucket = '', path = '', rest] = found
  if (rest !== undefined) throw refused('the URL has parameters or a fragment; give them as options')
  const problem = wrongBucket(bucket)
  if (problem !== undefined) throw refused(`the bucket in \`url\` ${problem}`)
  if (path === '') return { bucket, prefix: undefined }
  const prefix = path.endsWith('/') ? path : `${path}/`
  const unfit = wrongPrefix(prefix)
  if (unfit !== undefined) throw refused(`the path in \`url\` ${unfit}`)
  return { bucket, prefix }
}

/** https://cloud.google.com/storage/docs/buckets#naming */
function wrongBucket(bucket: string): string | undefined {
  return /^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/.test(bucket)
    ? undefined
    : 'must be 3 to 222 lower-case letters, digits, dots, hyphens and underscores'
}

/** https://cloud.google.com/storage/docs/objects#naming */
function wrongPrefix(prefix: string): string | undefined {
  if (!isPlainText(prefix) || /[\r\n]/.test(prefix)) return 'must be well-formed Unicode without U+0000 and line breaks'
  if (prefix.startsWith('.well-known/acme-challenge/')) return 'must not begin with .well-known/acme-challenge/'
  return Buffer.byteLength(prefix) > MAX_PREFIX_BYTES ? `is longer than ${MAX_PREFIX_BYTES} bytes of UTF-8` : undefined
}

function wrongEndpoint(endpoint: string): string | undefined {
  return URL.canParse(endpoint) && /^https?:$/.test(new URL(endpoint).protocol) ? undefined : 'must be an http or https URL'
}

function refused(message: string): HoldfastError {
  return new HoldfastError('INVALID_OPTIONS', message)
}
