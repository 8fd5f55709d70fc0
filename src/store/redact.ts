/** Keeps secrets out of what is shown. */

// Up to the last `@`: people paste passwords that hold `@`, `/` or `#` unescaped.
const AFTER_SCHEME = /:\/\/[^\s"'`<>]+/g
const ASSIGNMENT =
  /(?<![\w-])([\w-]*(?:password|passwd|pwd|secret|token|(?:api|access|account|auth|private)[_-]?key))=[^\s&;,"'`]+/gi

/** The text without the user part of URLs and without the values of parameters that name a secret. */
export function redact(text: string): string {
  return text.replace(AFTER_SCHEME, withoutUser).replace(ASSIGNMENT, '$1=***')
}

function withoutUser(rest: string): string {
  const at = rest.lastIndexOf('@')
  return at === -1 ? rest : `://***${rest.slice(at)}`
}
