/** Assertions that the cases of all kinds share; nothing but `node:assert`, so that they run anywhere. */
import { deepStrictEqual, fail, ok, strictEqual } from 'node:assert/strict'
import { isHoldfastError, type ErrorCode, type HoldfastError } from '../errors.ts'

/**
 * The error of a call that must be refused with this code. Where `store` is given, the error names its kind and backend. A call
 * that throws instead of rejecting fails too: store methods are asynchronous.
 */
export async function expectError(
  code: ErrorCode,
  work: () => Promise<unknown>,
  store?: { readonly kind: string; readonly backend: string },
): Promise<HoldfastError> {
  const error = await rejectionOf(work, code)
  if (!isHoldfastError(error)) fail(`expected ${code}, got ${shown(error)}`)
  strictEqual(error.code, code, `expected ${code}, got ${error.code}: ${error.message}`)
  if (store !== undefined) {
    strictEqual(error.kind, store.kind, `the error names kind ${error.kind}`)
    strictEqual(error.backend, store.backend, `the error names backend ${error.backend}`)
  }
  return error
}

/** Like `expectError`, of a write that certainly was not applied. */
export async function expectNotApplied(
  code: ErrorCode,
  work: () => Promise<unknown>,
  store?: { readonly kind: string; readonly backend: string },
): Promise<HoldfastError> {
  const error = await expectError(code, work, store)
  strictEqual(error.outcome, 'not-applied', `a write refused with ${code} was not applied, and the error must say so`)
  return error
}

/** A value of the wrong JavaScript type is a TypeError, which no store may pass on to its engine. */
export async function expectTypeError(work: () => Promise<unknown>): Promise<void> {
  const error = await rejectionOf(work, 'a TypeError')
  ok(error instanceof TypeError, `expected a TypeError, got ${shown(error)}`)
}

/** A value of the wrong type or out of bounds: a TypeError or `INVALID_ARGUMENT`, where the contract does not say which. */
export async function expectRefused(work: () => Promise<unknown>): Promise<void> {
  const error = await rejectionOf(work, 'a TypeError or INVALID_ARGUMENT')
  ok(error instanceof TypeError || isHoldfastError(error, 'INVALID_ARGUMENT'), `expected a refusal, got ${shown(error)}`)
}

async function rejectionOf(work: () => Promise<unknown>, expected: string): Promise<unknown> {
  const [result] = await Promise.allSettled([started(work)])
  if (result.status === 'fulfilled') fail(`expected ${expected}, but the call succeeded with ${typeof result.value}`)
  return result.reason
}

function started(work: () => Promise<unknown>): Promise<unknown> {
  try {
    return work()
  } catch (error) {
    return fail(`the call threw at once instead of rejecting: ${shown(error)}`)
  }
}

/** The same JSON value, down to the order of keys and negative zero. */
export function sameJson(actual: unknown, expected: unknown, message?: string): void {
  deepStrictEqual(actual, expected, message)
  strictEqual(JSON.stringify(actual), JSON.stringify(expected), message ?? 'the keys came back in another order')
}

/** All items of an async iterable. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = []
  for await (const item of items) collected.push(item)
  return collected
}

/**
 * All items of a listing, page by page, checking that no page exceeds the limit and that the pages come to an end.
 */
export async function allPages<T>(
  limit: number,
  page: (cursor: string | undefined) => Promise<{ items: T[]; cursor?: string }>,
  maxPages = 10_000,
): Promise<T[]> {
  const all: T[] = []
  let cursor: string | undefined
  for (let count = 0; ; count++) {
    ok(count < maxPages, 'the pages never end')
    const { items, cursor: next } = await page(cursor)
    ok(items.length <= limit, `a page of ${items.length} for a limit of ${limit}`)
    all.push(...items)
    if (next === undefined) return all
    cursor = next
  }
}

/** Runs `work` for each item, at most `width` at a time. */
export async function inParallel<T>(items: Iterable<T>, width: number, work: (item: T) => Promise<unknown>): Promise<void> {
  const pending = items[Symbol.iterator]()
  const worker = async (): Promise<void> => {
    for (let next = pending.next(); next.done !== true; next = pending.next()) await work(next.value)
  }
  await Promise.all(Array.from({ length: width }, worker))
}

function shown(error: unknown): string {
  if (isHoldfastError(error)) return `${error.code}: ${error.message}`
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}
