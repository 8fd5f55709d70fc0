/** Schemas of what all requests have in common. They check what a store would have checked, and describe it for the OpenAPI document. */
import { z } from 'zod'
import { byteLength } from '../../store/platform.ts'
import { isPlainObject, MAX_DEPTH } from '../../store/json.ts'
import { isPlainText, MAX_ID_BYTES } from '../../store/text.ts'

/** Text that every engine can keep, up to so many bytes. */
export function text(maxBytes: number, description: string): z.ZodString {
  return z
    .string()
    .max(maxBytes)
    .refine((value) => byteLength(value) <= maxBytes, `is longer than ${maxBytes} bytes of UTF-8`)
    .refine(isPlainText, 'must be well-formed Unicode without U+0000')
    .describe(description)
}

export function id(description: string, maxBytes: number = MAX_ID_BYTES): z.ZodString {
  return text(maxBytes, description).min(1)
}

export const workspace = text(MAX_ID_BYTES, 'The workspace; left out: the default one.').default('')

/** Milliseconds since 1970, as a Date can hold them. */
export const milliseconds = z.int().min(-8.64e15).max(8.64e15)

/** JSON text that must come back byte for byte. */
export function jsonText(kind: 'object' | 'array'): z.ZodString {
  return z.string().refine((value) => isJsonOf(kind, value), `must be the text of a JSON ${kind}`)
}

function isJsonOf(kind: 'object' | 'array', value: string): boolean {
  try {
    const parsed: unknown = JSON.parse(value)
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed) !== (kind === 'array')) return false
    return isPlainText(value) && isShallow(parsed, MAX_DEPTH)
  } catch {
    return false
  }
}

/** Whoever reads what is nested deeper may run out of stack. */
export function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return depth > 0 && Object.values(value).every((member) => isShallow(member, depth - 1))
}

/** A text column: the content, or, where `escaped`, a JSON string literal of it. */
export function isContent(content: string | null, escaped: boolean): boolean {
  if (content === null || !escaped) return content === null || isPlainText(content)
  try {
    return typeof JSON.parse(content) === 'string' && isPlainText(content)
  } catch {
    return false
  }
}

/** An object whose values keep a schema. Not `z.record`, which drops a key called `__proto__`, and that is a name like any other. */
export function entriesOf<T>(value: z.ZodType<T>): z.ZodCustom<Readonly<Record<string, T>>, Readonly<Record<string, T>>> {
  return z.custom<Readonly<Record<string, T>>>(
    (given) => isPlainObject(given) && Object.values(given).every((member) => value.safeParse(member).success),
    'must be an object of values of the right type',
  )
}

/** JSON that a store checks and keeps exactly. */
export const jsonObject = z.custom<Readonly<Record<string, unknown>>>(isPlainObject, 'must be an object')
export const jsonArray = z.custom<readonly unknown[]>((value) => Array.isArray(value), 'must be an array')

/** Bytes in JSON. */
export const base64 = z.base64().transform((value) => new Uint8Array(Buffer.from(value, 'base64')))

/** 32-bit floats, little-endian. */
export const floats = z
  .base64()
  .transform((value, context) => {
    const bytes = new Uint8Array(Buffer.from(value, 'base64'))
    const embedding = bytes.length % 4 === 0 && bytes.length > 0 ? new Float32Array(bytes.buffer) : undefined
    if (embedding !== undefined && embedding.every(Number.isFinite)) return embedding
    context.addIssue({ code: 'custom', message: 'must be finite 32-bit floats in base64' })
    return z.NEVER
  })
  .describe('Little-endian 32-bit floats in base64.')

export function toBase64(bytes: Uint8Array | Float32Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

/** An integer in a query string, where everything is text. */
export function integer(min: number, max: number, description: string) {
  return z
    .string()
    .regex(/^-?\d{1,16}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .describe(description)
}

/** `true` or `false` in a query string. */
export const flag = z.enum(['true', 'false']).transform((value) => value === 'true')
