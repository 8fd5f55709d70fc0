/** Keeps the secrets of one `create` call out of the errors that foreign code throws. */
import { redact } from '../store/redact.ts'
import type { OptionSpec } from '../store/options.ts'

/** Shorter ones would blot out ordinary text, and protect nothing. */
const MIN_LENGTH = 4

/** The values of secret options, and the passwords in options that are URLs. */
export function secretsOf(
  options: Readonly<Record<string, unknown>>,
  schema: Readonly<Record<string, OptionSpec>> = {},
): string[] {
  const values = Object.entries(options).flatMap(([name, value]) => {
    if (typeof value !== 'string') return []
    return schema[name]?.secret === true ? [value, encodeURIComponent(value)] : passwordsIn(value)
  })
  return values.filter((value) => value.length >= MIN_LENGTH)
}

function passwordsIn(text: string): string[] {
  const password = /:\/\/[^\s/?#]*?:([^\s]*)@/.exec(text)?.[1]
  if (password === undefined) return []
  try {
    return [password, decodeURIComponent(password)]
  } catch {
    // A `%` that escapes nothing: there is no second spelling.
    return [password]
  }
}

export function hide(text: string, secrets: readonly string[]): string {
  return secrets.reduce((shown, secret) => shown.replaceAll(secret, '***'), redact(text))
}

/** The error itself where nothing in it is secret, otherwise what can be shown of it. */
export function safeCause(error: unknown, secrets: readonly string[]): unknown {
  // Not imported: the ES module face of `node:util` loads worker threads and more, and errors are rare.
  const { inspect } = process.getBuiltinModule('node:util')
  const all = inspect(error, { depth: 4 })
  if (hide(all, secrets) === all) return error
  const { name, message, stack, code }: NodeJS.ErrnoException = error instanceof Error ? error : new Error(String(error))
  const copy = Object.assign(new Error(hide(message, secrets)), code === undefined ? {} : { code })
  copy.name = name
  if (stack !== undefined) copy.stack = hide(stack, secrets)
  return copy
}
