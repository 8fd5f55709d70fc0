/** How a command says that it failed: a code, what happened, what to do; exit code 1, or 2 for wrong usage. */
import { CommanderError } from 'commander'
import type { HoldfastError } from '../index.ts'
import { printable } from './terminal.ts'

export const EXIT = { ok: 0, failure: 1, usage: 2 } as const

/** Wrong usage that only the command itself can see. */
export class UsageError extends Error {}

/** Writes an error to stderr and returns the exit code that belongs to it. */
export async function reportFailure(error: unknown, debug: boolean): Promise<number> {
  // Commander has written its own already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  if (error instanceof UsageError) {
    complain('USAGE', error.message, 'See `holdfast --help`.')
    return EXIT.usage
  }
  // Wrong usage needs no more than commander, and so is answered at once.
  const { ERROR_CODES, isHoldfastError, redact } = await import('../index.ts')
  const code = isHoldfastError(error) ? error.code : fileErrorCode(error)
  if (code === undefined)
    complain('UNEXPECTED', redact(messageOf(error)), 'Run it again with --debug for the stack, and report it.')
  else complain(code, redact((error as Error).message), ERROR_CODES[code].remedy + doubt(error as HoldfastError))
  if (debug) process.stderr.write(`${redact(stackOf(error)).split('\n').map(printable).join('\n')}\n`)
  return EXIT.failure
}

export function complain(code: string, message: string, remedy: string): void {
  process.stderr.write(`error ${code}: ${printable(message)}\n  ${printable(remedy)}\n`)
}

function doubt({ outcome }: HoldfastError): string {
  return outcome === 'unknown' ? ' It is not known whether the write happened.' : ''
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

function fileErrorCode(error: unknown): (typeof FILE_ERRORS)[string] | undefined {
  const isSystemError = error instanceof Error && 'code' in error && typeof error.code === 'string'
  return isSystemError ? FILE_ERRORS[error.code as string] : undefined
}

function messageOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}

/** Only stacks: other members of foreign errors may hold options, and so secrets. */
function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const own = error.stack ?? messageOf(error)
  return error.cause === undefined ? own : `${own}\ncaused by ${stackOf(error.cause)}`
}
