import { join } from 'node:path'
import { STATE_STORES } from '../../../src/index.ts'
import { generateKey, PluginHost, type PluginStorage } from '../../../src/plugin-storage/index.ts'
import { kilobyte, times, type Group, type HotPath } from '../hot-paths.ts'

const SCOPE = { workspaceId: 'w', pluginId: 'author/name' }
const KEYS = 100

export async function open(folder: string): Promise<Group> {
  const [plain, sealed] = await Promise.all(
    ['plain.db', 'sealed.db'].map((file) => STATE_STORES.create('sqlite', { path: join(folder, file) })),
  )
  const encryption = { current: 'k', keys: { k: generateKey() } }
  const storages = [
    new PluginHost({ state: plain! }).session(SCOPE).storage,
    new PluginHost({ state: sealed!, encryption }).session(SCOPE).storage,
  ] as const
  for (const storage of storages) await storage.setMany(new Map(times(KEYS, (i) => [key(i), value(i)])))
  return {
    paths: [...pathsOf(storages[0], ''), ...pathsOf(storages[1], ', encrypted')],
    [Symbol.asyncDispose]: async () => {
      await plain!.close()
      await sealed!.close()
    },
  }
}

function pathsOf(storage: PluginStorage, how: string): HotPath[] {
  return [
    { name: `get${how}`, run: (i) => storage.get(key(i)) },
    { name: `set${how}`, run: (i) => storage.set(key(i), value(i)) },
    { name: `100 sets at once${how}`, calls: 10, run: (i) => Promise.all(times(100, (n) => storage.set(key(n), value(i + n)))) },
  ]
}

function key(i: number): string {
  return `key-${String(i % KEYS).padStart(4, '0')}`
}

function value(i: number): Uint8Array {
  return Buffer.from(kilobyte(i))
}
