/** Keeps secrets out of what is shown. */

const USERINFO = /([a-z][a-z0-9+.-]*:\/\/)[^\s/?#@]*@/gi
const ASSIGNMENT = /\b(password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|auth[_-]?token)=[^\s&;,]+/gi

/** The text without the user part of URLs and without the values of parameters that name a secret. */
export function redact(text: string): string {
  return text.replace(USERINFO, '$1***@').replace(ASSIGNMENT, '$1=***')
}
