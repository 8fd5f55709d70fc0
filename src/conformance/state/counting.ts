/** What changes a value by what is there: `increment`, `compareAndSet`, `setIfAbsent`, alone and under concurrency. */
import assert from 'node:assert/strict'
import type { StateStore } from '../../state/store.ts'
import type { JsonValue } from '../../store/contract.ts'
import { expectNotApplied, expectTypeError } from '../expect.ts'
import { utf8, type StateCase } from './support.ts'

const MAX = Number.MAX_SAFE_INTEGER

const increments: readonly StateCase[] = [
  {
    id: 'state/increment/counts',
    sentence: '`increment` adds to the stored number, from 0 where there is none, and gives the sum.',
    async run({ store }) {
      assert.equal(await store.increment('k'), 1)
      assert.equal(await store.increment('k', 10), 11)
      assert.equal(await store.increment('k', -20), -9)
      assert.equal(await store.increment('k', 0), -9)
      assert.equal(await store.get('k'), -9)
      await store.set('k', 41)
      assert.equal(await store.increment('k'), 42)
      assert.equal(await store.increment('zero', 0), 0)
      assert.equal(await store.get('zero'), 0)
    },
  },
  {
    id: 'state/increment/not-a-number',
    sentence: '`increment` of what is no safe integer is a `CONFLICT`, and leaves it.',
    async run({ store }) {
      const values: JsonValue[] = ['5', '', 1.5, null, true, {}, [1], 2 ** 53]
      for (const value of values) {
        await store.set('k', value)
        await expectNotApplied('CONFLICT', () => store.increment('k'), store)
        assert.deepEqual(await store.get('k'), value)
      }
      await store.setBytes('k', utf8('five'))
      await expectNotApplied('CONFLICT', () => store.increment('k'), store)
    },
  },
  {
    id: 'state/increment/exact',
    sentence: 'Sums are exact up to the greatest safe integer; beyond it `increment` is a `CONFLICT`, and leaves the number.',
    async run({ store }) {
      assert.equal(await store.increment('max', MAX - 1), MAX - 1)
      assert.equal(await store.increment('max'), MAX)
      await expectNotApplied('CONFLICT', () => store.increment('max'), store)
      assert.equal(await store.increment('min', -MAX), -MAX)
      await expectNotApplied('CONFLICT', () => store.increment('min', -1), store)
      assert.deepEqual(await store.getMany(['max', 'min']), [MAX, -MAX])
    },
  },
  {
    id: 'state/increment/by-checked',
    sentence: '`increment` takes a safe integer and nothing else.',
    async run({ store }) {
      for (const by of [1.5, Number.NaN, Infinity, 2 ** 53]) {
        await expectNotApplied('INVALID_ARGUMENT', () => store.increment('k', by))
      }
      for (const by of ['1', null, 1n, {}]) await expectTypeError(() => store.increment('k', by as never))
      assert.equal(await store.exists('k'), false)
    },
  },
  {
    id: 'state/increment/concurrent',
    sentence: 'Of concurrent increments none is lost, and no two get the same sum.',
    async run({ store }) {
      const sums = await Promise.all(times(50, () => store.increment('k')))
      assert.deepEqual(
        sums.toSorted((a, b) => a - b),
        times(50, (i) => i + 1),
      )
      assert.equal(await store.get('k'), 50)
    },
  },
  {
    id: 'state/increment/concurrent-handles',
    sentence: 'Of increments from two handles at once none is lost.',
    reopens: true,
    async run({ store, another }) {
      const other = await another()
      const sums = await Promise.all(times(40, (i) => (i % 2 === 0 ? store : other).increment('k')))
      assert.equal(new Set(sums).size, 40)
      assert.equal(await store.get('k'), 40)
      assert.equal(await other.get('k'), 40)
    },
  },
]

const comparisons: readonly StateCase[] = [
  {
    id: 'state/compare-and-set/value',
    sentence: '`compareAndSet` writes only where the expected value is stored; `undefined` expects none.',
    async run({ store }) {
      assert.equal(await store.compareAndSet('k', 'a', 'x'), false)
      assert.equal(await store.exists('k'), false)
      assert.equal(await store.compareAndSet('k', undefined, 'a'), true)
      assert.equal(await store.compareAndSet('k', undefined, 'x'), false)
      assert.equal(await store.compareAndSet('k', 'b', 'x'), false)
      assert.equal(await store.get('k'), 'a')
      assert.equal(await store.compareAndSet('k', 'a', { b: 1 }), true)
      assert.deepEqual(await store.get('k'), { b: 1 })
    },
  },
  {
    id: 'state/compare-and-set/equality',
    sentence: '`compareAndSet` compares JSON values: types count, the order of keys does not.',
    async run({ store }) {
      await store.setMany({ text: '1', nothing: null, object: { a: [1, {}], b: 'x' } })
      assert.equal(await store.compareAndSet('text', 1, 'x'), false)
      for (const other of [0, false, '', {}]) assert.equal(await store.compareAndSet('nothing', other, 'x'), false)
      assert.equal(await store.compareAndSet('nothing', null, 'x'), true)
      assert.equal(await store.compareAndSet('object', { a: [1, {}] }, 'x'), false)
      assert.equal(await store.compareAndSet('object', { a: [1, []], b: 'x' }, 'x'), false)
      assert.equal(await store.compareAndSet('object', { b: 'x', a: [1, {}] }, 'x'), true)
    },
  },
  {
    id: 'state/compare-and-set/one-winner',
    sentence: 'Of concurrent `compareAndSet` calls that expect the same value exactly one succeeds.',
    async run({ store }) {
      await store.set('k', 'start')
      await oneWinner(store, (value) => store.compareAndSet('k', 'start', value))
    },
  },
  {
    id: 'state/compare-and-set/handles',
    sentence: 'Of `compareAndSet` calls from two handles exactly one succeeds.',
    reopens: true,
    async run({ store, another }) {
      const other = await another()
      await store.set('k', 'start')
      await oneWinner(other, (value) => (value % 2 === 0 ? store : other).compareAndSet('k', 'start', value))
    },
  },
  {
    id: 'state/set-if-absent/value',
    sentence: '`setIfAbsent` writes only where nothing is, and says whether it did.',
    async run({ store }) {
      assert.equal(await store.setIfAbsent('k', 'first'), true)
      assert.equal(await store.setIfAbsent('k', 'second'), false)
      assert.equal(await store.get('k'), 'first')
      await store.delete('k')
      assert.equal(await store.setIfAbsent('k', 'third'), true)
      assert.equal(await store.get('k'), 'third')
    },
  },
  {
    id: 'state/set-if-absent/one-winner',
    sentence: 'Of concurrent `setIfAbsent` calls exactly one succeeds, and its value is the one stored.',
    run: ({ store }) => oneWinner(store, (value) => store.setIfAbsent('k', value)),
  },
  {
    id: 'state/set-if-absent/handles',
    sentence: 'Of `setIfAbsent` calls from two handles exactly one succeeds.',
    reopens: true,
    async run({ store, another }) {
      const other = await another()
      await oneWinner(other, (value) => (value % 2 === 0 ? store : other).setIfAbsent('k', value))
    },
  },
]

export const countingCases: readonly StateCase[] = [...increments, ...comparisons]

function times<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i))
}

/** Twenty contenders for the key `k`, each with a value of its own. */
async function oneWinner(store: StateStore, contend: (value: number) => Promise<boolean>): Promise<void> {
  const won = await Promise.all(times(20, contend))
  assert.equal(won.filter(Boolean).length, 1, 'number of winners')
  assert.equal(await store.get('k'), won.indexOf(true), 'the value stored is not the winner’s')
}
