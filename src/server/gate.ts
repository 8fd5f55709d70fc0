/** Who is let in: holders of a token, and, as long as there is none, whoever is on this machine. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { LOCAL, type Access } from './access.ts'
import { HttpProblem } from './problem.ts'
import type { Tokens } from './tokens.ts'

/** Set by proxies, so that what comes from this machine's proxy is not taken for this machine's. */
const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via']

export class Gate {
  readonly #tokens: Tokens
  readonly #requireToken: boolean

  constructor(tokens: Tokens, requireToken: boolean) {
    this.#tokens = tokens
    this.#requireToken = requireToken
  }

  /** What the caller may do; `UNAUTHORIZED` without a token that holds. */
  async admit({ headers }: Pick<IncomingMessage, 'headers'>, authorization: string | null): Promise<Access> {
    if (authorization !== null) return this.#tokens.access(/^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? '')
    if (this.#requireToken || (await this.#tokens.any())) return this.#tokens.access('')
    if (isLocal(headers)) return LOCAL
    throw new HttpProblem('PERMISSION_DENIED', 'without a token, programs on this machine may call the server by 127.0.0.1')
  }
}

/**
 * A web page may make its own name mean this machine, or send what browsers send without asking first: both say where they come from. And a
 * proxy on this machine calls for others.
 */
function isLocal(headers: IncomingHttpHeaders): boolean {
  const { host = '127.0.0.1', origin } = headers
  if (FORWARDED.some((name) => headers[name] !== undefined)) return false
  return OWN_HOST.test(host) && (origin === undefined || OWN_ORIGIN.test(origin))
}

const OWN_HOST = /^(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?$/i
const OWN_ORIGIN = /^https?:\/\/(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?$/i
