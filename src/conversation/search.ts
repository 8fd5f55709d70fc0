/** What a message search looks at, the same on every backend. */
import { parseJsonArray } from '../store/json.ts'
import { isSealedJson } from '../store/sealed.ts'
import { invalid, typeName } from '../store/text.ts'
import type { MessageRecord, MessageRecordSearch } from './contract.ts'
import { decodeEscaped } from './records.ts'

/**
 * The text that search terms must occur in: content and text parts, lower-cased, one a line. What some engines cannot index (U+0000,
 * lone surrogates) is U+FFFD, here and in the terms. Encrypted text is none.
 */
export function searchText({ content, escaped, parts }: Pick<MessageRecord, 'content' | 'escaped' | 'parts'>): string {
  const text = searchableContent(content, escaped)
  const others = searchableParts(parts)
  return others === null ? text : `${text}\n${others}`
}

/** The content's own share of `searchText`. */
export function searchableContent(content: string | null, escaped: boolean): string {
  if (content === null || (escaped && isSealedJson(content))) return ''
  return normalise(escaped ? decodeEscaped(content) : content)
}

/** The share of the parts in `searchText`; null where none of them is text. */
export function searchableParts(parts: string | null): string | null {
  if (parts === null || isSealedJson(parts)) return null
  const texts = textParts(parts)
  return texts.length === 0 ? null : normalise(texts.join('\n'))
}

/** What an engine that knows ASCII only makes of text in lower case. */
export function asciiLower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}

/** The terms of a search text, normalised like `searchText`. None: `INVALID_ARGUMENT`. */
export function searchTerms(text: unknown): string[] {
  if (typeof text !== 'string') throw new TypeError(`text must be a string, not ${typeName(text)}`)
  const terms = normalise(text)
    .split(/\s+/)
    .filter((term) => term !== '')
  if (terms.length === 0) throw invalid('text must hold at least one term to search for')
  return [...new Set(terms)]
}

export function matchesTerms(message: MessageRecord, terms: MessageRecordSearch['terms']): boolean {
  const text = searchText(message)
  return terms.every((term) => text.includes(term))
}

/** Newest message first: by `createdAt`, then by seq. */
export function newestFirst(a: { readonly message: MessageRecord }, b: { readonly message: MessageRecord }): number {
  return b.message.createdAt - a.message.createdAt || b.message.seq - a.message.seq
}

function textParts(parts: string): string[] {
  return parseJsonArray(parts, 'the parts of a message').flatMap((part) => {
    const { type, text } = (part ?? {}) as { readonly type?: unknown; readonly text?: unknown }
    return type === 'text' && typeof text === 'string' ? [text] : []
  })
}

function normalise(text: string): string {
  return text.toLowerCase().toWellFormed().replaceAll('\0', '\uFFFD')
}
