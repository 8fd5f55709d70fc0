/** The runner itself: what it reports, what it cleans up, and that it runs under `node:test` too. */
import { spawnSync } from 'node:child_process'
import { fail } from 'node:assert/strict'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import {
  conversationCases,
  defineConformance,
  formatReport,
  reportToJson,
  runConformance,
  wireOutage,
  type ConformanceCase,
  type Harness,
  type TestRunner,
} from '../../src/conformance/index.ts'
import type { ConversationStore } from '../../src/conversation/store.ts'
import { HoldfastError } from '../../src/errors.ts'
import { memoryHarness } from './conversation-harness.ts'

/** The least a store may be; it keeps a diary. */
class Plain {
  readonly kind = 'plain'
  readonly backend = 'diary'
  readonly capabilities = { trick: false }
  readonly name: string
  readonly diary: string[]

  constructor(diary: string[], name = 'root') {
    this.diary = diary
    this.name = name
  }

  workspace(id: string): Plain {
    return new Plain(this.diary, id)
  }

  async close(): Promise<void> {
    this.diary.push(`close ${this.name}`)
  }
}

function plainHarness(diary: string[]): Harness<Plain> {
  return {
    open: async () => new Plain(diary),
    reopen: async () => new Plain(diary, 'second'),
    dispose: async () => void diary.push('dispose'),
  }
}

function plainCase(
  id: string,
  run: ConformanceCase<Plain>['run'],
  more: Partial<ConformanceCase<Plain>> = {},
): ConformanceCase<Plain> {
  return { id, sentence: `This is ${id}.`, run, ...more }
}

const fine = async (): Promise<void> => undefined

describe('runConformance', () => {
  it('reports what passed, what failed and what was not run, with the reason', async () => {
    const cases = [
      plainCase('plain/good', fine),
      plainCase('plain/bad', async () => fail('no good')),
      plainCase('plain/trick', fine, { skip: (store) => (store.capabilities.trick ? undefined : 'capabilities.trick is false') }),
      plainCase('plain/outage', fine, { outage: true }),
      plainCase('plain/reopened', fine, { reopens: true }),
    ]
    const { reopen: _, ...harness } = plainHarness([])
    const seen: string[] = []
    const report = await runConformance({ cases, harness, onResult: ({ id }) => seen.push(id) })
    expect(seen).toEqual(cases.map(({ id }) => id))
    expect(report).toMatchObject({ kind: 'plain', backend: 'diary', view: 'default', passed: 1, failed: 1, notRun: 3 })
    expect(report.results).toMatchObject([
      { status: 'passed' },
      { status: 'failed', error: { message: 'no good' } },
      { status: 'not-run', reason: 'capabilities.trick is false' },
      { status: 'not-run', reason: expect.stringContaining('cut') as string },
      { status: 'not-run', reason: expect.stringContaining('reopen') as string },
    ])
  })

  it('closes every handle and then disposes of the data, also after a failure', async () => {
    const diary: string[] = []
    const two = plainCase(
      'plain/two',
      async ({ another }) => {
        await another()
        fail()
      },
      { reopens: true },
    )
    await runConformance({ cases: [two], harness: plainHarness(diary) })
    expect(diary).toEqual(['close root', 'close second', 'dispose'])
  })

  it('closes everything before it reopens', async () => {
    const diary: string[] = []
    const again = plainCase('plain/again', async ({ reopen }) => void diary.push((await reopen()).name), { reopens: true })
    await runConformance({ cases: [again], harness: plainHarness(diary) })
    expect(diary.slice(0, 2)).toEqual(['close root', 'second'])
  })

  it('gives a workspace of its own to every case of the workspace view', async () => {
    const names: string[] = []
    const note = async ({ store, view }: { store: Plain; view: string }): Promise<void> => void names.push(view, store.name)
    await runConformance({
      cases: [plainCase('plain/a', note), plainCase('plain/b', note)],
      harness: plainHarness([]),
      view: 'workspace',
    })
    const [view, one, , two] = names
    expect([view, new Set([one, two, 'root']).size]).toEqual(['workspace', 3])
  })
})

describe('runConformance, where something goes wrong', () => {
  it('ends a case that takes too long', async () => {
    const slow = plainCase('plain/slow', () => sleep(10_000, undefined, { ref: false }))
    const report = await runConformance({ cases: [slow], harness: plainHarness([]), timeoutMs: 20 })
    expect(report.results).toMatchObject([{ status: 'failed', error: { message: 'not finished within 20 ms' } }])
  })

  it('reports a harness that cannot open, and one that cannot close', async () => {
    const harness: Harness<Plain> = { open: () => Promise.reject(new Error('no engine')) }
    expect(await runConformance({ cases: [plainCase('plain/a', fine)], harness })).toMatchObject({ failed: 1, kind: undefined })
    const stuck = { ...plainHarness([]), dispose: () => Promise.reject(new Error('still there')) }
    const report = await runConformance({ cases: [plainCase('plain/a', fine)], harness: stuck })
    expect(report.results).toMatchObject([{ status: 'failed', error: { message: 'still there' } }])
  })
})

describe('runConformance, as asked', () => {
  it('runs only the chosen cases, by id or by the beginning of ids', async () => {
    const cases = ['plain/a', 'plain/a/b', 'plain/ab', 'plain/c'].map((id) => plainCase(id, fine))
    const ids = async (...only: string[]) =>
      (await runConformance({ cases, harness: plainHarness([]), only })).results.map(({ id }) => id)
    expect(await ids('plain/a')).toEqual(['plain/a', 'plain/a/b'])
    expect(await ids('plain/ab', 'plain/c')).toEqual(['plain/ab', 'plain/c'])
    expect(await ids('plain/')).toHaveLength(4)
  })

  it('keeps the order of the cases when several run at a time', async () => {
    const cases = [30, 5, 15, 1].map((ms) => plainCase(`plain/${ms}`, () => sleep(ms)))
    const report = await runConformance({ cases, harness: plainHarness([]), concurrency: 4 })
    expect(report.results.map(({ id }) => id)).toEqual(cases.map(({ id }) => id))
  })

  it('fails a case of the workspace view that changes the rows of another workspace', async () => {
    const vandal: ConformanceCase<ConversationStore> = {
      id: 'conversation/vandal',
      sentence: 'It deletes what is not its own.',
      run: async ({ store }) => void (await store.workspace('').deleteSession('s')),
    }
    const run = (view: 'default' | 'workspace') => runConformance({ cases: [vandal], harness: memoryHarness(), view })
    expect(await run('default')).toMatchObject({ passed: 1 })
    expect((await run('workspace')).results).toMatchObject([
      { error: { message: expect.stringContaining('another workspace') as string } },
    ])
  })
})

describe('wireOutage', () => {
  class Engine {
    readonly name = 'engine'
    #count = 0
    async count(): Promise<number> {
      return ++this.#count
    }
    async close(): Promise<string> {
      return 'closed'
    }
  }

  it('cuts every method but close, and heals', async () => {
    const { backend, cut, heal } = wireOutage(new Engine())
    expect(await backend.count()).toBe(1)
    cut()
    await expect(backend.count()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect([backend.name, await backend.close()]).toEqual(['engine', 'closed'])
    heal()
    expect(await backend.count()).toBe(2)
  })
})

describe('defineConformance', () => {
  it('registers every case in both views and passes on failures and reasons', async () => {
    const bodies = new Map<string, (context: { skip(reason?: string): unknown }) => Promise<void>>()
    let block = ''
    const runner: TestRunner = {
      describe(name, body) {
        block = name
        body()
      },
      it: (name, _, body) => void bodies.set(`${block} > ${name}`, body),
    }
    const cases = [plainCase('plain/bad', async () => fail('no good')), plainCase('plain/outage', fine, { outage: true })]
    defineConformance(runner, { name: 'plain', cases, harness: plainHarness([]) })
    expect([...bodies.keys()]).toEqual([
      'plain, default view > plain/bad: This is plain/bad.',
      'plain, default view > plain/outage: This is plain/outage.',
      'plain, workspace view > plain/bad: This is plain/bad.',
      'plain, workspace view > plain/outage: This is plain/outage.',
    ])
    const [bad, outage] = [...bodies.values()]
    const reasons: (string | undefined)[] = []
    const context = { skip: (reason?: string) => reasons.push(reason) }
    await expect(bad!(context)).rejects.toThrow('no good')
    await outage!(context)
    expect(reasons).toEqual([expect.stringContaining('cut')])
  })

  it('runs the suite under node:test', () => {
    const file = join(import.meta.dirname, 'conversation.node-test.ts')
    const { status, stdout } = spawnSync(process.execPath, ['--test', '--test-reporter=tap', file], { encoding: 'utf8' })
    const counted = (name: string): number => Number(new RegExp(`^# ${name} (\\d+)$`, 'm').exec(stdout)?.[1])
    expect(stdout.match(/^ *not ok .*/gm) ?? []).toEqual([])
    expect([status, counted('tests')]).toEqual([0, 2 * conversationCases.length])
    expect(stdout).toMatch(/# SKIP capabilities\.search is true/)
  })
})

describe('reports', () => {
  const cases = [
    plainCase('plain/good', fine),
    plainCase('plain/bad', () => Promise.reject(new HoldfastError('CONFLICT', 'taken'))),
    plainCase('plain/outage', fine, { outage: true }),
  ]

  it('are readable', async () => {
    const text = formatReport(await runConformance({ cases, harness: plainHarness([]) }))
    expect(text.split('\n').map((line) => line.trim())).toEqual([
      'plain store "diary", default view',
      '3 cases: 1 passed, 1 failed, 1 not run',
      '',
      'FAILED  plain/bad',
      'This is plain/bad.',
      'HoldfastError: taken',
      '',
      'Not run:',
      expect.stringMatching(/^plain\/outage: /),
      '',
    ])
  })

  it('are JSON', async () => {
    const json = reportToJson(await runConformance({ cases, harness: plainHarness([]) }))
    expect(JSON.parse(JSON.stringify(json))).toEqual(json)
    expect(json).toMatchObject({ kind: 'plain', backend: 'diary', passed: 1, failed: 1, notRun: 1 })
    expect(json.results[1]).toMatchObject({ id: 'plain/bad', status: 'failed', error: { code: 'CONFLICT', message: 'taken' } })
    expect(json.results[2]).toMatchObject({ status: 'not-run', reason: expect.stringContaining('cut') as string })
  })
})
