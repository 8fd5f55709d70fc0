/** Plugin storage: values are the bodies themselves, streamed both ways. */
import { pipeline } from 'node:stream/promises'
import { z } from 'zod'
import { parsePluginId, type OpenValue, type PluginStorage } from '../../plugin-storage/index.ts'
import { decodeCursor, encodeCursor } from '../../store/cursor.ts'
import { EVERYTHING, type Need } from '../access.ts'
import { BYTES, endpoint, Reply, type Endpoint, type Input } from '../endpoint.ts'
import { ttlOf, type Body } from '../bodies.ts'
import { asksForNone, failed } from '../preconditions.ts'
import { HttpProblem } from '../problem.ts'
import { rangeOf, type Range } from '../range.ts'
import { bad } from '../request.ts'
import { flag, id, integer, text, workspace } from '../schemas/common.ts'

const MAX_KEY_BYTES = 256
const MAX_PAGE = 1_000
const PATH = '/v1/storage/value'

const plugin = z
  .string()
  .max(256)
  .transform((value, context) => {
    try {
      return parsePluginId(value)
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message })
      return z.NEVER
    }
  })
  .describe('The plugin, as author/name; a version after it is left off.')

const scope = z.strictObject({ workspace, plugin })
const value = scope.extend({ key: id('The key.', MAX_KEY_BYTES) })

const scopeShown = z.object({
  workspaceId: z.string(),
  pluginId: z.string(),
  usedBytes: z.int(),
  encrypted: z.boolean(),
  createdAt: z.string().optional(),
})

type Scope = z.output<typeof scope>
type Value = z.output<typeof value>

function storageOf({ plugins, query }: Pick<Input<Scope, unknown>, 'plugins' | 'query'>): PluginStorage {
  return plugins.session({ workspaceId: query.workspace, pluginId: query.plugin }).storage
}

function need(write: boolean): (input: { readonly query: Scope }) => Need {
  return ({ query }) => ({ workspace: query.workspace, plugin: query.plugin, write })
}

export const STORAGE: readonly Endpoint[] = [
  endpoint({
    method: 'GET',
    path: PATH,
    tag: 'storage',
    summary: 'A value, or part of it.',
    query: value,
    headers: { range: 'One range of bytes: `bytes=0-99`, `bytes=100-`, `bytes=-50`.' },
    result: BYTES,
    need: need(false),
    run: async (input) => {
      const opened = await storageOf(input).open(input.query.key, input.call)
      if (opened === undefined) throw new HttpProblem('NOT_FOUND', 'there is no such value')
      return partOf(opened, askedFor(input))
    },
  }),
  endpoint({
    method: 'PUT',
    path: PATH,
    tag: 'storage',
    summary: 'Stores a value: the body as it is.',
    query: value,
    body: BYTES,
    headers: {
      'holdfast-ttl': 'Seconds until it is gone; fractions count.',
      'if-none-match': '`*`: only where there is no value.',
    },
    need: need(true),
    run: put,
  }),
  endpoint({
    method: 'DELETE',
    path: PATH,
    tag: 'storage',
    summary: 'Deletes a value.',
    query: value,
    result: z.object({ deleted: z.boolean() }),
    need: need(true),
    run: async (input) => ({ deleted: await storageOf(input).delete(input.query.key, input.call) }),
  }),
  endpoint({
    method: 'GET',
    path: '/v1/storage/keys',
    tag: 'storage',
    summary: 'Keys in bytewise order.',
    query: scope.extend({
      prefix: text(MAX_KEY_BYTES, 'Only keys that begin like this.').default(''),
      limit: integer(1, MAX_PAGE, 'Keys a page.').default(100),
      cursor: z.string().optional(),
    }),
    result: z.object({ items: z.array(z.string()), cursor: z.string().optional() }),
    need: need(false),
    run: async (input) => {
      const { prefix, limit, cursor } = input.query
      const after = cursor === undefined ? undefined : afterOf(cursor, prefix)
      const found = storageOf(input).scanPrefix(prefix, { ...input.call, after })
      // One more than asked, so that a cursor is given only where it leads somewhere.
      const items = await Array.fromAsync(take(found, limit + 1))
      if (items.length <= limit) return { items }
      items.length = limit
      return { items, cursor: encodeCursor(CURSOR_TAG, [prefix, items[limit - 1]!]) }
    },
  }),
  endpoint({
    method: 'POST',
    path: '/v1/storage/increment',
    tag: 'storage',
    summary: 'Adds to an integer that is stored as text.',
    query: value,
    body: z.strictObject({ by: z.int().default(1) }),
    result: z.object({ value: z.int() }),
    need: need(true),
    run: async (input) => ({ value: await storageOf(input).increment(input.query.key, input.body.by, input.call) }),
  }),
  endpoint({
    method: 'GET',
    path: '/v1/storage/usage',
    tag: 'storage',
    summary: 'Bytes used, and the quota.',
    query: scope,
    result: z.object({ usedBytes: z.int(), quotaBytes: z.int() }),
    need: need(false),
    run: (input) => storageOf(input).usage(input.call),
  }),
  endpoint({
    method: 'DELETE',
    path: '/v1/storage',
    tag: 'storage',
    summary: 'Removes all that a plugin has stored in a workspace.',
    query: scope,
    result: z.object({ values: z.int() }),
    need: need(true),
    run: async ({ plugins, query, call }) => ({
      values: await plugins.clear({ workspaceId: query.workspace, pluginId: query.plugin }, call),
    }),
  }),
  endpoint({
    method: 'GET',
    path: '/v1/storage/scopes',
    tag: 'storage',
    summary: 'Plugins that have stored something, with their usage.',
    query: z.strictObject({ workspace: workspace.optional(), all: flag.default(false) }),
    result: z.object({ items: z.array(scopeShown) }),
    need: ({ query }) => ({ workspace: query.all ? EVERYTHING : (query.workspace ?? ''), write: false }),
    run: async ({ plugins, query, call }) => {
      const workspaceId = query.all ? undefined : (query.workspace ?? '')
      return { items: await Array.fromAsync(plugins.scopes({ ...call, workspaceId })) }
    },
  }),
]

const OCTETS = { 'content-type': 'application/octet-stream' }
const CURSOR_TAG = 'storage'
/** A body that says that it is no longer than this is stored in one call; others are streamed, chunk by chunk. */
const SMALL_BYTES = 256 * 1_024

async function put(input: Input<Value, Body>): Promise<undefined> {
  const { query, body, headers, limits } = input
  const options = { ...input.call, ttl: ttlOf(headers) }
  const onlyNew = asksForNone(headers)
  const storage = storageOf(input)
  body.check(limits.maxValueBytes)
  if (onlyNew) {
    const added = await storage.setIfAbsent(query.key, await body.bytes(limits.maxBodyBytes), options)
    if (!added) throw failed()
  } else if ((body.length ?? Infinity) <= SMALL_BYTES) {
    await storage.set(query.key, await body.bytes(SMALL_BYTES), options)
  } else {
    await pipeline(body.pieces(limits.maxValueBytes), storage.createWriteStream(query.key, options))
  }
  return undefined
}

function afterOf(cursor: string, prefix: string): string {
  const [of, after] = decodeCursor(CURSOR_TAG, cursor, ['string', 'string'])
  if (of !== prefix || !after.startsWith(prefix)) throw bad('cursor belongs to a listing of another prefix')
  return after
}

async function* take<T>(items: AsyncIterable<T>, count: number): AsyncGenerator<T, void> {
  let left = count
  for await (const item of items) {
    yield item
    if (--left === 0) return
  }
}

/** The range, where it counts: for GET only, and there are no validators that the one of a conditional range could be. */
function askedFor({ method, headers }: Pick<Input<Scope, unknown>, 'method' | 'headers'>): string | null {
  return method === 'GET' && !headers.has('if-range') ? headers.get('range') : null
}

function partOf(opened: OpenValue, header: string | null): Reply {
  const { size } = opened
  const range = header === null ? undefined : rangeOf(header, size)
  if (range === 'unsatisfiable') {
    throw new HttpProblem('INVALID_ARGUMENT', `the value has ${size} bytes`, 416, { 'content-range': `bytes */${size}` })
  }
  const headers = { ...OCTETS, 'accept-ranges': 'bytes' }
  if (range === undefined) return new Reply(200, bodyOf(opened), { ...headers, 'content-length': String(size) })
  const { start, end } = range
  const about = { 'content-length': String(end - start + 1), 'content-range': `bytes ${start}-${end}/${size}` }
  return new Reply(206, bodyOf(opened, range), { ...headers, ...about })
}

function bodyOf({ bytes, createReadStream }: OpenValue, range?: Range): Reply['body'] {
  if (bytes === undefined) return createReadStream(range)
  return range === undefined ? bytes : bytes.subarray(range.start, range.end + 1)
}
