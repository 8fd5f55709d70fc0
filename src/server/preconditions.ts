/** ETags and the conditions that name them (RFC 9110), where the contracts have versions. */
import { isHoldfastError } from '../index.ts'
import { JSON_TYPE, jsonOf, Reply, type HeaderNotes } from './endpoint.ts'
import { HttpProblem } from './problem.ts'
import { bad } from './request.ts'

/** What stands between the quotes of the one ETag that a header names; undefined where there is no such header. */
export function etag(headers: Headers, name: 'if-match' | 'if-none-match'): string | undefined {
  const header = headers.get(name)
  if (header === null) return undefined
  const version = /^"([^"]*)"$/.exec(header.trim())?.[1]
  if (version === undefined) throw bad(`${name} takes one strong ETag, such as "7"`)
  return version
}

/** True where the header asks for `*`; the only thing that it may ask for. */
export function asksForNone(headers: Headers): boolean {
  const header = headers.get('if-none-match')
  if (header === null) return false
  if (header.trim() !== '*') throw bad('if-none-match takes only *')
  return true
}

/** A condition that an endpoint does not know, and so would pass over, is refused. */
export function checkConditions(headers: Headers, known: HeaderNotes = {}): void {
  for (const name of CONDITIONS) if (headers.has(name) && !(name in known)) throw bad(`${name} is not known here`)
}

const CONDITIONS = ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since']

/** A conflict of versions is a failed precondition where the caller had named one. */
export async function matching<T>(work: Promise<T>, isConditional: boolean): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!isConditional || !isHoldfastError(error, 'CONFLICT')) throw error
    throw new HttpProblem('CONFLICT', error.message, 412)
  }
}

export function failed(): HttpProblem {
  return new HttpProblem('CONFLICT', 'what is stored is not what the condition asks for', 412)
}

/** What has a version, with its ETag. */
export function withVersion(status: number, item: { readonly version: number }): Reply {
  return new Reply(status, jsonOf(item, 'conversations'), { ...JSON_TYPE, etag: `"${item.version}"` })
}
