import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { openPersistence } from '../src/index.ts'
import { collect, run, scratch } from './support.ts'

const KILLS = 100

interface Acknowledged {
  message: number
  state: number
  count: number
  document: number
}

/** Lets a writer run for a random while, kills it, and gives what it had acknowledged. */
async function writeUntilKilled(dir: string, first: number): Promise<Acknowledged> {
  const child = run('test/fixtures/crash-writer.ts', [dir, String(first)])
  const lines: string[] = []
  for await (const line of child.lines) {
    lines.push(line)
    if (line === 'ready') void sleep(Math.random() * 60).then(() => child.process.kill('SIGKILL'))
  }
  expect(await child.ended).toEqual({ code: null, signal: 'SIGKILL', stderr: '' })
  const last = (what: string, none: number): number =>
    Number(lines.findLast((line) => line.startsWith(`${what} `))?.split(' ')[1] ?? none)
  return {
    message: last('message', first - 1),
    state: last('state', first - 1),
    count: last('count', 0),
    document: last('document', first - 1),
  }
}

describe('a process killed with SIGKILL', () => {
  it(
    `loses nothing that it acknowledged, and leaves nothing half-written, at ${KILLS} random moments`,
    { timeout: 300_000 },
    async () => {
      const dir = join(await scratch(), 'data')
      let first = 0
      let acknowledged = 0
      let count = 0
      for (let kill = 0; kill < KILLS; kill++) {
        const said = await writeUntilKilled(dir, first)
        await using db = await openPersistence({ dir, config: false })
        const ids = new Set((await db.conversation.getMessages('s')).map(({ id }) => id))
        const documents = await db.knowledge.get(
          'k',
          Array.from({ length: said.document - first + 3 }, (_, i) => [`${first + i}-a`, `${first + i}-b`]).flat(),
        )
        const left = documents.filter(({ id }) => id.endsWith('a')).map(({ id }) => id.slice(0, -2))
        const right = documents.filter(({ id }) => id.endsWith('b')).map(({ id }) => id.slice(0, -2))
        for (let n = first; n <= said.message; n++) expect(ids, `message ${n}, kill ${kill}`).toContain(`${n}-a`)
        for (let n = first; n <= said.state; n++) expect(await db.state.get(`key-${n}`)).toEqual({ n })
        expect(left.length).toBeGreaterThanOrEqual(said.document - first + 1)
        expect(right).toEqual(left)
        expect(ids.size % 3, 'a batch of three is there whole or not at all').toBe(0)
        const messages = await db.conversation.getMessages('s', { limit: 50 })
        expect(messages.map(({ seq }) => seq)).toEqual(messages.map((_, i) => ids.size - messages.length + 1 + i))
        count = Math.max(count, said.count)
        expect((await db.state.get<number>('count')) ?? 0).toBeGreaterThanOrEqual(count)
        acknowledged += said.message - first + 1
        first = Math.max(said.message, said.state, said.document) + 3
      }
      console.log(`${KILLS} kills, ${acknowledged} rounds of writes acknowledged, none lost`)
      expect(acknowledged).toBeGreaterThan(KILLS)
    },
  )
})

describe('four processes on one set of files', () => {
  it('append consecutively, lose no update, and see no lock error', { timeout: 120_000 }, async () => {
    const dir = join(await scratch(), 'data')
    const rounds = 100
    const children = ['a', 'b', 'c', 'd'].map((name) => run('test/fixtures/contending-writer.ts', [dir, name, String(rounds)]))
    const reports = await Promise.all(
      children.map(async (child) => {
        const lines = await collect(child.lines)
        expect(await child.ended).toEqual({ code: 0, signal: null, stderr: '' })
        return lines.join('')
      }),
    )
    console.log(`event-loop delay with four writers:\n${reports.join('\n')}`)
    await using db = await openPersistence({ dir, config: false })
    const messages = await db.conversation.getMessages('s')
    expect(messages.map(({ seq }) => seq)).toEqual(Array.from({ length: 4 * rounds * 2 }, (_, i) => i + 1))
    expect(await db.state.get('count')).toBe(4 * rounds)
    expect(Object.keys(await db.state.hgetall('hash'))).toHaveLength(4 * rounds)
    expect(await db.knowledge.count('k')).toBe(4 * rounds)
  })
})
