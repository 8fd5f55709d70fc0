/** `holdfast/client` where there is nothing of Node: bundled as for browsers, run with what browsers have. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { createContext, Script } from 'node:vm'
import { beforeAll, describe, it } from 'vitest'
import { build } from 'vite'
import { ROOT } from '../support.ts'
import { newToken, served } from './support.ts'

/** What every browser and edge runtime has, and no more. */
const WEB_GLOBALS = [
  'fetch',
  'Headers',
  'Request',
  'Response',
  'URL',
  'URLSearchParams',
  'TextEncoder',
  'TextDecoder',
  'crypto',
  'AbortController',
  'AbortSignal',
  'DOMException',
  'Event',
  'EventTarget',
  'ReadableStream',
  'setTimeout',
  'clearTimeout',
  'queueMicrotask',
  'performance',
  'atob',
  'btoa',
  'console',
] as const

let bundle = ''

beforeAll(async () => {
  const result = await build({
    root: ROOT,
    configFile: false,
    logLevel: 'silent',
    build: {
      write: false,
      minify: false,
      target: 'es2024',
      lib: { entry: join(ROOT, 'src/client/index.ts'), formats: ['iife'], name: 'holdfast' },
    },
  })
  const [output] = [result].flat() as unknown as { output: { code: string; imports: string[] }[] }[]
  assert.equal(output!.output.length, 1)
  assert.deepEqual(output!.output[0]!.imports, [])
  bundle = output!.output[0]!.code
})

interface Page {
  readonly done?: unknown
}

/** Runs a program behind the bundle; `holdfast` is what the client exports. */
async function run(program: string, globals: Readonly<Record<string, unknown>>): Promise<unknown> {
  const web = Object.fromEntries(WEB_GLOBALS.map((name) => [name, (globalThis as unknown as Record<string, unknown>)[name]]))
  const context = createContext({ ...web, ...globals })
  new Script(bundle).runInContext(context)
  new Script(`globalThis.done = (async () => {${program}})()`).runInContext(context)
  const found: unknown = await (context as Page).done
  return JSON.parse(JSON.stringify(found))
}

describe('the client in a browser', () => {
  it('needs nothing of Node', async () => {
    assert(!/\bfrom\s*["']node:|require\(/.test(bundle))
    assert.deepEqual(await run('return [typeof process, typeof Buffer, typeof require, typeof setImmediate]', {}), [
      'undefined',
      'undefined',
      'undefined',
      'undefined',
    ])
    assert(bundle.length < 400_000, `${bundle.length} characters`)
  })

  it('stores and finds everything', async () => {
    const server = await served()
    const token = await newToken(server, { workspaces: ['w1'] })
    const program = `
      const db = await holdfast.connect({ url, token, workspace: 'w1' })
      await db.state.set('ключ', { a: [1, -0, 'x', null] })
      await db.state.setBytes('bytes', new Uint8Array([0, 255, 128]), { ttl: 60 })
      await db.conversation.createSession({ id: 's', metadata: { plan: 'gold' } })
      await db.conversation.addMessages('s', [{ role: 'user', content: 'Ä first \\u0000 \\ud800' }, { role: 'assistant', content: 'second' }])
      await db.knowledge.createCollection('docs', { dimension: 3 })
      await db.knowledge.insert('docs', [
        { id: 'a', content: 'near', embedding: [1, 0, 0], metadata: { year: 2026 } },
        { id: 'b', content: 'far', embedding: [0, 1, 0] },
      ])
      const [hit] = await db.knowledge.search('docs', { embedding: [1, 0.1, 0], limit: 1, withEmbeddings: true })
      let code
      try {
        await db.conversation.getMessages('none', { limit: -1 })
      } catch (error) {
        code = holdfast.isHoldfastError(error) && error.code
      }
      const page = await db.state.scan({ limit: 1 })
      const result = {
        value: await db.state.get('ключ'),
        bytes: Array.from(await db.state.getBytes('bytes')),
        count: await db.state.increment('n', 2),
        keys: [page.items, (await db.state.scan({ limit: 1, cursor: page.cursor })).items],
        messages: (await db.conversation.getMessages('s')).map(({ seq, content }) => [seq, content]),
        found: (await db.conversation.searchMessages({ text: 'FIRST' })).length,
        hit: [hit.id, hit.metadata, Array.from(hit.embedding), hit.contentHash.length],
        code,
      }
      await db.close()
      return result`
    assert.deepEqual(await run(program, { url: server.url, token }), {
      value: { a: [1, 0, 'x', null] },
      bytes: [0, 255, 128],
      count: 2,
      keys: [['bytes'], ['n']],
      messages: [
        [1, 'Ä first \u0000 \ud800'],
        [2, 'second'],
      ],
      found: 1,
      hit: ['a', { year: 2026 }, [1, 0, 0], 16],
      code: 'INVALID_ARGUMENT',
    })
    assert.deepEqual(await server.db.workspace('w1').state.get('ключ'), { a: [1, -0, 'x', null] })
  })

  it('says what is wrong: a token, a server that is none, no server, a call that is given up', async () => {
    const server = await served(undefined, { requireToken: true })
    const program = `
      const codeOf = (work) => work.then(() => 'ok', (error) => error.code ?? String(error))
      const never = { url, token, fetch: () => new Promise(() => undefined) }
      const stopped = new AbortController()
      return [
        await codeOf(holdfast.connect({ url, token: 'hf_wrong' })),
        await codeOf(holdfast.connect({ url: url + '/healthz', token, fetch: async () => new Response('{"status":"ok"}') })),
        await codeOf(holdfast.connect({ url: 'http://127.0.0.1:9', retries: 0 })),
        await codeOf(holdfast.connect({ url: 'ftp://x' })),
        await codeOf(holdfast.connect({ url, token: 'two words' })),
        await codeOf(holdfast.connect({ url, token }).then((db) => db.state.get('k', { signal: AbortSignal.abort() }))),
      ]`
    assert.deepEqual(await run(program, { url: server.url, token: await newToken(server) }), [
      'UNAUTHORIZED',
      'UNAVAILABLE',
      'UNAVAILABLE',
      'INVALID_OPTIONS',
      'INVALID_OPTIONS',
      'ABORTED',
    ])
  })
})
