/** A plugin in TypeScript that the tests run in each of its ways. */
import { blob, definePlugin, start, type SessionStorage } from '../../src/plugin/index.ts'

export const notes = definePlugin({
  manifest: { author: 'acme', name: 'notes', version: '1.0.0', storage: { sizeBytes: 4_096 } },
  tools: {
    remember: async ({ storage }, { key, text }) => {
      await storage.setText(key as string, text as string)
      return 'remembered'
    },
    recall: {
      description: 'What was remembered',
      parameters: [{ name: 'key', type: 'string', required: true }],
      run: async ({ storage }, { key }) => (await storage.getText(key as string)) ?? 'nothing',
    },
    async *count(_, { to }) {
      for (let i = 1; i <= Number(to); i++) yield { i }
    },
    picture: () => blob(Buffer.alloc(20_000, 7), 'image/png'),
    fail: () => {
      throw new RangeError('on purpose')
    },
    wide: async ({ storage }) => allOf(storage),
  },
})

/** One call of each method, and what became of it. */
async function allOf(storage: SessionStorage): Promise<Record<string, string>> {
  const calls: Record<string, () => unknown> = {
    set: () => storage.set('k', Buffer.from('1')),
    get: () => storage.get('k'),
    exist: () => storage.exist('k'),
    setJson: () => storage.setJson('j', { a: 1 }),
    getJson: () => storage.getJson('j'),
    getMany: () => storage.getMany(['k', 'j', 'none']),
    setMany: () => storage.setMany({ x: Buffer.from('x') }),
    keys: () => storage.keys(),
    increment: () => storage.increment('n'),
    setIfAbsent: () => storage.setIfAbsent('k', Buffer.from('2')),
    ttl: () => storage.ttl('k'),
    delete: () => storage.delete('k'),
    missing: () => storage.delete('k'),
  }
  const results: Record<string, string> = {}
  for (const [name, call] of Object.entries(calls)) {
    results[name] = await Promise.resolve()
      .then(call)
      .then(
        (value) => JSON.stringify(value instanceof Uint8Array ? [...value] : value) ?? 'undefined',
        (error: { code?: string }) => error.code ?? 'an error without a code',
      )
  }
  return results
}

if (import.meta.main) await start(notes)
