/** Listing workspaces: the same for every kind of store. A backend that cannot list them refuses, in every one of these cases. */
import { deepStrictEqual, ok } from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { isHoldfastError } from '../errors.ts'
import type { Page } from '../store/contract.ts'
import { compareBytes } from '../store/text.ts'
import type { ConformanceCase } from './case.ts'
import type { AnyStore, CommonSubject } from './common.ts'
import { allPages, expectError, expectRefused } from './expect.ts'

/** Not in bytewise order, and not in that of UTF-16 units or of any language. Others may hold data too, so each case adds a mark of its own. */
const NAMES = ['b', 'a', 'B', 'a ', 'é', '\u{1f600}', '\uffee', 'w:', 'a%', 'a_', '/..', "'; --", '~'.repeat(400)]

export function workspaceCases<S extends AnyStore>(subject: CommonSubject<S>): ConformanceCase<S>[] {
  return [...listing(subject), ...refusing(subject)]
}

function listing<S extends AnyStore>({ kind, seed }: CommonSubject<S>): ConformanceCase<S>[] {
  const fill = async (root: S, names: readonly string[]): Promise<void> => {
    for (const name of names) await seed(root.workspace(name) as S)
  }
  return [
    {
      id: `${kind}/workspaces/list`,
      sentence: 'Every workspace that holds something is listed, once, in bytewise order; those that hold nothing are not.',
      async run({ store, view }) {
        const mark = randomUUID()
        const names = NAMES.map((name) => mark + name)
        await fill(store, names)
        if (view === 'default') await seed(store)
        store.workspace(`${mark}-only-looked-at`)
        const listed = await listedBy(store, 1_000)
        if (listed === undefined) return
        deepStrictEqual(listed, [...new Set(listed)].toSorted(compareBytes))
        const own = listed.filter((name) => name === '' || name.startsWith(mark))
        deepStrictEqual(own, ['', ...names.toSorted(compareBytes)])
      },
    },
    {
      id: `${kind}/workspaces/pages`,
      sentence: 'Pages of any size give each workspace once; workspaces may come between them.',
      async run({ store }) {
        const mark = randomUUID()
        const names = NAMES.map((name) => mark + name)
        await fill(store, names)
        let others = 0
        for (const limit of [1, 2, 5]) {
          const listed = await listedBy(store, limit, () => seed(store.workspace(`!${mark}${others++}`) as S))
          const own = listed?.filter((name) => name.startsWith(mark))
          if (own !== undefined) deepStrictEqual(own, names.toSorted(compareBytes), `pages of ${limit}`)
        }
      },
    },
    {
      id: `${kind}/workspaces/emptied`,
      sentence: 'A workspace that was cleared is no longer listed.',
      async run({ store }) {
        const name = randomUUID()
        const view = store.workspace(name) as S & { clear(): Promise<unknown> }
        await seed(view)
        const before = await listedBy(store, 1_000)
        await view.clear()
        const after = await listedBy(store, 1_000)
        deepStrictEqual([before?.includes(name) ?? true, after?.includes(name) ?? false], [true, false])
      },
    },
  ]
}

function refusing<S extends AnyStore>({ kind, seed }: CommonSubject<S>): ConformanceCase<S>[] {
  return [
    {
      id: `${kind}/workspaces/view`,
      sentence: 'A workspace view lists no workspaces: UNSUPPORTED.',
      async run({ store }) {
        await seed(store)
        const view = store.workspace('view') as S
        await expectError('UNSUPPORTED', () => view.listWorkspaces(), store)
      },
    },
    {
      id: `${kind}/workspaces/checked`,
      sentence: 'A limit out of range and a cursor of another listing are refused.',
      async run({ store }) {
        for (const limit of [0, -1, 1.5, 1_001, '5']) await expectRefused(() => store.listWorkspaces({ limit: limit as number }))
        for (const cursor of ['', 'x', btoa('["other","a"]'), 5]) {
          await expectRefused(() => store.listWorkspaces({ cursor: cursor as string }))
        }
      },
    },
  ]
}

/** All names, by pages; undefined where the store says that it cannot list them. */
async function listedBy(store: AnyStore, limit: number, between?: () => Promise<void>): Promise<string[] | undefined> {
  try {
    return await allPages(limit, async (cursor): Promise<Page<string>> => {
      const page = await store.listWorkspaces({ limit, cursor })
      ok(page.items.every((name) => typeof name === 'string'))
      await between?.()
      return page
    })
  } catch (error) {
    if (isHoldfastError(error, 'UNSUPPORTED')) return undefined
    throw error
  }
}
