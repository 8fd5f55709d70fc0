/** What DynamoDB answers when it cannot, and what becomes of a write then: it took effect once, or the error says what is known. */
import { describe, expect, it } from 'vitest'
import type { StateBackend } from '../../src/state/contract.ts'
import type { StateStore } from '../../src/state/store.ts'
import { builtIn } from '../conformance/harness.ts'
import { withService } from '../services.ts'
import { BROKEN, Gateway, THROTTLED, type Fault } from './dynamodb-gateway.ts'
import { newTable, optionsAt, rawClient, removeTable } from './dynamodb-support.ts'

const SPACE = 'faults'

interface Setup extends AsyncDisposable {
  readonly gateway: Gateway
  readonly store: StateStore
  readonly backend: StateBackend
}

withService('dynamodb', 'DynamoDB, when it fails', (service) => {
  async function setup(more: { maxAttempts?: number; retries?: number } = {}): Promise<Setup> {
    const gateway = await Gateway.open(service.url)
    const table = newTable()
    const store = await builtIn('state').create('dynamodb', { retries: 0, ...optionsAt(gateway.url, table), ...more })
    // A store's first write looks whether values are encrypted.
    await store.set('first', 1)
    await store.delete('first')
    return {
      gateway,
      store,
      backend: store.core.backend,
      async [Symbol.asyncDispose]() {
        await store.close()
        await gateway[Symbol.asyncDispose]()
        await removeTable(service.url, table)
      },
    }
  }

  describe('throttled', () => {
    it.each(['ProvisionedThroughputExceededException', 'ThrottlingException', 'RequestLimitExceeded'])(
      'tries again after %s',
      async (type) => {
        await using at = await setup()
        const throttled: Fault = { when: 'before', answer: { status: 400, type } }
        at.gateway.next(throttled, throttled)
        expect(await at.store.increment('n')).toBe(1)
        at.gateway.next(throttled, throttled)
        expect(await at.store.get('n')).toBe(1)
        at.gateway.next(throttled, throttled)
        await at.backend.commit(SPACE, {
          set: [
            { key: 'a', value: '1' },
            { key: 'b', value: '2' },
          ],
        })
        at.gateway.next(throttled)
        expect(await at.backend.scan(SPACE, { prefix: '', limit: 10 })).toEqual(['a', 'b'])
      },
    )

    it('tries again where a transaction is throttled, collides or is under way', async () => {
      await using at = await setup()
      const canceled = (Code: string): Fault => ({
        when: 'before',
        operation: 'TransactWriteItems',
        answer: {
          status: 400,
          type: 'TransactionCanceledException',
          more: { CancellationReasons: [{ Code }, { Code: 'None' }] },
        },
      })
      at.gateway.next(canceled('ThrottlingError'), canceled('TransactionConflict'), {
        when: 'before',
        operation: 'TransactWriteItems',
        answer: { status: 400, type: 'TransactionInProgressException' },
      })
      const commit = { set: [{ key: 'a', value: '1' }], delete: ['b'], add: [{ key: 'n', by: 3 }] }
      expect(await at.backend.commit(SPACE, commit)).toEqual({ applied: true, deleted: 0, sums: [3] })
    })

    it('tries again where a transaction of others has the item', async () => {
      await using at = await setup()
      at.gateway.next({ when: 'before', answer: { status: 400, type: 'TransactionConflictException' } })
      expect(await at.store.increment('n')).toBe(1)
    })

    it('says RATE_LIMITED, and that nothing was done, when it goes on', async () => {
      await using at = await setup({ maxAttempts: 3 })
      at.gateway.chaos = () => ({ when: 'before', answer: THROTTLED })
      const asked = await at.gateway.during(async () => {
        await expect(at.store.set('k', 1)).rejects.toMatchObject({ code: 'RATE_LIMITED', outcome: 'not-applied' })
      })
      expect(asked).toEqual(['PutItem', 'PutItem', 'PutItem'])
      await expect(at.store.get('k')).rejects.toMatchObject({ code: 'RATE_LIMITED' })
      const two = {
        set: [
          { key: 'a', value: '1' },
          { key: 'b', value: '1' },
        ],
      }
      await expect(at.backend.commit(SPACE, two)).rejects.toMatchObject({ code: 'RATE_LIMITED', outcome: 'not-applied' })
      at.gateway.chaos = () => undefined
      expect(await at.store.keys()).toEqual([])
    })

    it('gives up at once when the caller does', async () => {
      await using at = await setup({ maxAttempts: 100 })
      at.gateway.chaos = () => ({ when: 'before', answer: THROTTLED })
      const call = at.store.set('k', 1, { timeoutMs: 300 })
      await expect(call).rejects.toMatchObject({ code: 'TIMEOUT' })
    })

    it('asks again for keys that were left out', async () => {
      await using at = await setup()
      await at.store.setMany({ a: 1, b: 2, c: 3 })
      at.gateway.next({ when: 'before', answer: THROTTLED, operation: 'BatchGetItem' })
      expect(await at.store.getMany(['a', 'none', 'b', 'c'])).toEqual([1, undefined, 2, 3])
    })
  })

  describe.each([
    ['an error 500', BROKEN],
    ['a lost connection', undefined],
  ])('%s after the write was applied', (_, answer) => {
    const lost: Fault = { when: 'after', answer }

    it('is success where the item shows the write', async () => {
      await using at = await setup()
      at.gateway.next(lost)
      await at.store.set('k', 'v', { ttl: 100 })
      expect(await at.store.get('k')).toBe('v')
      at.gateway.next(lost)
      expect(await at.store.increment('n', 5)).toBe(5)
      at.gateway.next(lost)
      expect(await at.store.increment('n', 5)).toBe(10)
      at.gateway.next(lost)
      expect(await at.store.setIfAbsent('lock', 'mine')).toBe(true)
      at.gateway.next({ ...lost, operation: 'PutItem' })
      expect(await at.store.compareAndSet('lock', 'mine', 'still mine')).toBe(true)
      at.gateway.next({ ...lost, operation: 'UpdateItem' })
      await at.store.hset('hash', { a: 1 })
      expect(await at.store.hgetall('hash')).toEqual({ a: 1 })
    })

    it('is success of a transaction, which is not applied twice', async () => {
      await using at = await setup()
      const commit = { set: [{ key: 'a', value: '"x"' }], add: [{ key: 'n', by: 2 }] }
      for (const sum of [2, 4, 6]) {
        at.gateway.next({ ...lost, operation: 'TransactWriteItems' })
        expect(await at.backend.commit(SPACE, commit)).toEqual({ applied: true, deleted: 0, sums: [sum] })
      }
      at.gateway.next({ ...lost, operation: 'TransactWriteItems' })
      expect(await at.backend.commit(SPACE, { delete: ['a', 'none'] })).toEqual({ applied: true, deleted: 1, sums: [] })
    })

    it('is unknown of a deletion, which leaves nothing to show it', async () => {
      await using at = await setup()
      await at.store.set('k', 1)
      at.gateway.next(lost)
      await expect(at.store.delete('k')).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
      expect(await at.store.exists('k')).toBe(false)
    })
  })

  describe.each([
    ['an error 500', BROKEN],
    ['a lost connection', undefined],
  ])('%s before the write was applied', (_, answer) => {
    const lost: Fault = { when: 'before', answer }

    it('is unknown of a write that is not sure to apply but once', async () => {
      await using at = await setup()
      for (const write of [
        () => at.store.set('k', 1),
        () => at.store.increment('n'),
        () => at.store.setIfAbsent('k', 1),
        () => at.store.delete('k'),
      ]) {
        at.gateway.next(lost)
        await expect(write()).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
      }
      expect(await at.store.keys()).toEqual([])
    })

    it('is made up for where the write replaces one version and no other, and in transactions', async () => {
      await using at = await setup()
      await at.store.set('k', 'old')
      at.gateway.next({ ...lost, operation: 'PutItem' })
      expect(await at.store.compareAndSet('k', 'old', 'new')).toBe(true)
      at.gateway.next({ ...lost, operation: 'TransactWriteItems' }, { ...lost, operation: 'TransactWriteItems' })
      const commit = { set: [{ key: 'a', value: '1' }], add: [{ key: 'n', by: 2 }] }
      expect(await at.backend.commit(SPACE, commit)).toEqual({ applied: true, deleted: 0, sums: [2] })
    })

    it('is made up for by the store where the call may be repeated', async () => {
      await using at = await setup({ retries: 2 })
      at.gateway.next({ ...lost, operation: 'PutItem' }, { ...lost, operation: 'GetItem' })
      await at.store.set('k', 1)
      at.gateway.next(lost)
      expect(await at.store.get('k')).toBe(1)
    })
  })

  it('is unknown where a write was overwritten before anybody could look', async () => {
    await using at = await setup()
    await at.store.set('k', 'old')
    const [before] = await at.backend.get('', ['k'])
    at.gateway.chaos = (operation) => {
      if (operation !== 'PutItem') return undefined
      at.gateway.chaos = () => undefined
      return { when: 'after', answer: BROKEN }
    }
    const mine = at.backend.commit('', { checks: [{ key: 'k', version: before!.version }], set: [{ key: 'k', value: '"mine"' }] })
    // The other writer is there before the look at the item: its request was sent first, and the gateway keeps their order.
    const settled = mine.catch((error: unknown) => error)
    while (!at.gateway.operations.includes('PutItem')) await new Promise(setImmediate)
    await at.store.set('k', 'theirs')
    const result = await settled
    if ((result as { applied?: boolean }).applied === true) return
    expect(result).toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
  })

  it('sends nothing twice by a client that repeats by itself', async () => {
    const gateway = await Gateway.open(service.url)
    const table = newTable()
    const client = rawClient(gateway.url, { maxAttempts: 5 })
    const store = await builtIn('state').create('dynamodb', { client, table, retries: 0 })
    try {
      await store.set('first', 1)
      gateway.next({ when: 'after', answer: BROKEN })
      const asked = await gateway.during(async () => expect(await store.increment('n')).toBe(1))
      expect(asked).toEqual(['UpdateItem', 'GetItem'])
      gateway.next({ when: 'before', answer: BROKEN })
      const again = await gateway.during(() => store.increment('n').catch(() => undefined))
      expect(again).toEqual(['UpdateItem', 'GetItem'])
      expect(await store.get('n')).toBe(1)
    } finally {
      await store.close()
      client.destroy()
      await gateway[Symbol.asyncDispose]()
      await removeTable(service.url, table)
    }
  })

  it.each([
    ['UnrecognizedClientException', 'UNAUTHORIZED'],
    ['InvalidSignatureException', 'UNAUTHORIZED'],
    ['ExpiredTokenException', 'UNAUTHORIZED'],
    ['AccessDeniedException', 'UNAUTHORIZED'],
    ['ResourceNotFoundException', 'NOT_FOUND'],
    ['ItemCollectionSizeLimitExceededException', 'VALUE_TOO_LARGE'],
  ])('says of %s that it is %s', async (type, code) => {
    await using at = await setup()
    const message = 'The Canonical String should have been x-amz-security-token:very-secret-token'
    at.gateway.next(
      { when: 'before', answer: { status: 400, type, message } },
      { when: 'before', answer: { status: 400, type, message } },
    )
    const error = await at.store.set('k', 1).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code, outcome: 'not-applied' })
    if (type === 'InvalidSignatureException') expect(deep(error)).not.toContain('very-secret-token')
    await expect(at.store.get('k')).rejects.toMatchObject({ code })
  })

  it('loses and doubles nothing while everything goes wrong at random', async () => {
    await using at = await setup({ maxAttempts: 10 })
    let seed = 42
    const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647
    at.gateway.chaos = () => {
      const draw = random()
      if (draw < 0.1) return { when: 'before', answer: THROTTLED }
      if (draw < 0.2) return { when: draw < 0.15 ? 'before' : 'after', answer: BROKEN }
      return draw < 0.25 ? { when: draw < 0.225 ? 'before' : 'after' } : undefined
    }
    const counts = await Promise.all(Array.from({ length: 8 }, (_, i) => hammer(at, i % 2 === 0)))
    at.gateway.chaos = () => undefined
    const sum = (name: 'applied' | 'unknown'): number => counts.reduce((total, each) => total + each[name], 0)
    const total =
      Number(await at.store.get('single')) + Number(await at.store.core.backend.get(SPACE, ['both']).then(([e]) => e!.value))
    expect(total).toBeGreaterThanOrEqual(sum('applied'))
    expect(total).toBeLessThanOrEqual(sum('applied') + sum('unknown'))
    expect(sum('applied')).toBeGreaterThan(200)
  })
})

/** Adds 1 to a counter again and again: by itself, or together with another key. */
async function hammer({ store, backend }: Setup, alone: boolean): Promise<{ applied: number; unknown: number }> {
  const counts = { applied: 0, unknown: 0 }
  for (let i = 0; i < 40; i++) {
    try {
      if (alone) await store.increment('single')
      else await backend.commit(SPACE, { add: [{ key: 'both', by: 1 }], set: [{ key: 'other', value: String(i) }] })
      counts.applied++
    } catch (error) {
      if ((error as { outcome?: string }).outcome === 'unknown') counts.unknown++
    }
  }
  return counts
}

/** All that can be seen of an error. */
function deep(error: unknown): string {
  const { message, stack, cause } = error as Error
  return `${message} ${stack} ${JSON.stringify(error)} ${cause === undefined ? '' : deep(cause)}`
}
