/** A state store against a model of a few lines: random sequences of calls must give the same answers on both. */
import assert from 'node:assert/strict'
import { isHoldfastError } from '../../errors.ts'
import type { StateStore } from '../../state/store.ts'
import type { JsonValue } from '../../store/contract.ts'
import type { Harness } from '../case.ts'
import { allPages, collect } from '../expect.ts'
import type { PropertyOptions } from './options.ts'
import { loadFastCheck, parameters, withStore, type FastCheck } from './run.ts'
import { Model, readable, type Step } from './state-model.ts'

const KEYS = ['a', 'A', 'a ', 'a/b', 'ab', 'é', 'e\u0301', '%', '_', '\uffff', '\u{10000}', '__proto__']
const FIELDS = ['x', 'X', '', 'a.b', '__proto__', '1', '\ud800']
const PREFIXES = ['', 'a', 'A', 'a/', '%', '_', '\uffff', 'z']
const TEXTS: JsonValue[] = ['123', 'null', '', '\0', '\ud83d', '{}']
const TTL = 3_600

/** Rejects with the shortest sequence found on which store and model disagree. Needs the package `fast-check`. */
export async function stateProperty(harness: Harness<StateStore>, options: PropertyOptions = {}): Promise<void> {
  const fc = await loadFastCheck()
  await withStore(harness, async (store) => {
    let count = 0
    const sequences = fc.array(stepsOf(fc), { minLength: 1, maxLength: 30 })
    const property = fc.asyncProperty(sequences, (steps) => agree(steps, store.workspace(`property ${count++}`)))
    await fc.assert(property, parameters(options))
  })
}

function stepsOf(fc: FastCheck): import('fast-check').Arbitrary<Step> {
  // Steps must meet often, and so on few keys.
  const key = fc.oneof({ weight: 3, arbitrary: fc.constantFrom('a', 'A') }, fc.constantFrom(...KEYS))
  const keys = fc.array(key, { maxLength: 5 })
  const field = fc.constantFrom(...FIELDS)
  const value = fc.oneof(
    fc.integer({ min: -3, max: 3 }),
    fc.constantFrom(...TEXTS),
    fc.dictionary(field, fc.integer(), { maxKeys: 3, noNullPrototype: true }),
    fc.jsonValue({ maxDepth: 2, stringUnit: 'binary' }) as import('fast-check').Arbitrary<JsonValue>,
  )
  const ttl = fc.option(fc.constant(TTL), { nil: undefined })
  const by = fc.oneof(fc.integer({ min: -5, max: 5 }), fc.constant(Number.MAX_SAFE_INTEGER))
  const bytes = fc.oneof(fc.array(fc.nat(255), { maxLength: 4 }), fc.constantFrom([0x35], [0x7b, 0x7d], [0x22, 0xff, 0x22]))
  const onKey = fc.constantFrom('get', 'getBytes', 'exists', 'ttl', 'delete', 'expire', 'persist', 'hgetall')
  return fc.oneof(
    { weight: 6, arbitrary: fc.record({ call: onKey, key }) },
    { weight: 5, arbitrary: fc.record({ call: fc.constantFrom('set', 'setIfAbsent'), key, value, ttl }) },
    fc.record({ call: fc.constant('setBytes'), key, bytes }),
    fc.record({ call: fc.constant('swap'), key, expected: fc.option(value, { nil: undefined }), value }),
    fc.record({ call: fc.constant('swapPresent'), key, value }),
    { weight: 3, arbitrary: fc.record({ call: fc.constant('increment'), key, by }) },
    { weight: 3, arbitrary: fc.record({ call: fc.constant('hset'), key, field, value }) },
    { weight: 2, arbitrary: fc.record({ call: fc.constantFrom('hget', 'hdel'), key, field }) },
    {
      weight: 2,
      arbitrary: fc.record({
        call: fc.constant('scan'),
        prefix: fc.constantFrom(...PREFIXES),
        limit: fc.integer({ min: 1, max: 5 }),
      }),
    },
    fc.record({ call: fc.constant('setMany'), keys, value }),
    fc.record({ call: fc.constantFrom('getMany', 'deleteMany'), keys }),
    fc.record({ call: fc.constant('clear') }),
  )
}

/** Runs the steps on both, comparing each answer, and in the end all that is stored. */
async function agree(steps: readonly Step[], store: StateStore): Promise<void> {
  const model = new Model()
  for (const step of steps) {
    const expected = model.answer(step)
    assert.deepEqual(await answerOf(store, step, model), expected, step.call)
  }
  assert.deepEqual(await store.keys(), model.keys(''))
  for (const key of model.keys('')) {
    assert.deepEqual(readable(await store.getBytes(key)), model.content(key))
    assert.deepEqual(ttlLeft(await store.ttl(key)), model.answer({ call: 'ttl', key }))
  }
  await store.clear()
}

async function answerOf(store: StateStore, step: Step, model: Model): Promise<unknown> {
  try {
    return await perform(store, step, model)
  } catch (error) {
    if (isHoldfastError(error, 'CONFLICT') || isHoldfastError(error, 'CORRUPT')) return error.code
    throw error
  }
}

async function perform(store: StateStore, step: Step, model: Model): Promise<unknown> {
  switch (step.call) {
    case 'set':
      return store.set(step.key, step.value, { ttl: step.ttl })
    case 'setIfAbsent':
      return store.setIfAbsent(step.key, step.value, { ttl: step.ttl })
    case 'setBytes':
      return store.setBytes(step.key, Uint8Array.from(step.bytes))
    case 'getBytes':
      return readable(await store.getBytes(step.key))
    case 'ttl':
      return ttlLeft(await store.ttl(step.key))
    case 'expire':
      return store.expire(step.key, TTL)
    case 'swap':
      return store.compareAndSet(step.key, step.expected, step.value)
    case 'swapPresent':
      return store.compareAndSet(step.key, model.before, step.value)
    case 'increment':
      return store.increment(step.key, step.by)
    case 'hset':
      return store.hset(step.key, step.field, step.value)
    case 'hget':
      return store.hget(step.key, step.field)
    case 'hdel':
      return store.hdel(step.key, [step.field])
    case 'scan':
      return [
        await allPages(step.limit, (cursor) => store.scan({ prefix: step.prefix, limit: step.limit, cursor })),
        await collect(store.scanPrefix(step.prefix)),
      ]
    case 'setMany':
      return store.setMany(step.keys.map((key): [string, JsonValue] => [key, step.value]))
    case 'getMany':
      return store.getMany(step.keys)
    case 'deleteMany':
      return store.deleteMany(step.keys)
    case 'clear':
      return store.clear()
    case 'get':
      return store.get(step.key)
    case 'exists':
      return store.exists(step.key)
    case 'delete':
      return store.delete(step.key)
    case 'persist':
      return store.persist(step.key)
    default:
      return store.hgetall(step.key)
  }
}

/** True for what can be left of the one TTL that steps use; the rest as it is. */
function ttlLeft(ttl: number | null | undefined): boolean | null | undefined {
  return typeof ttl === 'number' ? ttl > TTL - 60 && ttl <= TTL : ttl
}
