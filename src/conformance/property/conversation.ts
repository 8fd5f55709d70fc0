/** Random sequences of operations, done to a store and to a plain model of the contract, must have the same results. */
import { deepStrictEqual } from 'node:assert/strict'
import type { Arbitrary } from 'fast-check'
import type { ConversationStore } from '../../conversation/store.ts'
import type { Message, Session } from '../../conversation/contract.ts'
import { isHoldfastError } from '../../errors.ts'
import type { Harness } from '../case.ts'
import { allPages } from '../expect.ts'
import { HOSTILE_STRINGS } from '../hostile.ts'
import { ConversationModel } from './conversation-model.ts'
import type { PropertyOptions } from './options.ts'
import { loadFastCheck, parameters, withStore, type FastCheck } from './run.ts'

/** The methods that operations call; store and model both have them. */
type Method = Extract<keyof ConversationModel, keyof ConversationStore>

interface Operation {
  readonly method: Method
  readonly args: readonly unknown[]
}

/** Few and alike, so that operations meet. */
const SESSIONS = ['s', 'S', 's ', '__proto__', "s'%_\\"]
const MESSAGES = ['m', 'M', ' m', 'm\u0301', 'constructor', '%', '😀']
const USERS = ['u', 'U', 'u ', '\u00E9', 'e\u0301']
const WORDS = ['fox', 'Foxes', 'a quick FOX', '100% fox', 'x_y', '', '"fox" OR dog', 'É', ...HOSTILE_STRINGS]

/**
 * Needs `fast-check`. Each sequence has a workspace of its own on one store. Rejects with the shortest sequence that fails and the seed
 * that repeats it.
 */
export async function conversationProperty(harness: Harness<ConversationStore>, options: PropertyOptions = {}): Promise<void> {
  const fc = await loadFastCheck()
  await withStore(harness, async (store) => {
    let run = 0
    const property = fc.asyncProperty(fc.array(operation(fc), { minLength: 5, maxLength: 40 }), (operations) =>
      compare(store.workspace(`sequence ${run++}`), operations),
    )
    await fc.assert(property, parameters(options))
  })
}

async function compare(store: ConversationStore, operations: readonly Operation[]): Promise<void> {
  const model = new ConversationModel()
  for (const operation of operations) {
    const expected = await outcomeOf(model, operation)
    deepStrictEqual(await outcomeOf(store, operation), expected, `${operation.method} differs from the model`)
  }
  await compareAll(store, model)
}

async function outcomeOf(target: ConversationStore | ConversationModel, { method, args }: Operation): Promise<unknown> {
  const call: (...args: never[]) => unknown = target[method]
  try {
    return { value: timeless(await Reflect.apply(call, target, args)) }
  } catch (error) {
    if (isHoldfastError(error)) return { code: error.code }
    throw error
  }
}

/** Every session, message, listing and search at the end. */
async function compareAll(store: ConversationStore, model: ConversationModel): Promise<void> {
  for (const id of model.idsOf({})) {
    deepStrictEqual(timeless(await store.getSession(id)), timeless(model.getSession(id)))
    deepStrictEqual(timeless(await store.getMessages(id)), timeless(model.getMessages(id)))
  }
  for (const query of [{}, ...USERS.map((userId) => ({ userId })), { agentId: 'u' }]) {
    const sessions = await allPages(3, (cursor) => store.listSessions({ ...query, limit: 3, cursor }))
    deepStrictEqual(sessions.map(({ id }) => id).toSorted(), model.idsOf(query).toSorted(), 'a listing differs from the model')
    const times = sessions.map(({ updatedAt }) => updatedAt.getTime())
    deepStrictEqual(
      times,
      times.toSorted((a, b) => b - a),
      'a listing is not newest first',
    )
  }
  if (store.capabilities.search) await compareSearches(store, model)
}

async function compareSearches(store: ConversationStore, model: ConversationModel): Promise<void> {
  for (const text of ['fox', 'FOX a', 'o', '%', 'x_y', '"', 'OR', 'é', 'quick 100']) {
    for (const scope of [{}, { userId: 'u' }, { sessionId: 's' }]) {
      const found = await store.searchMessages({ text, ...scope, limit: 1_000 })
      const ids = found.map((message) => `${message.sessionId}/${message.id}`)
      deepStrictEqual(ids.toSorted(), model.found(text, scope).toSorted(), `the search for ${text} differs from the model`)
    }
  }
}

function operation(fc: FastCheck): Arbitrary<Operation> {
  const session = fc.constantFrom(...SESSIONS)
  const message = fc.constantFrom(...MESSAGES)
  const seq = fc.nat({ max: 12 })
  const method = (name: Method, ...args: Arbitrary<unknown>[]): Arbitrary<Operation> =>
    fc.tuple(...args).map((values) => ({ method: name, args: values }))
  return fc.oneof(
    { weight: 4, arbitrary: method('createSession', sessionFields(fc, session)) },
    { weight: 6, arbitrary: method('addMessages', session, messagesOf(fc, message), fc.constant({})) },
    { weight: 1, arbitrary: method('addMessages', session, messagesOf(fc, message), fc.record({ expectedSeq: seq })) },
    { weight: 3, arbitrary: method('getMessages', session, messageQuery(fc, seq)) },
    { weight: 2, arbitrary: method('updateSession', session, sessionPatch(fc), fc.constant({})) },
    {
      weight: 1,
      arbitrary: method('updateSession', session, sessionPatch(fc), fc.record({ ifVersion: fc.integer({ min: 1, max: 4 }) })),
    },
    { weight: 2, arbitrary: method('upsertSession', sessionFields(fc, session)) },
    { weight: 2, arbitrary: method('updateMessage', session, message, messagePatch(fc)) },
    { weight: 2, arbitrary: method('deleteMessages', session, fc.array(message, { maxLength: 3 })) },
    { weight: 1, arbitrary: method('deleteMessages', session) },
    { weight: 1, arbitrary: method('truncate', session, seq) },
    { weight: 1, arbitrary: method('forkSession', session, fc.record({ newId: session })) },
    { weight: 1, arbitrary: method('deleteSession', session) },
    { weight: 1, arbitrary: method('deleteUser', fc.constantFrom(...USERS)) },
    { weight: 2, arbitrary: method('getSession', session) },
  )
}

function jsonObject(fc: FastCheck): Arbitrary<unknown> {
  return fc.dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 4, noNullPrototype: true })
}

function sessionFields(fc: FastCheck, id: Arbitrary<string>): Arbitrary<unknown> {
  const user = fc.constantFrom(...USERS)
  const fields = {
    id,
    userId: user,
    agentId: user,
    name: fc.constantFrom('n', ' ', 'ñ'),
    state: jsonObject(fc),
    metadata: jsonObject(fc),
  }
  return fc.record(fields, { requiredKeys: ['id'] })
}

function sessionPatch(fc: FastCheck): Arbitrary<unknown> {
  const user = fc.option(fc.constantFrom(...USERS))
  const fields = {
    userId: user,
    agentId: user,
    name: fc.option(fc.constantFrom('n', ' ')),
    state: jsonObject(fc),
    metadata: jsonObject(fc),
  }
  return fc.record(fields, { requiredKeys: [] })
}

function messageFields(fc: FastCheck) {
  const text = fc.constantFrom(...WORDS)
  const part = fc.oneof(
    fc.jsonValue({ maxDepth: 1 }),
    fc.record({ type: fc.constantFrom('text', 'file'), text }, { noNullPrototype: true }),
  )
  const list = fc.array(part, { maxLength: 3 })
  const role = fc.constantFrom('user', 'assistant', 'tool', '漢')
  return {
    role,
    content: fc.option(text),
    parts: list,
    toolCalls: list,
    toolCallId: fc.constantFrom('c', ' '),
    metadata: jsonObject(fc),
  }
}

function messagesOf(fc: FastCheck, id: Arbitrary<string>): Arbitrary<unknown> {
  const message = fc.record({ id, ...messageFields(fc) }, { requiredKeys: ['id', 'role'] })
  return fc.uniqueArray(message, { minLength: 1, maxLength: 3, selector: (each) => each.id })
}

function messagePatch(fc: FastCheck): Arbitrary<unknown> {
  const { role, content, parts, toolCalls, toolCallId, metadata } = messageFields(fc)
  const removable = {
    parts: fc.option(parts),
    toolCalls: fc.option(toolCalls),
    toolCallId: fc.option(toolCallId),
    metadata: fc.option(metadata),
  }
  return fc.record({ role, content, ...removable }, { requiredKeys: [] })
}

function messageQuery(fc: FastCheck, seq: Arbitrary<number>): Arbitrary<unknown> {
  const order = fc.constantFrom('asc', 'desc')
  return fc.record({ after: seq, before: seq, limit: fc.integer({ min: 1, max: 5 }), order }, { requiredKeys: [] })
}

/** Results without the times, which the model does not know. */
function timeless(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(timeless)
  if (typeof value !== 'object' || value === null) return value
  const { createdAt: _, updatedAt: __, ...rest } = value as Partial<Session & Message>
  return rest
}
