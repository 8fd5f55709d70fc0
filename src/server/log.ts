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
  /** Whose connection it was, for what is refused; behind a proxy, the proxy's. */
  readonly address?: string | undefined
  readonly code?: string | undefined
}

export type Log = (line: Line) => void

export function jsonLog(write: (text: string) => void): Log {
  return (line) => write(`${JSON.stringify({ time: new Date().toISOString(), ...line })}\n`)
}

/** Lines of one turn of the event loop go out together: a write of its own for each would cost more than many a request. */
export function batched(write: (text: string) => void): (text: string) => void {
  let pending = ''
  const flush = (): void => {
    const text = pending
    pending = ''
    write(text)
  }
  return (text) => {
    if (pending === '') setImmediate(flush)
    pending += text
  }
}
