/** How a command says that it failed: a code, what happened, what to do; exit code 1, or 2 for wrong usage. */
import { CommanderError } from 'commander'
import type { ErrorCode, HoldfastError } from '../index.ts'
import { printable } from './terminal.ts'

export const EXIT = { ok: 0, failure: 1, usage: 2 } as const

/** Wrong usage that only the command itself can see. */
export class UsageError extends Error {}

/** A failure outside the stores, for which the command knows a better remedy than that of the code. */
export class Failure extends Error {
  readonly code: ErrorCode
  readonly remedy: string

  constructor(code: ErrorCode, message: string, remedy: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'Failure'
    this.code = code
    this.remedy = remedy
  }
}

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
  const failure = error instanceof Failure ? error : fileFailure(error)
  if (failure !== undefined) complain(failure.code, redact(failure.message), failure.remedy)
  else if (isHoldfastError(error)) complain(error.code, redact(error.message), ERROR_CODES[error.code].remedy + doubt(error))
  else complain('UNEXPECTED', redact(messageOf(error)), 'Run it again with --debug for the stack, and report it.')
  if (debug) process.stderr.write(`${redact(stackOf(error)).split('\n').map(printable).join('\n')}\n`)
  return EXIT.failure
}

export function complain(code: string, message: string, remedy: string): void {
  process.stderr.write(`error ${code}: ${printable(message)}\n  ${printable(remedy)}\n`)
}

function doubt({ outcome }: HoldfastError): string {
  return outcome === 'unknown' ? ' It is not known whether the write happened.' : ''
}

const CHECK_PATH = 'Check the path; a relative one counts from the working directory.'
const CHECK_RIGHTS = 'Allow it to whom this command runs as, or name another path.'

/** What the system says of files and folders that the user named: the code, what it means, the remedy. */
const FILE_ERRORS: Readonly<Record<string, readonly [ErrorCode, string, string]>> = {
  ENOENT: ['NOT_FOUND', 'there is no such file or folder', CHECK_PATH],
  EACCES: ['PERMISSION_DENIED', 'the system does not allow it', CHECK_RIGHTS],
  EPERM: ['PERMISSION_DENIED', 'the system does not allow it', CHECK_RIGHTS],
  EROFS: ['PERMISSION_DENIED', 'the disk is read-only', 'Name a path on another disk.'],
  EEXIST: ['CONFLICT', 'it is there already', 'Name another path, or remove what is there.'],
  EISDIR: ['CONFLICT', 'it is a folder', 'Name a file.'],
  ENOTDIR: ['CONFLICT', 'a part of the path is not a folder', CHECK_PATH],
  ENOSPC: ['UNAVAILABLE', 'the disk is full', 'Make room, and run it again.'],
}

function fileFailure(error: unknown): Failure | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined
  const known = FILE_ERRORS[error.code]
  if (known === undefined) return undefined
  const [code, meaning, remedy] = known
  const { path } = error as NodeJS.ErrnoException
  return new Failure(code, path === undefined ? error.message : `${path}: ${meaning}`, remedy)
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
