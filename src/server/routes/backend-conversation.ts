/** The backend tier of conversations. */
import { z } from 'zod'
import type { ConversationBackend, MessageRecordPatch, MessageSelection, SessionRecordPatch } from '../../index.ts'
import { EVERYTHING } from '../access.ts'
import type { Endpoint } from '../endpoint.ts'
import { id, workspace } from '../schemas/common.ts'
import * as schema from '../schemas/conversation.ts'
import { withinLimits } from '../sizes.ts'
import { methodOf, unable, type MethodSpec } from './backends.ts'

const conversation = <B extends z.ZodObject>(spec: Omit<MethodSpec<B, ConversationBackend>, 'need'>): Endpoint =>
  methodOf('conversation', { ...spec, need: (body) => ({ workspace: (body as { workspace: string }).workspace }) })

/** The texts of a record. */
interface Texts {
  readonly content?: string | null | undefined
  readonly state?: string | undefined
  readonly metadata?: string | null | undefined
  readonly parts?: string | null | undefined
  readonly toolCalls?: string | null | undefined
}

function fits({ limits }: ConversationBackend, records: readonly Texts[]): void {
  const contentBytes = records.map(({ content }) => content)
  const jsonBytes = records.flatMap(({ state, metadata, parts, toolCalls }) => [state, metadata, parts, toolCalls])
  withinLimits(limits, { contentBytes, jsonBytes })
}

const { sessionId } = schema
const messageId = id('The message.')

export const CONVERSATION_METHODS: readonly Endpoint[] = [
  conversation({
    name: 'createSession',
    mode: 'write',
    summary: 'Creates a session.',
    body: z.strictObject({ workspace, session: schema.sessionRecord }),
    result: z.null(),
    run: (backend, body, call) => {
      fits(backend, [body.session])
      return backend.createSession(body.workspace, body.session, call)
    },
  }),
  conversation({
    name: 'getSession',
    mode: 'read',
    summary: 'One session.',
    body: z.strictObject({ workspace, id: sessionId }),
    result: schema.sessionRecord.nullable(),
    run: (backend, body, call) => backend.getSession(body.workspace, body.id, call),
  }),
  conversation({
    name: 'patchSession',
    mode: 'write',
    summary: 'Changes fields of a session.',
    body: z.strictObject({ workspace, id: sessionId, patch: schema.sessionPatch, options: schema.patchOptions }),
    result: schema.sessionRecord.nullable(),
    run: (backend, { workspace, id, patch, options }, call) => {
      fits(backend, [patch])
      return backend.patchSession(workspace, id, patch as SessionRecordPatch, options, call)
    },
  }),
  conversation({
    name: 'deleteSession',
    mode: 'write',
    summary: 'Deletes a session with its messages.',
    body: z.strictObject({ workspace, id: sessionId, options: schema.deleteOptions }),
    result: z.int().nullable(),
    run: (backend, body, call) => backend.deleteSession(body.workspace, body.id, body.options, call),
  }),
  conversation({
    name: 'listSessions',
    mode: 'read',
    summary: 'Sessions by the time of their last change.',
    body: z.strictObject({ workspace, query: schema.sessionQuery }),
    result: z.array(schema.sessionRecord),
    run: (backend, body, call) => backend.listSessions(body.workspace, body.query, call),
  }),
  conversation({
    name: 'append',
    mode: 'write',
    summary: 'Appends messages to a session.',
    body: z.strictObject({ workspace, sessionId, messages: schema.messageRecords, options: schema.appendOptions }),
    result: z.int(),
    run: (backend, body, call) => {
      fits(backend, body.messages)
      return backend.append(body.workspace, body.sessionId, body.messages, body.options, call)
    },
  }),
  conversation({
    name: 'readMessages',
    mode: 'read',
    summary: 'Messages of a session.',
    body: z.strictObject({ workspace, sessionId, query: schema.messageQuery }),
    result: z.array(schema.messageRecord),
    run: (backend, body, call) => backend.readMessages(body.workspace, body.sessionId, body.query, call),
  }),
  conversation({
    name: 'patchMessage',
    mode: 'write',
    summary: 'Changes fields of a message.',
    body: z.strictObject({ workspace, sessionId, id: messageId, patch: schema.messagePatch, options: schema.now }),
    result: schema.messageRecord.nullable(),
    run: (backend, { workspace, sessionId, id, patch, options }, call) => {
      fits(backend, [patch])
      return backend.patchMessage(workspace, sessionId, id, patch as MessageRecordPatch, options, call)
    },
  }),
  conversation({
    name: 'deleteMessages',
    mode: 'write',
    summary: 'Deletes messages of a session.',
    body: z.strictObject({ workspace, sessionId, selection: schema.messageSelection, options: schema.now }),
    result: z.int(),
    run: (backend, body, call) =>
      backend.deleteMessages(body.workspace, body.sessionId, body.selection as MessageSelection, body.options, call),
  }),
  conversation({
    name: 'restore',
    mode: 'write',
    summary: 'Writes a session and its messages as they were.',
    body: z
      .strictObject({ workspace, session: schema.sessionRecord, messages: schema.messageRecords })
      .refine(({ session, messages }) => schema.isHistory(session, messages), 'is no history of a session'),
    result: z.null(),
    run: (backend, body, call) => {
      fits(backend, [body.session])
      fits(backend, body.messages)
      return backend.restore(body.workspace, body.session, body.messages, call)
    },
  }),
  conversation({
    name: 'search',
    mode: 'read',
    summary: 'Messages in which all terms occur.',
    body: z.strictObject({ workspace, search: schema.messageSearch }),
    result: z.array(z.object({ sessionId, message: schema.messageRecord })),
    run: (backend, body, call) => backend.search?.(body.workspace, body.search, call) ?? unable('search'),
  }),
  methodOf('conversation', {
    name: 'listWorkspaces',
    mode: 'read',
    summary: 'Workspaces that hold a session.',
    body: z.strictObject({ query: schema.workspaceQuery }),
    result: z.array(z.string()),
    need: () => ({ workspace: EVERYTHING }),
    run: (backend, body, call) => backend.listWorkspaces?.(body.query, call) ?? unable('listWorkspaces'),
  }),
  methodOf('conversation', {
    name: 'ping',
    mode: 'read',
    summary: 'Whether the engine answers.',
    body: z.strictObject({}),
    result: z.null(),
    need: () => ({ workspace: undefined }),
    run: (backend, _, call) => backend.ping(call),
  }),
]
