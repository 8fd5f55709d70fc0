/** SQLite's result codes as ours. https://sqlite.org/rescode.html */
import { HoldfastError, isHoldfastError, type ErrorCode, type Outcome } from '../errors.ts'

const BUSY = 5
const LOCKED = 6
const CONSTRAINT = 19
/** Extended codes of violated keys: PRIMARYKEY, UNIQUE, ROWID. */
const KEY_VIOLATIONS: ReadonlySet<number> = new Set([1555, 2067, 2579])

const CODES: Readonly<Record<number, readonly [ErrorCode, Outcome, string]>> = {
  5: ['UNAVAILABLE', 'not-applied', 'another process held the lock all the time; is a transaction left open?'],
  6: ['UNAVAILABLE', 'not-applied', 'another connection held the lock all the time'],
  8: ['PERMISSION_DENIED', 'not-applied', 'the file or its folder cannot be written'],
  10: ['UNAVAILABLE', 'unknown', 'the disk reported an error'],
  11: ['CORRUPT', 'not-applied', 'the file is damaged; restore it from a backup'],
  13: ['UNAVAILABLE', 'not-applied', 'the disk is full'],
  14: ['UNAVAILABLE', 'not-applied', 'the file cannot be opened; check that its folder exists and may be written'],
  18: ['VALUE_TOO_LARGE', 'not-applied', 'a value is larger than SQLite allows (1,000,000,000 bytes)'],
  26: ['CORRUPT', 'not-applied', 'the file is not an SQLite database; is the path right?'],
}

/** True for a lock that another connection holds. */
export function isBusy(error: unknown): boolean {
  const code = primaryCode(error)
  return code === BUSY || code === LOCKED
}

export function translateSqliteError(error: unknown, path: string): HoldfastError {
  if (isHoldfastError(error)) return error
  const message = error instanceof Error ? error.message : String(error)
  if (primaryCode(error) === CONSTRAINT && KEY_VIOLATIONS.has(extendedCode(error) ?? 0)) {
    return new HoldfastError('CONFLICT', `already there: ${message}`, { outcome: 'not-applied', cause: error })
  }
  const known = CODES[primaryCode(error) ?? 0]
  if (known === undefined) return new HoldfastError('UNAVAILABLE', `${path}: ${message}`, { cause: error })
  const [code, outcome, meaning] = known
  return new HoldfastError(code, `${path}: ${meaning} (${message})`, { outcome, cause: error })
}

function extendedCode(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('errcode' in error)) return undefined
  return typeof error.errcode === 'number' ? error.errcode : undefined
}

function primaryCode(error: unknown): number | undefined {
  const code = extendedCode(error)
  return code === undefined ? undefined : code & 0xff
}
