/** Sessions and messages for programs in any language. */
import { z } from 'zod'
import type { ConversationStore, NewMessage, NewSession } from '../../index.ts'
import { endpoint, type Endpoint, type Input } from '../endpoint.ts'
import { etag, matching, withVersion } from '../preconditions.ts'
import { HttpProblem } from '../problem.ts'
import { entriesOf, id, integer, jsonObject, jsonArray, text, workspace } from '../schemas/common.ts'

const MAX_PAGE = 1_000
const MAX_SEQ = Number.MAX_SAFE_INTEGER

const scope = z.strictObject({ workspace })
const session = scope.extend({ session: id('The session.') })
const message = session.extend({ message: id('The message.') })

const name = text(4_096, 'A title.')
const fields = { state: jsonObject.optional(), metadata: jsonObject.optional() }
const owner = { userId: id('The person.'), agentId: id('The agent.'), name }
const newSession = z
  .strictObject({ id: id('The session.'), ...owner })
  .partial()
  .extend(fields)
const sessionPatch = z.strictObject({
  userId: owner.userId.nullish(),
  agentId: owner.agentId.nullish(),
  name: name.nullish(),
  ...fields,
})

const time = z.iso.datetime({ offset: true }).transform((value) => new Date(value))
const role = id('Who speaks.', 64)
const content = z.string().nullable()
const newMessage = z.strictObject({
  id: id('The message.').optional(),
  role,
  content: content.optional(),
  parts: jsonArray.optional(),
  toolCalls: jsonArray.optional(),
  toolCallId: id('The call that is answered.').optional(),
  metadata: jsonObject.optional(),
  createdAt: time.optional(),
})
const messagePatch = z.strictObject({
  role: role.optional(),
  content: content.optional(),
  parts: jsonArray.nullish(),
  toolCalls: jsonArray.nullish(),
  toolCallId: id('The call that is answered.').nullish(),
  metadata: jsonObject.nullish(),
})

const sessionShown = z.looseObject({
  id: z.string(),
  lastSeq: z.int(),
  version: z.int(),
  createdAt: z.string(),
  updatedAt: z.string(),
})
const messageShown = z.looseObject({ id: z.string(), seq: z.int(), role: z.string(), content: content, createdAt: z.string() })
const page = <T extends z.ZodType>(item: T) => z.object({ items: z.array(item), cursor: z.string().optional() })

type Scope = z.output<typeof scope>

function store({ conversation, query }: Pick<Input<Scope, unknown>, 'conversation' | 'query'>): ConversationStore {
  return conversation.workspace(query.workspace)
}

const reads = ({ query }: { readonly query: Scope }) => ({ workspace: query.workspace, write: false })
const writes = ({ query }: { readonly query: Scope }) => ({ workspace: query.workspace, write: true })

export const CONVERSATIONS: readonly Endpoint[] = [
  endpoint({
    method: 'GET',
    path: '/v1/conversations/sessions',
    tag: 'conversations',
    summary: 'Sessions, those that changed last first.',
    query: scope.extend({
      userId: owner.userId.optional(),
      agentId: owner.agentId.optional(),
      limit: integer(1, MAX_PAGE, 'Sessions a page.').optional(),
      cursor: z.string().optional(),
      order: z.enum(['asc', 'desc']).optional(),
    }),
    result: page(sessionShown),
    need: reads,
    run: (input) => {
      const { workspace: _, ...query } = input.query
      return store(input).listSessions({ ...query, ...input.call })
    },
  }),
  endpoint({
    method: 'POST',
    path: '/v1/conversations/sessions/list',
    tag: 'conversations',
    summary: 'Sessions by fields of their metadata as well.',
    query: scope,
    body: z.strictObject({
      userId: owner.userId.optional(),
      agentId: owner.agentId.optional(),
      metadata: entriesOf(z.union([z.string(), z.number(), z.boolean(), z.null()])).optional(),
      limit: z.int().min(1).max(MAX_PAGE).optional(),
      cursor: z.string().optional(),
      order: z.enum(['asc', 'desc']).optional(),
    }),
    result: page(sessionShown),
    need: reads,
    run: (input) => store(input).listSessions({ ...input.body, ...input.call }),
  }),
  endpoint({
    method: 'POST',
    path: '/v1/conversations/sessions',
    tag: 'conversations',
    summary: 'Creates a session.',
    query: scope,
    body: newSession,
    result: sessionShown,
    status: 201,
    need: writes,
    run: async (input) => withVersion(201, await store(input).createSession(input.body as NewSession, input.call)),
  }),
  endpoint({
    method: 'GET',
    path: '/v1/conversations/session',
    tag: 'conversations',
    summary: 'One session.',
    query: session,
    result: sessionShown,
    need: reads,
    run: async (input) => {
      const found = await store(input).getSession(input.query.session, input.call)
      if (found === undefined) throw new HttpProblem('NOT_FOUND', 'there is no such session')
      return withVersion(200, found)
    },
  }),
  endpoint({
    method: 'PATCH',
    path: '/v1/conversations/session',
    tag: 'conversations',
    summary: 'Changes fields of a session; null removes one.',
    query: session,
    body: sessionPatch,
    headers: { 'if-match': 'The ETag that the session must still have.' },
    result: sessionShown,
    need: writes,
    run: async (input) => {
      const ifVersion = versionOf(input.headers)
      const update = store(input).updateSession(input.query.session, input.body, { ...input.call, ifVersion })
      return withVersion(200, await matching(update, ifVersion !== undefined))
    },
  }),
  endpoint({
    method: 'DELETE',
    path: '/v1/conversations/session',
    tag: 'conversations',
    summary: 'Deletes a session with its messages.',
    query: session,
    result: z.object({ deleted: z.boolean() }),
    need: writes,
    run: async (input) => ({ deleted: await store(input).deleteSession(input.query.session, input.call) }),
  }),
  endpoint({
    method: 'GET',
    path: '/v1/conversations/messages',
    tag: 'conversations',
    summary: 'Messages of a session: with a limit the newest, oldest first.',
    query: session.extend({
      limit: integer(1, 10_000, 'At most this many.').optional(),
      before: integer(0, MAX_SEQ, 'Only messages whose seq is smaller.').optional(),
      after: integer(0, MAX_SEQ, 'Only messages whose seq is greater.').optional(),
      order: z.enum(['asc', 'desc']).optional(),
    }),
    result: z.object({ items: z.array(messageShown) }),
    need: reads,
    run: async (input) => {
      const { session: sessionId, limit = MAX_PAGE, ...bounds } = input.query
      return { items: await store(input).getMessages(sessionId, { ...bounds, limit, ...input.call }) }
    },
  }),
  endpoint({
    method: 'POST',
    path: '/v1/conversations/messages',
    tag: 'conversations',
    summary: 'Appends messages, all or none.',
    query: session.extend({ expectedSeq: integer(0, MAX_SEQ, 'What `lastSeq` must be.').optional() }),
    body: z.strictObject({ messages: z.array(newMessage).max(MAX_PAGE) }),
    result: z.object({ items: z.array(messageShown) }),
    status: 201,
    need: writes,
    run: async (input) => {
      const { session: sessionId, expectedSeq } = input.query
      const messages = input.body.messages as NewMessage[]
      return { items: await store(input).addMessages(sessionId, messages, { ...input.call, expectedSeq }) }
    },
  }),
  endpoint({
    method: 'PATCH',
    path: '/v1/conversations/message',
    tag: 'conversations',
    summary: 'Changes fields of a message.',
    query: message,
    body: messagePatch,
    result: messageShown,
    need: writes,
    run: (input) => {
      const { session: sessionId, message: messageId } = input.query
      return store(input).updateMessage(sessionId, messageId, input.body, input.call)
    },
  }),
  endpoint({
    method: 'POST',
    path: '/v1/conversations/messages/delete',
    tag: 'conversations',
    summary: 'Deletes messages by their ids, or those behind a seq, or all.',
    query: session,
    body: z.union([
      z.strictObject({ ids: z.array(id('A message.')).max(10_000) }),
      z.strictObject({ afterSeq: z.int().min(0) }),
      z.strictObject({ all: z.literal(true) }),
    ]),
    result: z.object({ deleted: z.int() }),
    need: writes,
    run: async (input) => {
      const { body, call, query } = input
      if ('afterSeq' in body) return { deleted: await store(input).truncate(query.session, body.afterSeq, call) }
      return { deleted: await store(input).deleteMessages(query.session, 'ids' in body ? body.ids : undefined, call) }
    },
  }),
  endpoint({
    method: 'GET',
    path: '/v1/conversations/search',
    tag: 'conversations',
    summary: 'Messages in which every word occurs, newest first.',
    query: scope.extend({
      text: text(4_096, 'Words.'),
      userId: owner.userId.optional(),
      session: id('The session.').optional(),
      limit: integer(1, MAX_PAGE, 'At most this many.').optional(),
    }),
    result: z.object({ items: z.array(messageShown) }),
    need: reads,
    run: async (input) => {
      const { text: words, userId, session: sessionId, limit } = input.query
      return { items: await store(input).searchMessages({ text: words, userId, sessionId, limit, ...input.call }) }
    },
  }),
]

/** The version in an `If-Match` header. */
function versionOf(headers: Headers): number | undefined {
  const version = etag(headers, 'if-match')
  if (version === undefined) return undefined
  // What is no version of ours matches nothing.
  if (!/^\d{1,15}$/.test(version)) throw new HttpProblem('CONFLICT', 'the session has another version', 412)
  return Number(version)
}
