/** The refusals that every conversation backend gives in the same words. */
import { HoldfastError } from '../errors.ts'

export function sessionMissing(id: string): HoldfastError {
  return new HoldfastError('NOT_FOUND', `there is no session ${JSON.stringify(id)}`, { outcome: 'not-applied' })
}

export function messageMissing(sessionId: string, id: string): HoldfastError {
  return new HoldfastError('NOT_FOUND', `session ${JSON.stringify(sessionId)} has no message ${JSON.stringify(id)}`, {
    outcome: 'not-applied',
  })
}

export function sessionTaken(id: string, cause?: unknown): HoldfastError {
  return conflict(`the session id ${JSON.stringify(id)} is taken`, cause)
}

export function messageTaken(sessionId: string, cause?: unknown): HoldfastError {
  return conflict(`a message id of this append is taken in session ${JSON.stringify(sessionId)}`, cause)
}

export function staleVersion(id: string, expected: number | undefined, found: number): HoldfastError {
  return conflict(`session ${JSON.stringify(id)} is at version ${found}, not ${expected}`)
}

export function staleSeq(id: string, expected: number | undefined, found: number): HoldfastError {
  return conflict(`session ${JSON.stringify(id)} is at seq ${found}, not ${expected}`)
}

function conflict(message: string, cause?: unknown): HoldfastError {
  return new HoldfastError('CONFLICT', message, { outcome: 'not-applied', cause })
}
