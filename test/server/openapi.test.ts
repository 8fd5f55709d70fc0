/** The OpenAPI document says what there is, and what there is does as it says. */
import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { ENDPOINTS } from '../../src/server/routes/index.ts'
import { GOOD_BODIES } from './good-requests.ts'
import { served, type TestServer } from './support.ts'

interface Schema {
  readonly type?: string | string[]
  readonly properties?: Record<string, Schema>
  readonly required?: string[]
  readonly items?: Schema
  readonly anyOf?: Schema[]
  readonly $ref?: string
  readonly additionalProperties?: unknown
}

interface Media {
  readonly schema: Schema
}

interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly parameters?: readonly { name: string; in: string; required: boolean; schema: Schema }[]
  readonly requestBody?: { required: boolean; content: Record<string, Media> }
  readonly responses: Record<string, { description: string; content?: Record<string, Media> }>
}

interface Document {
  readonly openapi: string
  readonly info: { title: string; version: string }
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: { schemas: Record<string, Schema>; securitySchemes: Record<string, unknown> }
}

const documentOf = async ({ url }: TestServer): Promise<Document> =>
  (await (await fetch(`${url}/openapi.json`)).json()) as Document

const operationsOf = ({ paths }: Document): [path: string, method: string, Operation][] =>
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, string, Operation] => [path, method, operation]),
  )

/** Every schema in the document, however deep. */
function* refsIn(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return
  for (const [name, member] of Object.entries(value)) {
    if (name === '$ref' && typeof member === 'string') yield member
    else yield* refsIn(member)
  }
}

describe('the document', () => {
  it('has the structure of OpenAPI 3.1', async () => {
    const document = await documentOf(await served())
    assert.match(document.openapi, /^3\.1\.\d+$/)
    assert(document.info.title.length > 0 && document.info.version.length > 0)
    const ids = new Set<string>()
    for (const [path, method, operation] of operationsOf(document)) {
      const name = `${method} ${path}`
      assert.match(path, /^\/[a-zA-Z0-9/.]+$/, 'ids are never in a path')
      assert(['get', 'put', 'post', 'patch', 'delete'].includes(method), name)
      assert(!ids.has(operation.operationId), `${operation.operationId} is there twice`)
      ids.add(operation.operationId)
      assert(operation.summary.length > 0, name)
      assert(
        Object.keys(operation.responses).every((status) => /^[1-5]\d\d$|^default$/.test(status)),
        name,
      )
      assert(
        Object.keys(operation.responses).some((status) => /^2\d\d$/.test(status)),
        name,
      )
      for (const parameter of operation.parameters ?? []) {
        assert(['query', 'header'].includes(parameter.in) && typeof parameter.required === 'boolean', name)
        assert.equal(typeof parameter.schema, 'object')
      }
      for (const response of Object.values(operation.responses)) assert(response.description.length > 0, name)
      assert(method !== 'get' || operation.requestBody === undefined, name)
    }
    for (const ref of refsIn(document)) {
      const found = ref
        .split('/')
        .slice(1)
        .reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], document)
      assert(ref.startsWith('#/components/') && found !== undefined, ref)
    }
  })

  it('holds every endpoint, and no other', async () => {
    const server = await served()
    const document = await documentOf(server)
    const own = ['get /healthz', 'get /readyz', 'get /openapi.json', 'get /metrics']
    const coded = ENDPOINTS.map(({ method, path }) => `${method.toLowerCase()} ${path}`)
    const described = operationsOf(document).map(([path, method]) => `${method} ${path}`)
    assert.deepEqual(described.toSorted(), [...coded, ...own].toSorted())
    assert.equal(new Set(coded).size, coded.length, 'an endpoint is there twice')
  })
})

/** A value that a schema takes; texts and numbers are the least that is allowed. */
function sampleOf(schema: Schema & Record<string, unknown>): unknown {
  if (schema['const'] !== undefined) return schema['const']
  if (schema['default'] !== undefined) return schema['default']
  if (Array.isArray(schema['enum'])) return schema['enum'][0] as unknown
  if (schema.anyOf !== undefined) return sampleOf(schema.anyOf[0] as never)
  switch (schema.type) {
    case 'object':
      return Object.fromEntries((schema.required ?? []).map((name) => [name, sampleOf(schema.properties![name] as never)]))
    case 'array':
      return schema['minItems'] === undefined ? [] : [sampleOf(schema.items as never)]
    case 'integer':
    case 'number':
      return Math.max(1, Number(schema['minimum'] ?? 1))
    case 'boolean':
      return false
    case 'null':
      return null
    case 'string':
      return 'sample'
    default:
      return {}
  }
}

/** Whether a value is what the schema says, as far as types and members go. */
function fits(value: unknown, schema: Schema, path: string): string[] {
  if (schema.anyOf !== undefined) {
    const all = schema.anyOf.map((each) => fits(value, each, path))
    return all.find((problems) => problems.length === 0) ?? all[0]!
  }
  if (schema.type === undefined) return []
  const actual = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value
  const wanted = [schema.type].flat()
  if (!wanted.includes(actual) && !(actual === 'number' && wanted.includes('integer')))
    return [`${path} is ${actual}, not ${wanted.join(' or ')}`]
  if (actual === 'array') return (value as unknown[]).flatMap((item, i) => fits(item, schema.items ?? {}, `${path}[${i}]`))
  if (actual !== 'object') return []
  const missing = (schema.required ?? []).filter((name) => !Object.hasOwn(value as object, name))
  const members = Object.entries(value as object).flatMap(([name, member]) => {
    const known = schema.properties?.[name]
    if (known !== undefined) return fits(member, known, `${path}.${name}`)
    return schema.properties !== undefined && schema.additionalProperties === false ? [`${path}.${name} is unknown`] : []
  })
  return [...missing.map((name) => `${path}.${name} is missing`), ...members]
}

const QUERY: Readonly<Record<string, string>> = {
  workspace: 'w',
  session: 's1',
  message: 'm',
  collection: 'c',
  plugin: 'acme/notes',
  key: 'k',
  text: 'x',
}

async function answerOf({ url }: TestServer, [path, method, operation]: [string, string, Operation]): Promise<Response> {
  const query = new URLSearchParams()
  for (const { name, in: place, required } of operation.parameters ?? []) {
    if (place === 'query' && (required || name === 'workspace')) query.set(name, QUERY[name] ?? 'x')
  }
  const [type, media] = Object.entries(operation.requestBody?.content ?? {})[0] ?? []
  const given = GOOD_BODIES[`${method.toUpperCase()} ${path}`]
  const workspace =
    path.startsWith('/v1/backends/') && media?.schema.properties?.['workspace'] !== undefined ? { workspace: 'w' } : {}
  const json = (): string =>
    JSON.stringify(given === undefined ? sampleOf(media!.schema as never) : { ...workspace, ...(given as object) })
  const body = type === undefined ? {} : { body: type === 'application/json' ? json() : '1', headers: { 'content-type': type } }
  return fetch(`${url}${path}?${query.toString()}`, { method: method.toUpperCase(), ...body })
}

/** Creating comes first, deleting last. */
const orderOf = (method: string, path: string): number => {
  if (/createSession$|createCollection$|collections$|sessions$/.test(path) && method === 'post') return 0
  if (method === 'put' || (method === 'post' && /(documents|messages|increment)$/.test(path))) return 1
  if (/\/(collection|session)$/.test(path) && method === 'delete') return 5
  if (/delete(Collection|Session)$/.test(path)) return 4
  return method === 'delete' || /delete/i.test(path) ? 3 : 2
}

describe('each endpoint', () => {
  it('answers a good request as the document says', async () => {
    const server = await served()
    const document = await documentOf(server)
    const operations = operationsOf(document).toSorted((a, b) => orderOf(a[1], a[0]) - orderOf(b[1], b[0]))
    for (const operation of operations) {
      const name = `${operation[1]} ${operation[0]}`
      const response = await answerOf(server, operation)
      const text = await response.text()
      const described = operation[2].responses[response.status]
      assert(response.ok && described !== undefined, `${name}: ${response.status} ${text}`)
      const [type, media] = Object.entries(described.content ?? {})[0] ?? []
      assert.equal(response.headers.get('content-type')?.split(';')[0], type, name)
      if (type === 'application/json') assert.deepEqual(fits(JSON.parse(text), media!.schema, name), [])
    }
  })

  it('answers a request that it cannot take with a problem document', async () => {
    const server = await served()
    const document = await documentOf(server)
    const schema = document.components.schemas['Problem']!
    for (const { method, path } of ENDPOINTS) {
      const response = await fetch(`${server.url}${path}?nonsense=1`, { method })
      const problem = (await response.json()) as { status: number; code: string; type: string; requestId: string }
      assert.equal(response.headers.get('content-type'), 'application/problem+json')
      assert.deepEqual([response.status, problem.status, problem.code], [400, 400, 'INVALID_ARGUMENT'], `${method} ${path}`)
      assert.equal(problem.type, 'urn:holdfast:error:INVALID_ARGUMENT')
      assert.equal(problem.requestId, response.headers.get('x-request-id'))
      assert.deepEqual(fits(problem, schema, 'problem'), [])
    }
  })
})
