/** How a command says that it failed: a code, what happened, what to do; exit code 1, or 2 for wrong usage. */
import { CommanderError } from 'commander'
import { ERROR_CODES, HoldfastError, isHoldfastError, redact } from '../index.ts'
import { printable } from './terminal.ts'

export const EXIT = { ok: 0, failure: 1, usage: 2 } as const

/** Wrong usage that only the command itself can see. */
export class UsageError extends Error {}

/** Writes an error to stderr and returns the exit code that belongs to it. */
export function reportFailure(error: unknown, debug: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  if (error instanceof UsageError) {
    complain('USAGE', error.message, 'See `holdfast --help`.')
    return EXIT.usage
  }
  const known = isHoldfastError(error) ? error : fromSystem(error)
  if (known === undefined) complain('UNEXPECTED', messageOf(error), 'Run it again with --debug for the stack, and report it.')
  else complain(known.code, known.message, remedyOf(known))
  if (debug) process.stderr.write(`${stackOf(error)}\n`)
  return EXIT.failure
}

export function complain(code: string, message: string, remedy: string): void {
  process.stderr.write(`error ${code}: ${printable(redact(message))}\n  ${printable(remedy)}\n`)
}

function remedyOf(error: HoldfastError): string {
  const { remedy } = ERROR_CODES[error.code]
  return error.outcome === 'unknown' ? `${remedy} It is not known whether the write happened.` : remedy
}

/** Files and folders that the user named. */
const FILE_ERRORS: Readonly<Record<string, 'NOT_FOUND' | 'PERMISSION_DENIED' | 'CONFLICT' | 'UNAVAILABLE'>> = {
  ENOENT: 'NOT_FOUND',
  EACCES: 'PERMISSION_DENIED',
  EPERM: 'PERMISSION_DENIED',
  EROFS: 'PERMISSION_DENIED',
  EEXIST: 'CONFLICT',
  EISDIR: 'CONFLICT',
  ENOTDIR: 'CONFLICT',
  ENOSPC: 'UNAVAILABLE',
}

function fromSystem(error: unknown): HoldfastError | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined
  const code = FILE_ERRORS[error.code]
  return code === undefined ? undefined : new HoldfastError(code, error.message)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}

/** Only stacks: other members of foreign errors may hold options, and so secrets. */
function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const own = redact(error.stack ?? messageOf(error))
    .split('\n')
    .map(printable)
    .join('\n')
  return error.cause === undefined ? own : `${own}\ncaused by ${stackOf(error.cause)}`
}
