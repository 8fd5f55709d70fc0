/** The OpenAPI 3.1 document, from the schemas that also check. */
import { z } from 'zod'
import { ERROR_CODES } from '../index.ts'
import { BYTES, type Endpoint, type HeaderNotes } from './endpoint.ts'
import { PROBLEM_TYPE } from './problem.ts'

type Json = Record<string, unknown>

const TITLE = 'Holdfast'
const DESCRIPTION =
  'Persistence for AI agents and their plugins. Ids, keys and workspaces are in the query or the body, never in the path.'

export function openApi(endpoints: readonly Endpoint[]): Json {
  const paths: Record<string, Json> = {}
  for (const endpoint of endpoints) (paths[endpoint.path] ??= {})[endpoint.method.toLowerCase()] = operation(endpoint)
  return {
    openapi: '3.1.0',
    info: { title: TITLE, version: '1', description: DESCRIPTION },
    // Without a token where none is set up, on the server's own machine.
    security: [{ token: [] }, {}],
    paths: { ...paths, ...OPEN_PATHS },
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } }, schemas: { Problem: PROBLEM } },
  }
}

function operation(endpoint: Endpoint): Json {
  const { method, path, summary, tag, query, body, headers = {} } = endpoint
  const parameters = [...queryParameters(query), ...headerParameters(headers)]
  return {
    operationId: `${method.toLowerCase()}${path.replaceAll(/[^a-zA-Z]+(.)/g, (_, letter: string) => letter.toUpperCase())}`,
    summary,
    tags: [tag],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, content: content(body, 'input') } }),
    responses: {
      ...(endpoint.result === undefined
        ? { 204: { description: 'Done.' } }
        : { [endpoint.status ?? 200]: { description: 'Done.', content: content(endpoint.result, 'output') } }),
      ...('range' in headers && endpoint.result !== undefined
        ? { 206: { description: 'The part that was asked for.', content: content(endpoint.result, 'output') } }
        : {}),
      default: {
        description: 'Refused or failed.',
        content: { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  }
}

function content(schema: z.ZodType | typeof BYTES, io: 'input' | 'output'): Json {
  if (schema === BYTES) return { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } }
  return { 'application/json': { schema: jsonSchema(schema, io) } }
}

function queryParameters(query: z.ZodObject): Json[] {
  const { properties = {}, required = [] } = jsonSchema(query, 'input') as {
    properties?: Record<string, Json>
    required?: string[]
  }
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', required: required.includes(name), schema }))
}

function headerParameters(notes: HeaderNotes): Json[] {
  return Object.entries(notes).map(([name, description]) => ({
    name,
    in: 'header',
    required: false,
    description,
    schema: { type: 'string' },
  }))
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  return z.toJSONSchema(schema, { io, unrepresentable: 'any', target: 'draft-2020-12' })
}

const JSON_ANSWER = { description: 'Done.', content: { 'application/json': { schema: { type: 'object' } } } }

/** Those that are no endpoints of the data. */
const OPEN_PATHS = {
  '/healthz': {
    get: { operationId: 'health', summary: 'Whether the server runs.', security: [{}], responses: { 200: JSON_ANSWER } },
  },
  '/readyz': {
    get: {
      operationId: 'readiness',
      summary: 'Whether the engines behind it answer.',
      security: [{}],
      responses: { 200: JSON_ANSWER, 503: { ...JSON_ANSWER, description: 'One of them does not.' } },
    },
  },
  '/openapi.json': {
    get: { operationId: 'document', summary: 'This document.', security: [{}], responses: { 200: JSON_ANSWER } },
  },
  '/metrics': {
    get: {
      operationId: 'metrics',
      summary: 'Figures for Prometheus; takes a token for all workspaces.',
      responses: { 200: { description: 'Done.', content: { 'text/plain': { schema: { type: 'string' } } } } },
    },
  },
}

const PROBLEM = {
  type: 'object',
  required: ['type', 'title', 'status', 'code', 'detail', 'requestId'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    code: { type: 'string', enum: Object.keys(ERROR_CODES) },
    detail: { type: 'string' },
    outcome: { type: 'string', enum: ['not-applied', 'unknown'] },
    kind: { type: 'string' },
    backend: { type: 'string' },
    requestId: { type: 'string' },
  },
}
