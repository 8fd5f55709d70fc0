/**
 * What the store around a backend costs a call: backends that do nothing, called directly and through registry and store. What is between
 * the two is checking, JSON, workspaces, deadlines, retries, events and errors.
 */
import { StoreRegistry } from '../src/index.ts'
import { idleConversations, idleState, MESSAGE } from '../test/budget/idle-backends.ts'
import { compare, table, type Contender } from './measure.ts'

/** In one sample, one after another. */
const CALLS = 20_000
const ROUNDS = 15

/** By name: the backend's answer as it is, and through the store. */
type Sides = Readonly<Record<string, readonly [direct: () => Promise<unknown>, store: () => Promise<unknown>]>>

export async function overhead(): Promise<string> {
  const sides = { ...(await stateSides()), ...(await conversationSides()) }
  const contenders = Object.entries(sides).flatMap(([name, [direct, store]]) => [
    repeated(`${name} directly`, direct),
    repeated(name, store),
  ])
  const timings = await compare(contenders, ROUNDS)
  const lines = Object.keys(sides).map((name, i) => {
    const [direct, store] = [timings[2 * i]!, timings[2 * i + 1]!].map(({ medianUs }) => medianUs / CALLS) as [number, number]
    return [name, ...[direct, store, store - direct].map((us) => us.toFixed(2))]
  })
  return table(['a backend that does nothing, µs a call', 'directly', 'holdfast', 'added'], lines)
}

function repeated(name: string, call: () => Promise<unknown>): Contender {
  const run = async (): Promise<void> => {
    for (let i = 0; i < CALLS; i++) await call()
  }
  return { name, run }
}

async function stateSides(): Promise<Sides> {
  const backend = idleState()
  const stores = new StoreRegistry('state')
  stores.register('noop', () => backend)
  const store = await stores.create('noop')
  const set = { set: [{ key: 'key', value: '1' }] }
  return {
    ping: [() => backend.ping(), () => store.ping()],
    'get a value': [() => backend.get('', ['key']), () => store.get('key')],
    'set a value': [() => backend.commit('', set), () => store.set('key', 1)],
  }
}

async function conversationSides(): Promise<Sides> {
  const backend = idleConversations()
  const stores = new StoreRegistry('conversation')
  stores.register('noop', () => backend)
  const store = await stores.create('noop')
  const message = { id: 'm', role: 'user', content: 'hello' }
  const record = { ...MESSAGE, seq: 0 }
  return {
    'get a session': [() => backend.getSession('', 's'), () => store.getSession('s')],
    'append a message': [() => backend.append('', 's', [record], { now: 1 }), () => store.addMessage('s', message)],
    'newest message': [
      () => backend.readMessages('', 's', { order: 'desc', limit: 1 }),
      () => store.getMessages('s', { limit: 1 }),
    ],
  }
}
