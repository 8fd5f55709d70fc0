import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KNOWLEDGE_STORES, type KnowledgeStore } from '../src/index.ts'
import type { FilterNode } from '../src/knowledge/filter.ts'
import type { LoadProgress } from '../src/knowledge/live-index.ts'
import { ExactScan } from '../src/knowledge/scan-exact.ts'
import { KernelScan } from '../src/knowledge/scan-kernel.ts'

const DIMENSION = 256
/** More than are searched in this thread. */
const ROWS = 21_000
const THIRD: FilterNode = { op: 'eq', path: ['third'], value: 1 }

let state = 1
function random(): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return state / 2 ** 32
}

function vector(): Float32Array {
  return Float32Array.from({ length: DIMENSION }, () => random() - 0.5)
}

function pick(): string {
  return `d${Math.floor(random() * ROWS)}`
}

async function untilThreaded(scan: KernelScan<number>): Promise<void> {
  for (let i = 0; !scan.threaded; i++) {
    expect(i).toBeLessThan(500)
    await wait(20)
  }
}

describe('the threads of the scan', () => {
  const plain = new ExactScan<number>(DIMENSION, 'cosine')
  const fast = KernelScan.create<number>(DIMENSION, 'cosine', 'auto')!

  beforeAll(async () => {
    for (let i = 0; i < ROWS; i++) write(`d${i}`)
    await untilThreaded(fast)
  })
  afterAll(() => fast.close())

  function write(id: string): void {
    const [v, value] = [vector(), Math.floor(random() * 1e9)]
    for (const scan of [plain, fast]) scan.upsert(id, v, { third: value % 3 }, value)
  }

  it('answer as of the call, whatever is written meanwhile', async () => {
    const answers: Promise<void>[] = []
    const near = vector()
    for (let round = 0; round < 40; round++) {
      const query = near.map((x) => x + (random() - 0.5) / 4)
      const limit = 1 + Math.floor(random() * 30)
      const filter = round % 3 === 0 ? THIRD : undefined
      const found = fast.search(query, limit, filter)
      const expected = plain.search(query, limit, filter)
      answers.push(Promise.all([found, expected]).then(([actual, wanted]) => expect(actual).toEqual(wanted)))
      // The best of all are what changes, so that whoever read them late, or half, would show.
      for (const { id } of await expected) {
        if (random() < 0.5) write(id)
        else expect(fast.delete(id)).toBe(plain.delete(id))
      }
      for (let i = 0; i < 300; i++) write(pick())
      const v = query.map((x) => x + (random() - 0.5) / 100)
      for (const scan of [plain, fast]) scan.upsert(`new${round}`, v, { third: 1 }, round)
      if (round % 4 === 0) await wait(1)
      if (round % 10 === 9) await Promise.all(answers)
    }
    await Promise.all(answers)
    expect(fast.size).toBe(plain.size)
    expect(fast.threaded).toBe(true)
  })

  it('are not needed for small searches, which leave the event loop its turns', async () => {
    const query = vector()
    const expected = await plain.search(query, 9, THIRD)
    let turns = 0
    let isOver = false
    const count = (): void => void (isOver || (turns++, setImmediate(count)))
    setImmediate(count)
    for (let i = 0; i < 60; i++) expect(await fast.search(query, 9, THIRD)).toEqual(expected)
    const atOnce = await Promise.all(Array.from({ length: 60 }, () => fast.search(query, 9, THIRD)))
    isOver = true
    for (const found of atOnce) expect(found).toEqual(expected)
    // Each looks at nearly two million numbers.
    expect(turns).toBeGreaterThan(9)
  })

  it('finish what they have when a collection is closed, which still answers then', async () => {
    const other = KernelScan.create<number>(DIMENSION, 'dot', 'exact')!
    const same = new ExactScan<number>(DIMENSION, 'dot')
    for (let i = 0; i < ROWS; i++) {
      const v = vector()
      for (const scan of [other, same]) scan.upsert(`d${i}`, v, {}, i)
    }
    await untilThreaded(other)
    const query = vector()
    const expected = await same.search(query, 20)
    const running = [other.search(query, 20), other.search(query, 20), other.search(query, 20)]
    other.close()
    for (const found of await Promise.all(running)) expect(found).toEqual(expected)
    expect(other.threaded).toBe(false)
    expect(await other.search(query, 20)).toEqual(expected)
    // Those of the other collection go on.
    expect(fast.threaded).toBe(true)
  })
})

describe('a large collection in a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-scan-'))
  const path = join(folder, 'knowledge.db')
  let one: KnowledgeStore
  let two: KnowledgeStore

  beforeAll(async () => {
    one = await KNOWLEDGE_STORES.create('sqlite', { path, durability: 'relaxed' })
    // Other options: it shares nothing in memory.
    two = await KNOWLEDGE_STORES.create('sqlite', { path, scan: 'exact', durability: 'relaxed' })
    await one.createCollection('docs', { dimension: DIMENSION })
    for (let i = 0; i < ROWS; i += 1000) {
      const documents = Array.from({ length: Math.min(1000, ROWS - i) }, (_, j) => ({
        id: `d${i + j}`,
        content: `text ${i + j}`,
        embedding: vector(),
        metadata: { third: (i + j) % 3 },
      }))
      await one.insert('docs', documents)
    }
  })
  afterAll(async () => {
    await Promise.all([one.close(), two.close()])
    rmSync(folder, { recursive: true, force: true })
  })

  it('is loaded with progress, and leaves the event loop its turns', async () => {
    const seen: LoadProgress[] = []
    const listen = (message: unknown): number => seen.push(message as LoadProgress)
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    subscribe('holdfast:knowledge:load', listen)
    try {
      await one.search('docs', { embedding: vector(), limit: 3 })
    } finally {
      unsubscribe('holdfast:knowledge:load', listen)
      clearInterval(timer)
    }
    expect(seen.length).toBeGreaterThan(10)
    expect(seen.at(-1)).toEqual({ workspace: '', collection: 'docs', loaded: ROWS, total: ROWS })
    expect(seen.map(({ loaded }) => loaded)).toEqual(seen.map(({ loaded }) => loaded).toSorted((a, b) => a - b))
    expect(turns).toBeGreaterThan(10)
  })

  it('shows each write to the next search, and both ways give the same', async () => {
    for (let i = 0; i < 10; i++) {
      const embedding = vector()
      const [writer, reader] = i % 2 === 0 ? [one, two] : [two, one]
      await writer.upsert('docs', [{ id: 'wanted', content: String(i), embedding, metadata: { round: i } }])
      const [hit] = await reader.search('docs', { embedding, limit: 1 })
      expect(hit).toMatchObject({ id: 'wanted', content: String(i) })
      expect(hit!.score).toBeCloseTo(1, 9)
      const filter = { third: 1 }
      expect(await one.search('docs', { embedding, limit: 20, filter })).toEqual(
        await two.search('docs', { embedding, limit: 20, filter }),
      )
      await writer.delete('docs', { ids: ['wanted'] })
      expect((await reader.search('docs', { embedding, limit: 1 }))[0]!.id).not.toBe('wanted')
    }
  })
})

describe('the ceiling of memory', () => {
  const documents = (count: number): { id: string; content: string; embedding: Float32Array }[] =>
    Array.from({ length: count }, (_, i) => ({ id: `d${i}`, content: '', embedding: vector() }))
  const refused = {
    code: 'QUOTA_EXCEEDED',
    message: expect.stringMatching(/maxVectorMemoryMb.*lancedb.*pgvector.*qdrant/s) as string,
  }

  it('refuses a write in memory whole, and counts all collections of a store', async () => {
    await using store = await KNOWLEDGE_STORES.create('memory', { maxVectorMemoryMb: 1 })
    await store.createCollection('one', { dimension: DIMENSION })
    await store.createCollection('two', { dimension: DIMENSION })
    await store.insert('one', documents(500))
    await expect(store.insert('two', documents(500))).rejects.toMatchObject(refused)
    expect(await store.count('two')).toBe(0)
    await store.upsert('one', documents(500))
    await store.deleteCollection('one')
    await store.insert('two', documents(500))
    expect(await store.search('two', { embedding: vector(), limit: 600 })).toHaveLength(500)
  })

  it('refuses a search in a file, where what is stored stays', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-scan-'))
    const path = join(folder, 'knowledge.db')
    try {
      await using store = await KNOWLEDGE_STORES.create('sqlite', { path, maxVectorMemoryMb: 1 })
      await store.createCollection('docs', { dimension: DIMENSION })
      await store.insert('docs', documents(1000))
      await expect(store.search('docs', { embedding: vector() })).rejects.toMatchObject(refused)
      expect(await store.count('docs')).toBe(1000)
      await using roomy = await KNOWLEDGE_STORES.create('sqlite', { path })
      expect(await roomy.search('docs', { embedding: vector() })).toHaveLength(5)
      await store.delete('docs', { filter: {} })
      await store.insert('docs', documents(100))
      expect(await store.search('docs', { embedding: vector() })).toHaveLength(5)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

describe('several collections in a file', () => {
  it('take turns in memory where there is no room for all', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-scan-'))
    try {
      await using store = await KNOWLEDGE_STORES.create('sqlite', { path: join(folder, 'knowledge.db'), maxVectorMemoryMb: 1 })
      const names = ['one', 'two', 'three']
      for (const name of names) {
        await store.createCollection(name, { dimension: DIMENSION })
        await store.insert(
          name,
          Array.from({ length: 500 }, (_, i) => ({ id: `${name}${i}`, content: '', embedding: vector() })),
        )
      }
      for (const name of [...names, ...names]) {
        const [known] = await store.get(name, [`${name}7`], { withEmbeddings: true })
        const [hit] = await store.search(name, { embedding: known!.embedding!, limit: 1 })
        expect(hit!.id).toBe(`${name}7`)
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

describe('a process', () => {
  const entry = pathToFileURL(join(import.meta.dirname, '..', 'src', 'index.ts')).href

  /** Searches in a large collection, and prints whether the nearest is the one. It never closes its store. */
  const PROGRAM = `
    const { KNOWLEDGE_STORES } = await import(${JSON.stringify(entry)})
    const store = await KNOWLEDGE_STORES.create('memory')
    await store.createCollection('docs', { dimension: ${DIMENSION} })
    const vector = () => Float32Array.from({ length: ${DIMENSION} }, () => Math.random() - 0.5)
    const all = Array.from({ length: ${ROWS} }, (_, i) => ({ id: 'd' + i, content: '', embedding: vector() }))
    for (let i = 0; i < all.length; i += 1000) await store.insert('docs', all.slice(i, i + 1000))
    await new Promise((resolve) => setTimeout(resolve, 600))
    for (const i of [0, 5000, all.length - 1]) {
      const [hit] = await store.search('docs', { embedding: all[i].embedding, limit: 1 })
      if (hit.id !== 'd' + i || Math.abs(hit.score - 1) > 1e-9) throw new Error(JSON.stringify(hit))
    }
    console.log('found')
  `

  async function run(program: string, ...flags: string[]): Promise<string> {
    const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'pipe'] })
    const timer = setTimeout(() => child.kill('SIGKILL'), 60_000)
    let output = ''
    child.stdout.on('data', (data) => (output += String(data)))
    child.stderr.on('data', (data) => (output += String(data)))
    const [code] = (await once(child, 'close')) as [number | null]
    clearTimeout(timer)
    return `${output.trim()} ${code}`
  }

  it('ends by itself, threads or no threads', async () => {
    expect(await run(PROGRAM)).toBe('found 0')
  })

  it('needs neither WebAssembly nor shared memory', async () => {
    expect(await run(`delete globalThis.WebAssembly; ${PROGRAM}`)).toBe('found 0')
    expect(await run(`delete globalThis.SharedArrayBuffer; ${PROGRAM}`)).toBe('found 0')
  })

  it('may be forbidden threads', async () => {
    expect(await run(PROGRAM, '--permission', '--allow-fs-read=*')).toBe('found 0')
  })
})
