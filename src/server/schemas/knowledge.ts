/** What the knowledge tier takes and gives: the backend contract of knowledge as JSON. */
import { z } from 'zod'
import type { CollectionRecord, DocumentRecord, FilterNode, HitRecord } from '../../index.ts'
import { checkField, MAX_FILTER_DEPTH } from '../../knowledge/filter.ts'
import { entriesOf, floats, id, isContent, isShallow, jsonText, milliseconds, text, toBase64 } from './common.ts'
import { isPlainText, MAX_ID_BYTES } from '../../store/text.ts'

const MAX_ITEMS = 10_000
const MAX_NODES = 1_000

export const collectionName = id('The collection.')

export const collectionRecord = z
  .strictObject({
    name: collectionName,
    dimension: z.int().min(1),
    distance: z.enum(['cosine', 'euclidean', 'dot']),
    fields: entriesOf(z.enum(['string', 'number', 'boolean'])).refine(
      (fields) => Object.keys(fields).every(isField),
      'has a name that is no field’s',
    ),
  })
  .transform((record): CollectionRecord => record)

const documentId = id('A document.')
export const documentIds = z.array(documentId).max(MAX_ITEMS)

export const documentRecords = z
  .array(
    z
      .strictObject({
        id: documentId,
        content: z.string(),
        escaped: z.boolean(),
        metadata: jsonText('object'),
        contentHash: z.string().regex(/^[0-9a-f]{16}$/),
        createdAt: milliseconds,
        embedding: floats,
      })
      .refine(({ content, escaped }) => isContent(content, escaped), 'content must be plain text or an escaped literal'),
  )
  .max(MAX_ITEMS)
  .refine((documents) => new Set(documents.map(({ id }) => id)).size === documents.length, 'an id is there twice')

const plain = z.string().refine(isPlainText, 'must be well-formed Unicode without U+0000')
/** -0 is 0, as in every filter. */
const number = z.number().transform((value) => value + 0)
const scalar = z.union([plain, number, z.boolean(), z.null()])
const path = z
  .array(z.string().max(MAX_ID_BYTES))
  .min(1)
  .max(MAX_FILTER_DEPTH)
  .refine((parts) => parts.every((part) => !part.includes('.')) && isField(parts.join('.')), 'is no field')

const node: z.ZodType = z.lazy(() => z.union([junction, negation, equality, comparison, membership, existence]))
const junction = z.strictObject({ op: z.enum(['and', 'or']), nodes: z.array(node).min(1).max(MAX_NODES) })
const negation = z.strictObject({ op: z.literal('not'), node })
const equality = z.strictObject({ op: z.enum(['eq', 'ne']), path, value: scalar })
const comparison = z.strictObject({ op: z.enum(['gt', 'gte', 'lt', 'lte']), path, value: z.union([plain, number]) })
const membership = z.strictObject({ op: z.enum(['in', 'nin']), path, values: z.array(scalar).max(MAX_ITEMS) })
const existence = z.strictObject({ op: z.literal('exists'), path, exists: z.boolean() })
const everything = z.strictObject({ op: z.literal('and'), nodes: z.array(z.never()).length(0) })

/** A checked filter as a tree. Its depth is looked at first: the check itself goes as deep as what it checks. */
export const filterNode = z
  .unknown()
  .refine((value) => isShallow(value, 2 * MAX_FILTER_DEPTH + 2), 'is nested too deeply')
  .pipe(z.union([everything, node]))
  .transform((value) => value as FilterNode)

function isField(name: string): boolean {
  try {
    return checkField(name, 'field').length > 0
  } catch {
    return false
  }
}

export const searchQuery = z.strictObject({
  embedding: floats,
  limit: z.int().min(1).max(MAX_ITEMS),
  filter: filterNode.optional(),
  withEmbeddings: z.boolean(),
})

export const listQuery = z.strictObject({
  filter: filterNode.optional(),
  limit: z.int().min(1).max(MAX_ITEMS),
  after: text(MAX_ID_BYTES, 'Continue behind this id.').optional(),
  withEmbeddings: z.boolean(),
})

export const selection = z.union([z.strictObject({ ids: documentIds }), z.strictObject({ filter: filterNode })])

export function fromDocument(record: DocumentRecord | HitRecord): object {
  return record.embedding === undefined ? record : { ...record, embedding: toBase64(record.embedding) }
}
