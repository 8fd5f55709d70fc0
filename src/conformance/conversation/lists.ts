/** Listing sessions: order, filters, pages. */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import type { SessionQuery } from '../../conversation/contract.ts'
import type { ConversationStore } from '../../conversation/store.ts'
import {
  allPages,
  expectError,
  expectRefused,
  expectTypeError,
  idsOf,
  inParallel,
  range,
  said,
  sessionAt,
  START,
  tick,
  type ConversationCase,
} from './support.ts'

/** The ids of all sessions that match, read in pages of `limit`. */
async function listed(store: ConversationStore, query: SessionQuery = {}, limit = 100): Promise<string[]> {
  return idsOf(await allPages(limit, (cursor) => store.listSessions({ ...query, limit, cursor })))
}

/** Sessions that all have the same updatedAt, whose ids sort differently by UTF-16 unit, by locale and by byte. Bytewise order. */
const TIED = ['A', 'B', 'Z', '_', 'a', 'a ', 'aa', 'b', 'é', '\uFB01', '\uFFFD', '😀']

async function restoreTied(store: ConversationStore): Promise<void> {
  for (const id of TIED.toSorted(() => -1)) await store.restore(sessionAt(id, START), [])
}

const ordering: ConversationCase[] = [
  {
    id: 'conversation/list/newest-first',
    sentence: 'Sessions come newest updatedAt first, or oldest first with order asc, whatever the order of their creation.',
    async run({ store }) {
      for (const n of [3, 1, 4, 2]) await store.restore(sessionAt(`s${n}`, START + n), [])
      deepStrictEqual(await listed(store), ['s4', 's3', 's2', 's1'])
      deepStrictEqual(await listed(store, { order: 'desc' }), ['s4', 's3', 's2', 's1'])
      deepStrictEqual(await listed(store, { order: 'asc' }), ['s1', 's2', 's3', 's4'])
    },
  },
  {
    id: 'conversation/list/moves-up',
    sentence: 'An append or an update moves its session to the front.',
    async run({ store }) {
      for (const n of range(1, 4)) await store.restore(sessionAt(`s${n}`, START + n), [])
      await store.addMessage('s2', said('hello'))
      await tick()
      await store.updateSession('s1', { name: 'n' })
      deepStrictEqual(await listed(store), ['s1', 's2', 's4', 's3'])
    },
  },
  {
    id: 'conversation/list/whole-sessions',
    sentence: 'A listing gives sessions just as getSession does.',
    async run({ store }) {
      await store.createSession({ id: 's1', userId: 'u', agentId: 'a', name: 'n', state: { s: {} }, metadata: { m: null } })
      await store.createSession({ id: 's2' })
      await store.addMessage('s2', said('hello'))
      for (const session of (await store.listSessions()).items) deepStrictEqual(session, await store.getSession(session.id))
    },
  },
  {
    id: 'conversation/list/empty',
    sentence: 'Where nothing matches, the page is empty and has no cursor.',
    async run({ store }) {
      deepStrictEqual(await store.listSessions(), { items: [] })
      await store.createSession({ id: 's', userId: 'u' })
      deepStrictEqual(await store.listSessions({ userId: 'v' }), { items: [] })
    },
  },
  {
    id: 'conversation/list/ties',
    sentence: 'Sessions with the same updatedAt are ordered by id, bytewise, and both orders are each other reversed.',
    async run({ store }) {
      await restoreTied(store)
      deepStrictEqual(await listed(store, { order: 'asc' }), TIED)
      deepStrictEqual(await listed(store, { order: 'desc' }), TIED.toReversed())
    },
  },
]

const paging: ConversationCase[] = [
  {
    id: 'conversation/list/pages',
    sentence: 'Pages of any size give every session once, in order, also where all have the same updatedAt.',
    async run({ store }) {
      await restoreTied(store)
      for (const limit of [1, 2, 3, 5, TIED.length - 1, TIED.length, TIED.length + 1, 1_000]) {
        deepStrictEqual(await listed(store, { order: 'asc' }, limit), TIED, `limit ${limit}`)
        deepStrictEqual(await listed(store, {}, limit), TIED.toReversed(), `limit ${limit}`)
      }
    },
  },
  {
    id: 'conversation/list/default-limit',
    sentence: 'A page holds 100 sessions unless limit says otherwise, and a cursor where more follow.',
    async run({ store }) {
      await inParallel(range(1, 103), 20, (n) => store.createSession({ id: `s${n}` }))
      const first = await store.listSessions()
      strictEqual(first.items.length, 100)
      ok(first.cursor !== undefined, 'no cursor, though more follow')
      const second = await store.listSessions({ cursor: first.cursor })
      strictEqual(second.items.length, 3)
      strictEqual(new Set(idsOf([...first.items, ...second.items])).size, 103)
    },
  },
  {
    id: 'conversation/list/pages-meanwhile',
    sentence: 'While pages are read, sessions that nobody touches are seen once each, whatever happens to the others.',
    async run({ store }) {
      for (const n of range(1, 12)) await store.restore(sessionAt(`s${String(n).padStart(2, '0')}`, START + n), [])
      const seen: string[] = []
      await allPages(2, async (cursor) => {
        const page = await store.listSessions({ limit: 2, cursor })
        seen.push(...idsOf(page.items))
        if (seen.length === 4) {
          await store.addMessage('s01', said('moved to the front'))
          await store.deleteSession('s09')
          await store.createSession({ id: 'new' })
        }
        return page
      })
      deepStrictEqual(seen, ['s12', 's11', 's10', 's09', 's08', 's07', 's06', 's05', 's04', 's03', 's02'])
    },
  },
  {
    id: 'conversation/list/checked',
    sentence: 'A limit outside 1–1,000, a foreign cursor and an unknown order are refused.',
    async run({ store }) {
      for (const limit of [0, -1, 1_001, 1.5, Number.NaN])
        await expectError('INVALID_ARGUMENT', () => store.listSessions({ limit }))
      for (const cursor of ['', 'x', 'e30', "' OR 1=1", Buffer.from('["x"]').toString('base64url')]) {
        await expectError('INVALID_ARGUMENT', () => store.listSessions({ cursor }))
      }
      await expectTypeError(() => store.listSessions({ cursor: 5 as unknown as string }))
      await expectRefused(() => store.listSessions({ order: 'up' as 'asc' }))
    },
  },
]

/** Metadata values that a lax comparison takes for each other. */
const LOOKALIKES: Readonly<Record<string, string | number | boolean | null>> = {
  number: 1,
  text: '1',
  float: 1.5,
  floatText: '1.5',
  yes: true,
  yesText: 'true',
  no: false,
  noText: 'false',
  zero: 0,
  zeroText: '0',
  nothing: null,
  nothingText: 'null',
  empty: '',
  space: ' ',
  upper: 'ABC',
  lower: 'abc',
  quoted: '"1"',
  greatest: Number.MAX_SAFE_INTEGER,
  nextGreatest: Number.MAX_SAFE_INTEGER - 1,
}

const filtering: ConversationCase[] = [
  {
    id: 'conversation/list/by-user-and-agent',
    sentence: 'userId and agentId list exactly the sessions that have them; together, those that have both.',
    async run({ store }) {
      const owners = [
        ['u', 'a'],
        ['u', 'b'],
        ['v', 'a'],
        ['u', undefined],
        [undefined, 'a'],
        ['U', 'A'],
        ['u ', 'a '],
      ] as const
      for (const [n, [userId, agentId]] of owners.entries()) await store.createSession({ id: `s${n}`, userId, agentId })
      deepStrictEqual((await listed(store, { userId: 'u' })).toSorted(), ['s0', 's1', 's3'])
      deepStrictEqual((await listed(store, { agentId: 'a' })).toSorted(), ['s0', 's2', 's4'])
      deepStrictEqual(await listed(store, { userId: 'u', agentId: 'a' }), ['s0'])
      deepStrictEqual(await listed(store, { userId: 'w' }), [])
    },
  },
  {
    id: 'conversation/list/by-metadata',
    sentence: 'metadata lists the sessions whose top-level field equals the value; several must all be equal.',
    async run({ store }) {
      await store.createSession({ id: 's1', metadata: { topic: 'tax', year: 2026, deep: { topic: 'law' } } })
      await store.createSession({ id: 's2', metadata: { topic: 'tax', year: 2025 } })
      await store.createSession({ id: 's3', metadata: { topic: ['tax'], deep: { year: 2026 } } })
      await store.createSession({ id: 's4', userId: 'u', metadata: { topic: 'tax' } })
      deepStrictEqual((await listed(store, { metadata: { topic: 'tax' } })).toSorted(), ['s1', 's2', 's4'])
      deepStrictEqual(await listed(store, { metadata: { topic: 'tax', year: 2026 } }), ['s1'])
      deepStrictEqual(await listed(store, { metadata: { topic: 'tax' }, userId: 'u' }), ['s4'])
      deepStrictEqual((await listed(store, { metadata: {} })).length, 4)
      deepStrictEqual(await listed(store, { metadata: { missing: 'tax' } }), [])
      deepStrictEqual(await listed(store, { metadata: { 'deep.topic': 'law' } }), [])
    },
  },
  {
    id: 'conversation/list/metadata-types',
    sentence: 'A metadata filter tells types apart: 1 is not "1", true is not "true", null is not a missing field.',
    async run({ store }) {
      for (const [id, value] of Object.entries(LOOKALIKES)) await store.createSession({ id, metadata: { field: value } })
      await store.createSession({ id: 'missing' })
      await store.createSession({ id: 'object', metadata: { field: {} } })
      await store.createSession({ id: 'array', metadata: { field: [1, '1', true, null] } })
      for (const [id, value] of Object.entries(LOOKALIKES)) {
        deepStrictEqual(await listed(store, { metadata: { field: value } }), [id], `filter by ${JSON.stringify(value)}`)
      }
    },
  },
  {
    id: 'conversation/list/metadata-names',
    sentence: 'Metadata field names are plain text: dots, dollars, quotes, brackets and wildcards mean nothing.',
    async run({ store }) {
      const names = [
        'a.b',
        '$a',
        '$.a',
        'a[0]',
        '"a"',
        "'a'",
        'a"b',
        "a'b",
        'a\\b',
        'a b',
        '%',
        '_',
        '*',
        '',
        '漢',
        '😀',
        '0',
        '#',
        'a:b',
        '__proto__',
        'toString',
      ]
      for (const [n, name] of names.entries())
        await store.createSession({ id: `s${n}`, metadata: Object.fromEntries([[name, 'x']]) })
      await store.createSession({ id: 'nested', metadata: { a: { b: 'x' } } })
      for (const [n, name] of names.entries()) {
        deepStrictEqual(await listed(store, { metadata: Object.fromEntries([[name, 'x']]) }), [`s${n}`], JSON.stringify(name))
      }
    },
  },
  {
    id: 'conversation/list/metadata-changes',
    sentence: 'A filter sees what is stored now: a patch moves a session from one listing to another.',
    async run({ store }) {
      await store.createSession({ id: 's', userId: 'u', metadata: { topic: 'tax' } })
      await store.updateSession('s', { userId: 'v', metadata: { topic: 'law' } })
      deepStrictEqual(await listed(store, { metadata: { topic: 'tax' } }), [])
      deepStrictEqual(await listed(store, { userId: 'u' }), [])
      deepStrictEqual(await listed(store, { userId: 'v', metadata: { topic: 'law' } }), ['s'])
    },
  },
  {
    id: 'conversation/list/filter-before-limit',
    sentence: 'Filters apply before the limit: a page is full as long as enough sessions match.',
    async run({ store }) {
      for (const n of range(1, 40)) {
        const id = `s${String(n).padStart(2, '0')}`
        await store.restore(sessionAt(id, START + n, { userId: n % 10 === 0 ? 'u' : 'v', metadata: { ten: n % 10 === 0 } }), [])
      }
      for (const query of [{ userId: 'u' }, { metadata: { ten: true } }]) {
        deepStrictEqual(idsOf((await store.listSessions({ ...query, limit: 2 })).items), ['s40', 's30'])
        for (const limit of [1, 3, 4]) deepStrictEqual(await listed(store, query, limit), ['s40', 's30', 's20', 's10'])
      }
    },
  },
  {
    id: 'conversation/list/filter-checked',
    sentence: 'A metadata filter by what is no string, finite number, boolean or null is refused, never ignored.',
    async run({ store }) {
      await store.createSession({ id: 's', metadata: { a: {} } })
      const values: unknown[] = [{}, [], ['x'], Number.NaN, Infinity, 1n, Symbol('a'), new Date(0), { $ne: 1 }]
      for (const a of values) await expectRefused(() => store.listSessions({ metadata: { a: a as string } }))
      for (const metadata of ['a', 5, [], null])
        await expectRefused(() => store.listSessions({ metadata: metadata as unknown as {} }))
      for (const userId of [5, null, {}]) await expectRefused(() => store.listSessions({ userId: userId as unknown as string }))
    },
  },
]

export const listCases: ConversationCase[] = [...ordering, ...paging, ...filtering]
