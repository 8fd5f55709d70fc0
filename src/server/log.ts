/** One JSON line a request. It names the endpoint, never ids, keys, values or query strings. */

export interface Line {
  /** `request`: answered. `audit`: refused. `server`: about the server itself. */
  readonly event: 'request' | 'audit' | 'server'
  readonly level: 'info' | 'warn' | 'error'
  readonly message?: string | undefined
  readonly requestId?: string | undefined
  readonly method?: string | undefined
  /** The endpoint's path; `unknown` where there is none. */
  readonly route?: string | undefined
  readonly status?: number | undefined
  readonly durationMs?: number | undefined
  readonly tokenId?: string | undefined
  readonly code?: string | undefined
}

export type Log = (line: Line) => void

export function jsonLog(write: (text: string) => void): Log {
  return (line) => write(`${JSON.stringify({ time: new Date().toISOString(), ...line })}\n`)
}
