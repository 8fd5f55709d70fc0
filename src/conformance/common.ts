/** What holds for every store, whatever its kind: one list of cases, built for each kind. */
import { deepStrictEqual, notDeepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import type { Kind } from '../errors.ts'
import type { CallOptions, StoreBase } from '../store/contract.ts'
import type { ConformanceCase } from './case.ts'
import { expectError, expectNotApplied, expectRefused, expectTypeError } from './expect.ts'
import { BAD_IDS, NEAR_DUPLICATES, NON_STRINGS } from './hostile.ts'
import { workspaceCases } from './workspaces.ts'

/** A store of any kind. */
export interface AnyStore extends StoreBase {
  readonly capabilities: object
  workspace(id: string): unknown
}

/** A call of one store method with valid arguments, which must pass `options` on as the method's last parameter. */
export type Call<S> = (store: S, options?: CallOptions) => Promise<unknown>

/** What the common cases need to know of a kind. */
export interface CommonSubject<S extends AnyStore> {
  readonly kind: Kind
  /** Writes a little under fixed names: two calls on empty stores write the same, but for times and minted ids. */
  seed(store: S): Promise<void>
  /** All that callers can see, as plain data; equal before and after a call that changed nothing. */
  snapshot(store: S): Promise<unknown>
  /** Every method that reads, by name, with arguments that find what `seed` wrote; without those the store declares it cannot do. */
  reads(store: S): Readonly<Record<string, Call<S>>>
  /** Every method that writes, by name; each must succeed on a seeded store when all are called once, in this order. */
  writes(store: S): Readonly<Record<string, Call<S>>>
}

/** The cases that hold for every store, for one kind. */
export function commonCases<S extends AnyStore>(subject: CommonSubject<S>): ConformanceCase<S>[] {
  return [
    ...describing(subject),
    ...closing(subject),
    ...aborting(subject),
    ...timing(subject),
    ...isolating(subject),
    ...separating(subject),
    ...failing(subject),
    ...workspaceCases(subject),
  ]
}

function describing<S extends AnyStore>({ kind }: CommonSubject<S>): ConformanceCase<S>[] {
  return [
    {
      id: `${kind}/common/describes-itself`,
      sentence: 'A store tells its kind, its backend, its capabilities and its limits.',
      async run({ store }) {
        strictEqual(store.kind, kind)
        ok(typeof store.backend === 'string' && store.backend !== '', 'the backend has no name')
        ok(typeof store.capabilities === 'object' && store.capabilities !== null, 'there are no capabilities')
        for (const [name, limit] of Object.entries(store.limits)) ok(limit > 0, `limit ${name} is ${limit}`)
      },
    },
    {
      id: `${kind}/common/ping`,
      sentence: 'ping resolves while the engine answers.',
      run: ({ store }) => store.ping(),
    },
  ]
}

function closing<S extends AnyStore>({ kind, seed, snapshot, reads, writes }: CommonSubject<S>): ConformanceCase<S>[] {
  return [
    {
      id: `${kind}/common/close/idempotent`,
      sentence: 'close may be called again, also at the same time.',
      async run({ store }) {
        await Promise.all([store.close(), store.close()])
        await store.close()
      },
    },
    {
      id: `${kind}/common/close/refuses`,
      sentence: 'After close every method rejects with STORE_CLOSED and does nothing.',
      async run({ store }) {
        await seed(store)
        const calls = { ...reads(store), ...writes(store), ping }
        await store.close()
        for (const call of Object.values(calls)) await expectNotApplied('STORE_CLOSED', () => call(store), store)
      },
    },
    {
      id: `${kind}/common/close/dispose`,
      sentence: 'Leaving the scope of `await using` closes the store.',
      async run({ store }) {
        await store[Symbol.asyncDispose]()
        await expectError('STORE_CLOSED', () => store.ping(), store)
      },
    },
    {
      id: `${kind}/common/close/view`,
      sentence: 'A workspace view closes only itself.',
      async run({ store }) {
        await seed(store)
        const before = await snapshot(store)
        const view = store.workspace('another') as S
        await seed(view)
        await view.close()
        await expectError('STORE_CLOSED', () => view.ping(), store)
        deepStrictEqual(await snapshot(store), before)
        await (store.workspace('another') as S).ping()
      },
    },
  ]
}

function ping(store: AnyStore, options?: CallOptions): Promise<void> {
  return store.ping(options)
}

function aborting<S extends AnyStore>({ kind, seed, snapshot, reads, writes }: CommonSubject<S>): ConformanceCase<S>[] {
  return [
    {
      id: `${kind}/common/abort/before`,
      sentence: 'A call whose signal is already aborted rejects with ABORTED and was not applied.',
      async run({ store }) {
        await seed(store)
        const before = await snapshot(store)
        const options = { signal: AbortSignal.abort() }
        const calls = { ...reads(store), ...writes(store), ping }
        for (const call of Object.values(calls)) await expectNotApplied('ABORTED', () => call(store, options), store)
        deepStrictEqual(await snapshot(store), before)
      },
    },
    {
      id: `${kind}/common/abort/unused`,
      sentence: 'A signal that does not abort and a generous timeout change nothing.',
      async run({ store }) {
        await seed(store)
        const options = { signal: new AbortController().signal, timeoutMs: 60_000 }
        for (const read of Object.values(reads(store))) deepStrictEqual(await read(store, options), await read(store))
      },
    },
  ]
}

function timing<S extends AnyStore>({ kind, seed, snapshot, reads, writes }: CommonSubject<S>): ConformanceCase<S>[] {
  return [
    {
      id: `${kind}/common/timeout/checked`,
      sentence: 'A timeoutMs that is no integer from 1 is refused, and nothing is written.',
      async run({ store }) {
        await seed(store)
        const before = await snapshot(store)
        const calls = { ...reads(store), ...writes(store), ping }
        for (const call of Object.values(calls)) {
          for (const timeoutMs of [0, -1, 1.5, Number.NaN, Infinity]) {
            await expectError('INVALID_ARGUMENT', () => call(store, { timeoutMs }))
          }
        }
        await expectTypeError(() => store.ping({ timeoutMs: '5' as unknown as number }))
        deepStrictEqual(await snapshot(store), before)
      },
    },
  ]
}

function isolating<S extends AnyStore>({ kind, seed, snapshot, writes }: CommonSubject<S>): ConformanceCase<S>[] {
  return [
    {
      id: `${kind}/common/workspace/isolated`,
      sentence: 'Nothing crosses workspaces: what one writes, changes and deletes, another never sees.',
      async run({ store }) {
        const other = store.workspace('other') as S
        const empty = await snapshot(other)
        await seed(store)
        deepStrictEqual(await snapshot(other), empty, 'another workspace sees what was written')
        const before = await snapshot(store)
        await seed(other)
        for (const [name, write] of Object.entries(writes(other))) {
          await write(other)
          deepStrictEqual(await snapshot(store), before, `${name} in one workspace changed another`)
        }
      },
    },
    {
      id: `${kind}/common/workspace/same`,
      sentence: 'Two views of the same workspace see the same data.',
      async run({ store }) {
        const [one, two] = [store.workspace('shared') as S, store.workspace('shared') as S]
        const empty = await snapshot(two)
        await seed(one)
        notDeepStrictEqual(await snapshot(two), empty)
        deepStrictEqual(await snapshot(two), await snapshot(one))
      },
    },
  ]
}

function separating<S extends AnyStore>({ kind, seed, snapshot }: CommonSubject<S>): ConformanceCase<S>[] {
  return [
    {
      id: `${kind}/common/workspace/distinct`,
      sentence: 'Workspaces whose names differ in case, spaces, normalisation or a far byte are different.',
      async run({ store }) {
        const empty = await snapshot(store.workspace('none') as S)
        for (const [index, [one, two]] of NEAR_DUPLICATES.entries()) {
          await seed(store.workspace(`${index}:${one}`) as S)
          const found = await snapshot(store.workspace(`${index}:${two}`) as S)
          deepStrictEqual(found, empty, `${JSON.stringify(two)} sees what ${JSON.stringify(one)} holds`)
        }
      },
    },
    {
      id: `${kind}/common/workspace/checked`,
      sentence: 'A workspace name that is too long, ill-formed, holds U+0000 or is no string is refused.',
      async run({ store }) {
        const open = async (name: unknown): Promise<unknown> => store.workspace(name as string)
        for (const [, id] of BAD_IDS) if (id !== '') await expectError('INVALID_ARGUMENT', () => open(id))
        for (const value of NON_STRINGS) await expectRefused(() => open(value))
      },
    },
  ]
}

function failing<S extends AnyStore>({ kind, seed, snapshot, reads, writes }: CommonSubject<S>): ConformanceCase<S>[] {
  return [
    {
      id: `${kind}/common/outage/reads`,
      sentence: 'While the engine cannot be reached every read rejects with UNAVAILABLE; it never answers "empty".',
      outage: true,
      async run({ store, cut }) {
        await seed(store)
        const calls = { ...reads(store), ping }
        await cut()
        for (const call of Object.values(calls)) await expectError('UNAVAILABLE', () => call(store), store)
      },
    },
    {
      id: `${kind}/common/outage/writes`,
      sentence: 'While the engine cannot be reached every write rejects with UNAVAILABLE and says what is known of its outcome.',
      outage: true,
      async run({ store, cut }) {
        await seed(store)
        await cut()
        for (const call of Object.values(writes(store))) {
          const { outcome } = await expectError('UNAVAILABLE', () => call(store), store)
          ok(outcome === 'unknown' || outcome === 'not-applied', `outcome is ${outcome}`)
        }
      },
    },
    {
      id: `${kind}/common/outage/recovers`,
      sentence: 'After an outage the same store works again and holds what it held.',
      outage: true,
      async run({ store, cut, heal }) {
        await seed(store)
        const before = await snapshot(store)
        await cut()
        await expectError('UNAVAILABLE', () => store.ping(), store)
        await heal()
        await store.ping()
        deepStrictEqual(await snapshot(store), before)
        for (const write of Object.values(writes(store))) await write(store)
      },
    },
  ]
}
