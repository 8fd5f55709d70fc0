/** From an HTTP request to checked input: query strings and JSON bodies are read strictly, and every problem is named. */
import type { z } from 'zod'
import type { JsonValue } from '../index.ts'
import { parseExactly } from '../store/parse.ts'
import { HttpProblem } from './problem.ts'
import { checkLength, limited } from './limits.ts'

const MAX_PROBLEMS = 10
const MAX_QUERY_CHARS = 16_384

/** The members of a query string. One that comes twice, or is not UTF-8, could mean one thing to a proxy and another here. */
export function readQuery(url: string): Record<string, string> {
  const at = url.indexOf('?')
  const query = at < 0 ? '' : url.slice(at + 1)
  if (query.length > MAX_QUERY_CHARS) throw bad('the query string is too long')
  const found = new Map<string, string>()
  for (const part of query.split('&')) {
    if (part === '') continue
    const [name, value = ''] = splitOnce(part, '=').map(decode) as [string, string?]
    if (found.has(name)) throw bad(`${shown(name)} is in the query twice`)
    found.set(name, value)
  }
  return Object.fromEntries(found)
}

function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator)
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)]
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part.replaceAll('+', ' '))
  } catch {
    throw bad('the query string is not percent-encoded UTF-8')
  }
}

/** A JSON body; keys are read exactly, whatever escapes they hold. */
export async function readJson(request: Request, maxBytes: number): Promise<JsonValue> {
  checkMediaType(request.headers)
  checkLength(request.headers, maxBytes)
  if (request.body === null) throw bad('the body is missing')
  const text = await readText(limited(request.body, maxBytes))
  try {
    return parseExactly(text)
  } catch {
    // The parser's message would quote the body.
    throw bad('the body is not JSON')
  }
}

async function readText(body: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let text = ''
  try {
    for await (const chunk of body) text += decoder.decode(chunk, { stream: true })
    return text + decoder.decode()
  } catch (error) {
    throw error instanceof TypeError ? bad('the body is not UTF-8') : error
  }
}

function checkMediaType(headers: Headers): void {
  const type = headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json') throw new HttpProblem('INVALID_ARGUMENT', 'the content type must be application/json', 415)
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
