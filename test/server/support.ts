/** A server in this process, on a port of its own. */
import { serve, type ServerType } from '@hono/node-server'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { openPersistence, type PersistenceOptions } from '../../src/index.ts'
import { PluginHost } from '../../src/plugin-storage/index.ts'
import { createApp, type AppOptions } from '../../src/server/app.ts'
import type { Line } from '../../src/server/log.ts'
import { Tokens } from '../../src/server/tokens.ts'

export interface TestServer extends AsyncDisposable {
  readonly url: string
  readonly tokens: Tokens
  readonly lines: Line[]
  close(): Promise<void>
}

const MEMORY = { config: false, conversation: 'memory', knowledge: 'memory', state: 'memory' } as const

export async function startServer(stores: PersistenceOptions = MEMORY, options: Partial<AppOptions> = {}): Promise<TestServer> {
  const db = await openPersistence({ config: false, ...stores })
  const { conversation, knowledge, state } = db
  const lines: Line[] = []
  const served = { conversation, knowledge, state, plugins: new PluginHost({ state }) }
  const app = createApp({ served, state, log: (line) => lines.push(line), ...options })
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
  await once(server, 'listening')
  const close = async (): Promise<void> => {
    await end(server)
    app.close()
    await db.close()
  }
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, tokens: new Tokens(state), lines, close, [Symbol.asyncDispose]: close }
}

async function end(server: ServerType): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  if ('closeAllConnections' in server) server.closeAllConnections()
  await closed
}
