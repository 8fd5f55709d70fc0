/** From an HTTP request to checked input: query strings and JSON bodies are read strictly, and every problem is named. */
import type { z } from 'zod'
import type { JsonValue } from '../index.ts'
import { parseExactly } from '../store/parse.ts'
import { HttpProblem } from './problem.ts'

const MAX_PROBLEMS = 10
const MAX_QUERY_CHARS = 16_384

/** The members of a query string. One that comes twice, or is not UTF-8, could mean one thing to a proxy and another here. */
export function readQuery(target: string): Record<string, string> {
  // No request holds one; whoever is between may take what is behind it for nothing.
  if (target.includes('#')) throw bad('the request target holds a #')
  const at = target.indexOf('?')
  const query = at < 0 ? '' : target.slice(at + 1)
  if (query.length > MAX_QUERY_CHARS) throw bad('the query string is too long')
  if (!/^[!-~]*$/.test(query)) throw bad('the query string is not percent-encoded UTF-8')
  const found = new Map<string, string>()
  for (const part of query.split('&')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    const name = decode(equals < 0 ? part : part.slice(0, equals))
    if (found.has(name)) throw bad(`${shown(name)} is in the query twice`)
    found.set(name, equals < 0 ? '' : decode(part.slice(equals + 1)))
  }
  return Object.fromEntries(found)
}

function decode(part: string): string {
  if (!/[%+]/.test(part)) return part
  try {
    return decodeURIComponent(part.replaceAll('+', ' '))
  } catch {
    throw bad('the query string is not percent-encoded UTF-8')
  }
}

/** True where a body, or a part of one, is declared as JSON. */
export function isJson(headers: Headers): boolean {
  return headers.get('content-type')?.split(';')[0]?.trim().toLowerCase() === 'application/json'
}

export function checkMediaType(headers: Headers): void {
  if (!isJson(headers)) throw new HttpProblem('INVALID_ARGUMENT', 'the content type must be application/json', 415)
}

// A byte order mark is kept, and so refused by the JSON parser, rather than dropped in silence.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** JSON from its bytes, and its text; keys are read exactly, whatever escapes they hold. */
export function parseJson(bytes: Uint8Array): { readonly value: JsonValue; readonly text: string } {
  const text = textOf(bytes)
  try {
    return { value: parseExactly(text), text }
  } catch {
    // The parser's message would quote the body.
    throw bad('the body is not JSON')
  }
}

function textOf(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch {
    throw bad('the body is not UTF-8')
  }
}

/** What the schema makes of a value; all that is wrong with it is listed in one error, without the values. */
export function check<S extends z.ZodType>(schema: S, value: unknown, where: string): z.output<S> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issues = result.error.issues.slice(0, MAX_PROBLEMS).map((issue) => {
    const path = issue.path.map((part) => `.${String(part).slice(0, 64)}`).join('')
    return `${where}${path}: ${messageOf(issue)}`
  })
  throw bad(issues.join('; '))
}

/** Keys that are too many come from the caller, and are as long as they like. */
function messageOf(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'unrecognized_keys') return issue.message
  return `unknown member ${issue.keys.slice(0, MAX_PROBLEMS).map(shown).join(', ')}`
}

export function shown(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text)
}

export function bad(detail: string): HttpProblem {
  return new HttpProblem('INVALID_ARGUMENT', detail)
}
