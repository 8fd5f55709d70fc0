/** The backends on plain files, where processes are killed and where several write at once. */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, it } from 'vitest'
import { CONVERSATION_STORES, STATE_STORES } from '../src/index.ts'
import { collect, run, scratch } from './support.ts'

const KILLS = Number(process.env['KILLS'] ?? 20)
const FIXTURE = 'test/fixtures/files-writer.ts'

function open(dir: string) {
  return Promise.all([
    CONVERSATION_STORES.create('json', { path: join(dir, 'conversations') }),
    STATE_STORES.create('file', { path: join(dir, 'state') }),
  ])
}

/** Lets a writer run for a random while, kills it, and gives the last number that it acknowledged of each write. */
async function writeUntilKilled(dir: string, first: number): Promise<Record<string, number>> {
  const child = run(FIXTURE, ['crash', dir, String(first)])
  const said: Record<string, number> = {}
  for await (const line of child.lines) {
    const [what = '', n] = line.split(' ')
    said[what] = Number(n)
    if (what === 'ready') void sleep(Math.random() * 60).then(() => child.process.kill('SIGKILL'))
  }
  deepStrictEqual(await child.ended, { code: null, signal: 'SIGKILL', stderr: '' })
  return said
}

describe('a process killed with SIGKILL', () => {
  it(
    `loses nothing that it acknowledged, and leaves nothing half-written, at ${KILLS} random moments`,
    { timeout: 600_000 },
    async () => {
      const dir = join(await scratch(), 'data')
      let first = 0
      let rounds = 0
      let count = 0
      for (let kill = 0; kill < KILLS; kill++) {
        const said = await writeUntilKilled(dir, first)
        const [conversation, state] = await open(dir)
        const last = (what: string): number => said[what] ?? first - 1
        const messages = await conversation.getMessages('s')
        const ids = new Set(messages.map(({ id }) => id))
        for (let n = first; n <= last('message'); n++) ok(ids.has(`${n}-a`), `message ${n} is gone after kill ${kill}`)
        deepStrictEqual(
          messages.map(({ seq }) => seq),
          messages.map((_, i) => i + 1),
        )
        strictEqual(messages.length % 3, 0, 'a part of a batch')
        for (let n = first; n <= last('session'); n++) deepStrictEqual((await conversation.getSession(`S/${n}`))?.state, { n })
        const session = await conversation.getSession('s')
        ok(last('update') < first || Number(session?.state['n']) >= last('update'), 'an update is gone')
        strictEqual(session?.lastSeq, messages.length)
        for (let n = first; n <= last('state'); n++) deepStrictEqual(await state.get(`key ${n}`), { n })
        ok(last('both') < first || Number(await state.get('left')) >= last('both'), 'a commit is gone')
        deepStrictEqual(await state.get('left'), await state.get('right'), 'half of a commit')
        count = Math.max(count, said['count'] ?? 0)
        ok(Number((await state.get('count')) ?? 0) >= count, 'an increment is gone')
        rounds += last('message') - first + 1
        first = Math.max(...['message', 'session', 'update', 'state', 'both'].map(last)) + 3
        await Promise.all([conversation.close(), state.close()])
      }
      console.log(`${KILLS} kills, ${rounds} rounds of writes acknowledged, none lost`)
      ok(rounds > KILLS)
    },
  )
})

describe('four processes on the same folders', () => {
  it('append consecutively, lose no update, and see no lock error', { timeout: 120_000 }, async () => {
    const dir = join(await scratch(), 'data')
    const rounds = 100
    const children = ['a', 'b', 'c', 'd'].map((name) => run(FIXTURE, ['contend', dir, name, String(rounds)]))
    const reports = await Promise.all(
      children.map(async (child) => {
        const lines = await collect(child.lines)
        deepStrictEqual(await child.ended, { code: 0, signal: null, stderr: '' })
        return lines.join('')
      }),
    )
    console.log(`event-loop delay with four writers:\n${reports.join('\n')}`)
    const [conversation, state] = await open(dir)
    const messages = await conversation.getMessages('s')
    deepStrictEqual(
      messages.map(({ seq }) => seq),
      Array.from({ length: 4 * rounds * 3 }, (_, i) => i + 1),
    )
    for (let i = 0; i < messages.length; i += 3) {
      deepStrictEqual(
        messages.slice(i, i + 3).map(({ id }) => id.slice(-1)),
        ['a', 'b', 'c'],
        'a batch was torn',
      )
    }
    strictEqual((await conversation.listSessions({ limit: 1_000 })).items.length, 4 * rounds + 1)
    strictEqual(await state.get('count'), 4 * rounds)
    strictEqual(Object.keys(await state.hgetall('hash')).length, 4 * rounds)
    strictEqual((await state.keys('?/*')).length, 4 * rounds)
    await Promise.all([conversation.close(), state.close()])
  })
})
