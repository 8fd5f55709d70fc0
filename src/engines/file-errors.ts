/** What the file system says, as our errors. */
import { HoldfastError, isHoldfastError, type ErrorCode, type Outcome } from '../errors.ts'

const CODES: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  EACCES: ['PERMISSION_DENIED', 'the folder or a file in it cannot be read or written'],
  EPERM: ['PERMISSION_DENIED', 'the folder or a file in it cannot be written'],
  EROFS: ['PERMISSION_DENIED', 'the folder is on a disk that cannot be written'],
  ENOSPC: ['UNAVAILABLE', 'the disk is full'],
  EDQUOT: ['UNAVAILABLE', 'the disk quota is used up'],
  EMFILE: ['UNAVAILABLE', 'this process has too many files open'],
  EEXIST: ['UNAVAILABLE', 'a file is where a folder belongs, or the copy is there already'],
  ENOTDIR: ['UNAVAILABLE', 'a file is where a folder belongs'],
}

/** Errors of the system as ours; others stay as they are. */
export function translateFileError(error: unknown, path: string, outcome: Outcome = 'not-applied'): unknown {
  if (isHoldfastError(error) || !(error instanceof Error) || !('syscall' in error)) return error
  const system = String((error as NodeJS.ErrnoException).code)
  const known = CODES[system]
  if (known === undefined) return new HoldfastError('UNAVAILABLE', `${path}: ${error.message}`, { outcome, cause: error })
  const [code, meaning] = known
  return new HoldfastError(code, `${path}: ${meaning} (${system})`, { outcome, cause: error })
}
