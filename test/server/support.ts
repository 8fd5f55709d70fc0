/** A server in this process, on a port of its own. */
import { setTimeout as sleep } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import { openPersistence, type Persistence, type PersistenceOptions } from '../../src/index.ts'
import type { Line } from '../../src/server/log.ts'
import { serve, type RunningServer, type ServeOptions } from '../../src/server/serve.ts'
import { Tokens, type Grant } from '../../src/server/tokens.ts'

export interface TestServer extends AsyncDisposable {
  readonly url: string
  readonly server: RunningServer
  readonly db: Persistence
  readonly tokens: Tokens
  readonly lines: Line[]
  close(): Promise<void>
}

const MEMORY = { config: false, conversation: 'memory', knowledge: 'memory', state: 'memory' } as const

/** It ends its connections at once when it is closed, unless `drainMs` says otherwise. */
export async function startServer(stores: PersistenceOptions = MEMORY, options: Partial<ServeOptions> = {}): Promise<TestServer> {
  const db = await openPersistence({ config: false, ...stores })
  const lines: Line[] = []
  const log = (line: Line): void => void lines.push(line)
  const server = await serve({ persistence: db, port: 0, log, drainMs: 0, ...options })
  const close = async (): Promise<void> => {
    await server.close()
    await db.close()
  }
  return { url: server.url, server, db, tokens: new Tokens(db.state), lines, close, [Symbol.asyncDispose]: close }
}

/** The same, until the test ends. */
export async function served(...options: Parameters<typeof startServer>): Promise<TestServer> {
  const server = await startServer(...options)
  onTestFinished(() => server.close())
  return server
}

/** The text of a new token, for all that there is unless the grant says otherwise. */
export async function newToken({ tokens }: TestServer, grant: Partial<Grant> = {}): Promise<string> {
  return (await tokens.create({ name: 'test', workspaces: '*', plugins: '*', write: true, ...grant })).token
}

/** A request with a JSON body, where there is one, and the answer's. */
export async function call(
  url: string,
  method: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Headers; body: unknown }> {
  const json = body === undefined ? {} : { 'content-type': 'application/json' }
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
  const response = await fetch(url, { method, headers: { ...json, ...headers }, ...(text === undefined ? {} : { body: text }) })
  const answer = await response.text()
  return { status: response.status, headers: response.headers, body: answer === '' ? undefined : (JSON.parse(answer) as unknown) }
}

/** A query string. */
export function queryOf(members: Readonly<Record<string, string>>): string {
  return new URLSearchParams(members).toString()
}

export const bearer = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` })

/** Asks again and again until it holds; a line is logged after its answer has gone out. */
export async function eventually(holds: () => boolean | Promise<boolean>, what: string, timeoutMs = 5_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await sleep(5)
  }
}
