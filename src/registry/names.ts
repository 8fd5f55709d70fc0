/** Names of backends, and how hostile text is shown. */
import { redact } from '../store/redact.ts'
import { invalid, typeName } from '../store/text.ts'

const NAME = /^[a-z0-9][a-z0-9_.-]{0,63}$/i
const SHOWN_LENGTH = 120

/** A name that can be registered. Those of `Object.prototype` cannot, because programs use names as keys of objects. */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && NAME.test(value) && !(value.toLowerCase() in Object.prototype)
}

/** The name in lower case; what is not a name is `INVALID_ARGUMENT`, or a TypeError where it is no string. */
export function checkName(value: unknown, what: string): string {
  if (typeof value !== 'string') throw new TypeError(`${what} must be a string, not ${typeName(value)}`)
  if (isName(value)) return value.toLowerCase()
  throw invalid(`${what} ${shown(value)} must be 1–64 letters, digits, "_", "-" or ".", and begin with a letter or digit`)
}

/** Foreign text for a message or a comment: quoted, without secrets, one line of ASCII, cut where it is long. */
export function shown(text: string): string {
  const cut = text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text
  return ascii(JSON.stringify(redact(cut)))
}

/** Control characters, and those that change how the text around them reads, as escapes. */
export function ascii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
