import { DifyHost } from '../../../src/dify/index.ts'
import { STATE_STORES } from '../../../src/index.ts'
import { PluginHost } from '../../../src/plugin-storage/index.ts'
import { definePlugin, serveRemote, type SessionStorage } from '../../../src/plugin/index.ts'
import { join } from 'node:path'
import { kilobyte, type Group } from '../hot-paths.ts'

const KEY = 'a key of sufficient length'

/** A plugin that registered over TCP and its host in one process: what is counted is the work of both. */
export async function open(folder: string): Promise<Group> {
  const state = await STATE_STORES.create('sqlite', { path: join(folder, 'state.db') })
  const host = new DifyHost({ plugins: new PluginHost({ state }) })
  const registered = Promise.withResolvers<Awaited<ReturnType<typeof host.run>>>()
  const { address } = await host.listen({ keys: [{ key: KEY }], onPlugin: registered.resolve })
  const entered = Promise.withResolvers<SessionStorage>()
  const left = Promise.withResolvers<undefined>()
  const plugin = definePlugin({
    manifest: { author: 'acme', name: 'budget', version: '0.0.1', storage: { sizeBytes: 2 ** 20 } },
    tools: {
      stay: ({ storage }) => {
        entered.resolve(storage)
        return left.promise
      },
    },
  })
  const stop = new AbortController()
  const served = serveRemote(plugin, { address, key: KEY, signal: stop.signal })
  const session = Array.fromAsync((await registered.promise).invokeTool({ tool: 'stay', parameters: {}, workspaceId: 'w' }))
  const storage = await entered.promise
  return {
    paths: [
      { name: 'set', run: (i) => storage.set('key', Buffer.from(kilobyte(i))) },
      { name: 'get', run: () => storage.get('key') },
    ],
    [Symbol.asyncDispose]: async () => {
      left.resolve(undefined)
      await session
      stop.abort()
      await host.close()
      await served
      await state.close()
    },
  }
}
