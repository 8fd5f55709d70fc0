/** How the fake of Pinecone says no: the data plane's `rpcStatus`, the control plane's `ErrorResponse`, or plain text. */

/** gRPC codes, as `rpcStatus.code` has them. */
const RPC_CODES: Readonly<Record<number, number>> = { 400: 3, 404: 5, 409: 6, 429: 8, 500: 13, 503: 14 }
const NAMES: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  409: 'ALREADY_EXISTS',
  422: 'UNPROCESSABLE_ENTITY',
  500: 'UNKNOWN',
}

export class Refusal extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }

  body(plane: 'control' | 'data'): string {
    const { status, message } = this
    // Spec, ErrorResponse: the layer of authentication and rates answers in plain text.
    if (status === 401 || status === 429) return message
    if (plane === 'control') return JSON.stringify({ error: { code: NAMES[status] ?? 'UNKNOWN', message }, status })
    return JSON.stringify({ code: RPC_CODES[status] ?? 2, message, details: [] })
  }
}

export function bad(message: string): Refusal {
  return new Refusal(400, message)
}

// ── Shapes of requests ──────────────────────────────────────────────────────────────────────────────────────────────

export type Check = (value: unknown, path: string) => void

/** An object of these fields and no others: what the specification does not know is a mistake of the client. */
export function shape(fields: Readonly<Record<string, Check>>, required: readonly string[] = []): Check {
  return (value, path) => {
    const given = asObject(value, path)
    for (const [name, item] of Object.entries(given)) {
      if (!Object.hasOwn(fields, name)) throw bad(`${path}: unknown field "${name}"`)
      fields[name]!(item, `${path}.${name}`)
    }
    for (const name of required) if (!Object.hasOwn(given, name)) throw bad(`${path}.${name} is required`)
  }
}

export function asObject(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad(`${path} must be an object`)
  return value as Record<string, unknown>
}

export const isText: Check = (value, path) => {
  if (typeof value !== 'string') throw bad(`${path} must be a string`)
}

export const isFlag: Check = (value, path) => {
  if (typeof value !== 'boolean') throw bad(`${path} must be a boolean`)
}

function isAscii(text: string): boolean {
  return Buffer.byteLength(text) === text.length && !text.includes('\0')
}

/** Spec: `^[\x01-\x7F]+$`, 1–512 characters. */
export const isId: Check = (value, path) => {
  if (typeof value !== 'string' || !isAscii(value) || value.length < 1 || value.length > 512)
    throw bad(`${path} must be 1 to 512 ASCII characters`)
}

export function isInteger(min: number, max: number): Check {
  return (value, path) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      throw bad(`${path} must be an integer from ${min} to ${max}`)
    }
  }
}

export function isList(check: Check, min: number, max: number): Check {
  return (value, path) => {
    if (!Array.isArray(value) || value.length < min || value.length > max) throw bad(`${path} must be a list of ${min} to ${max}`)
    for (const [i, item] of value.entries()) check(item, `${path}[${i}]`)
  }
}

/** A 32-bit float that JSON can hold. */
const isFloat: Check = (value, path) => {
  if (typeof value !== 'number' || !Number.isFinite(Math.fround(value))) throw bad(`${path} must be a 32-bit float`)
}

/** Spec, VectorValues. */
export const isVector = isList(isFloat, 1, 20_000)
