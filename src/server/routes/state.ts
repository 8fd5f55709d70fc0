/** Keys and values for programs in any language. A value is the body itself: JSON text, or bytes. */
import { z } from 'zod'
import type { StateCheck, StateStore } from '../../index.ts'
import { ttlToMs } from '../../state/arguments.ts'
import { StateSpace } from '../../state/space.ts'
import { workspaceSpace } from '../../state/spaces.ts'
import { readBytes } from '../../state/values.ts'
import { toJson } from '../../store/json.ts'
import { markBytes, unmarkBytes } from '../../store/sealed.ts'
import { BYTES, endpoint, Reply, type Endpoint, type Input } from '../endpoint.ts'
import { ttlOf, type Body } from '../bodies.ts'
import { asksForNone, etag, failed } from '../preconditions.ts'
import { HttpProblem } from '../problem.ts'
import { bad, isJson, parseJson } from '../request.ts'
import { id, integer, text, workspace } from '../schemas/common.ts'
import { withinLimits } from '../sizes.ts'

const MAX_PAGE = 1_000
const MAX_KEY_BYTES = 512
const PATH = '/v1/state/value'

const scope = z.strictObject({ workspace })
const value = scope.extend({ key: id('The key.') })

type Scope = z.output<typeof scope>
type Value = z.output<typeof value>

function store({ state, query }: Pick<Input<Scope, unknown>, 'state' | 'query'>): StateStore {
  return state.workspace(query.workspace)
}

function space({ state, query }: Pick<Input<Scope, unknown>, 'state' | 'query'>): StateSpace {
  return new StateSpace(state.core.backend, workspaceSpace(query.workspace))
}

const reads = ({ query }: { readonly query: Scope }) => ({ workspace: query.workspace, write: false })
const writes = ({ query }: { readonly query: Scope }) => ({ workspace: query.workspace, write: true })

export const STATE: readonly Endpoint[] = [
  endpoint({
    method: 'GET',
    path: PATH,
    tag: 'state',
    summary: 'A value with its ETag. JSON comes as text: its bytes are what was stored.',
    query: value,
    result: BYTES,
    need: reads,
    run: async (input) => {
      const { key } = input.query
      const entry = await input.state.core.run('getBytes', 'read', input.call, (call) => space(input).entry(key, call))
      if (entry === undefined) throw new HttpProblem('NOT_FOUND', 'there is no such key')
      return new Reply(200, unmarkBytes(readBytes(entry.value), key), {
        'content-type': OCTETS,
        etag: `"${entry.version}"`,
        ...ttlHeader(entry.ttlMs),
      })
    },
  }),
  endpoint({
    method: 'PUT',
    path: PATH,
    tag: 'state',
    summary: 'Stores the body: checked JSON where its type is application/json, bytes otherwise.',
    query: value,
    body: BYTES,
    headers: {
      'holdfast-ttl': 'Seconds until it is gone; fractions count.',
      'if-match': 'The ETag that the value must still have.',
      'if-none-match': '`*`: only where there is none.',
    },
    need: writes,
    run: put,
  }),
  endpoint({
    method: 'DELETE',
    path: PATH,
    tag: 'state',
    summary: 'Deletes a key.',
    query: value,
    headers: { 'if-match': 'The ETag that the value must still have.' },
    result: z.object({ deleted: z.boolean() }),
    need: writes,
    run: async (input) => {
      const version = etag(input.headers, 'if-match')
      const { key } = input.query
      if (version === undefined) return { deleted: await store(input).delete(key, input.call) }
      const commit = { checks: [{ key, version }], delete: [key] }
      const result = await input.state.core.run('delete', 'write', input.call, (call) => space(input).commit(commit, call))
      if (!result.applied) throw failed()
      return { deleted: true }
    },
  }),
  endpoint({
    method: 'GET',
    path: '/v1/state/keys',
    tag: 'state',
    summary: 'Keys in bytewise order.',
    query: scope.extend({
      prefix: text(MAX_KEY_BYTES, 'Only keys that begin like this.').optional(),
      limit: integer(1, MAX_PAGE, 'Keys a page.').optional(),
      cursor: z.string().optional(),
    }),
    result: z.object({ items: z.array(z.string()), cursor: z.string().optional() }),
    need: reads,
    run: (input) => store(input).scan({ ...input.query, ...input.call }),
  }),
  endpoint({
    method: 'POST',
    path: '/v1/state/increment',
    tag: 'state',
    summary: 'Adds to a number.',
    query: value,
    body: z.strictObject({ by: z.int().default(1) }),
    result: z.object({ value: z.int() }),
    need: writes,
    run: async (input) => ({ value: await store(input).increment(input.query.key, input.body.by, input.call) }),
  }),
]

const OCTETS = 'application/octet-stream'

/** JSON is stored as the text that it came as, once that is known to be JSON: no number is rounded on its way. */
async function put(input: Input<Value, Body>): Promise<undefined> {
  const { headers, call, query, limits } = input
  const ttl = ttlOf(headers)
  const ttlMs = ttl === undefined ? undefined : ttlToMs(ttl, 'holdfast-ttl')
  const checks = conditionsOf(headers, query.key)
  const bytes = await input.body.bytes(limits.maxBodyBytes)
  const value = isJson(headers) ? checkedText(bytes) : markBytes(bytes)
  withinLimits(input.state.limits, { valueBytes: [value] })
  const commit = { checks, set: [{ key: query.key, value, ttlMs }] }
  const mode = checks.length === 0 ? 'idempotent' : 'write'
  const result = await input.state.core.run('set', mode, call, (each) => space(input).commit(commit, each))
  if (!result.applied) throw failed()
  return undefined
}

function conditionsOf(headers: Headers, key: string): StateCheck[] {
  const version = etag(headers, 'if-match')
  if (!asksForNone(headers)) return version === undefined ? [] : [{ key, version }]
  if (version !== undefined) throw bad('if-match and if-none-match exclude each other')
  return [{ key, version: null }]
}

function checkedText(bytes: Uint8Array): string {
  const { value, text } = parseJson(bytes)
  toJson(value, 'the body')
  return text
}

function ttlHeader(ttlMs: number | undefined): Record<string, string> {
  return ttlMs === undefined ? {} : { 'holdfast-ttl': String(ttlMs / 1_000) }
}
