/** What the conversation tier takes and gives: the backend contract of conversations as JSON. */
import { z } from 'zod'
import { isPlainText, MAX_ID_BYTES } from '../../store/text.ts'
import { entriesOf, id, isContent, jsonText, milliseconds, text } from './common.ts'

const MAX_NAME_BYTES = 6_144
const MAX_ROLE_BYTES = 64
const MAX_ITEMS = 10_000
const MAX_METADATA_FIELDS = 32
const MAX_TERMS = 1_000
const MAX_TERM = 16_384
/** As it stands in the database, a role may be longer by what encryption adds. */
const MAX_STORED_ROLE_BYTES = 4 * MAX_ROLE_BYTES

const CONTENT = 'content must be plain text or, where escaped, a JSON string literal'

export const sessionId = id('The session.')
const seq = z.int().min(0)
const plain = z.string().refine(isPlainText, 'must be well-formed Unicode without U+0000')
const scalar = z.union([plain, z.number(), z.boolean(), z.null()])

const sessionFields = {
  userId: id('The person.').nullable(),
  agentId: id('The agent.').nullable(),
  name: text(MAX_NAME_BYTES, 'A title.').nullable(),
  state: jsonText('object'),
  metadata: jsonText('object'),
}

export const sessionRecord = z.strictObject({
  id: sessionId,
  ...sessionFields,
  lastSeq: seq,
  version: z.int().min(1),
  createdAt: milliseconds,
  updatedAt: milliseconds,
})

export const sessionPatch = z.strictObject(sessionFields).partial()

const messageFields = {
  role: id('Who speaks.', MAX_STORED_ROLE_BYTES),
  content: z.string().nullable(),
  escaped: z.boolean(),
  parts: jsonText('array').nullable(),
  toolCalls: jsonText('array').nullable(),
  toolCallId: id('The call that is answered.').nullable(),
  metadata: jsonText('object').nullable(),
}

export const messageRecord = z
  .strictObject({ id: id('The message.'), seq, ...messageFields, createdAt: milliseconds })
  .refine(({ content, escaped }) => isContent(content, escaped), CONTENT)
export const messageRecords = z.array(messageRecord).max(MAX_ITEMS)

export const messagePatch = z
  .strictObject(messageFields)
  .partial()
  .refine(({ content, escaped }) => (content === undefined) === (escaped === undefined), 'content and escaped go together')
  .refine(({ content, escaped }) => content === undefined || isContent(content, escaped === true), CONTENT)

/** What a session can have come to: seqs rise, ids differ, and the session has counted them all. */
export function isHistory(
  { lastSeq }: z.output<typeof sessionRecord>,
  messages: readonly { readonly id: string; readonly seq: number }[],
): boolean {
  const rises = messages.every(({ seq }, i) => seq > (messages[i - 1]?.seq ?? 0))
  return rises && (messages.at(-1)?.seq ?? 0) <= lastSeq && new Set(messages.map(({ id }) => id)).size === messages.length
}

const ids = z.array(id('A message.', MAX_ID_BYTES)).min(1).max(MAX_ITEMS)

export const sessionQuery = z.strictObject({
  userId: id('The person.').optional(),
  agentId: id('The agent.').optional(),
  metadata: entriesOf(scalar)
    .refine((fields) => Object.entries(fields).length <= MAX_METADATA_FIELDS, `may name ${MAX_METADATA_FIELDS} fields at most`)
    .refine((fields) => Object.keys(fields).every(isPlainText), 'has a name that is no plain text')
    .optional(),
  order: z.enum(['asc', 'desc']),
  limit: z.int().min(1).max(MAX_ITEMS),
  after: z.object({ updatedAt: milliseconds, id: sessionId }).optional(),
})

export const messageQuery = z.strictObject({
  after: seq.optional(),
  before: seq.optional(),
  order: z.enum(['asc', 'desc']),
  limit: z.int().min(1).optional(),
  ids: ids.optional(),
})

export const messageSelection = z.strictObject({ ids: ids.optional(), afterSeq: seq.optional() })

/** As the store has made them: in lower case, without what some engines cannot look for. */
const term = plain
  .min(1)
  .max(MAX_TERM)
  .regex(/^\S+$/)
  .refine((text) => text === text.toLowerCase(), 'must be in lower case')

export const messageSearch = z.strictObject({
  terms: z.array(term).min(1).max(MAX_TERMS),
  userId: id('The person.').optional(),
  sessionId: sessionId.optional(),
  limit: z.int().min(1).max(MAX_ITEMS),
})

export const now = z.strictObject({ now: milliseconds })
export const appendOptions = z.strictObject({ now: milliseconds, expectedSeq: seq.optional() })
export const patchOptions = z.strictObject({ now: milliseconds, ifVersion: z.int().min(1).optional() })
export const deleteOptions = z.strictObject({ updatedBefore: milliseconds.optional() })

/** For a page of workspaces. */
export const workspaceQuery = z.strictObject({
  after: text(MAX_ID_BYTES, 'Continue behind this name.').optional(),
  limit: z.int().min(1).max(MAX_ITEMS),
})
