/** An endpoint as data: what it takes, what it needs and what it does. Routing, checks and the OpenAPI document all come from it. */
import type { Readable } from 'node:stream'
import type { z } from 'zod'
import type { ConversationStore, KnowledgeStore, StateStore } from '../index.ts'
import type { PluginHost } from '../plugin-storage/index.ts'
import type { Need } from './access.ts'
import type { Body } from './bodies.ts'
import type { Limits } from './limits.ts'

/** What the server serves. It is open already, and whoever opened it closes it. */
export interface Served {
  readonly conversation: ConversationStore
  readonly knowledge: KnowledgeStore
  readonly state: StateStore
  readonly plugins: PluginHost
}

export interface Call {
  /** Aborts when the caller hangs up. */
  readonly signal: AbortSignal
  readonly timeoutMs?: number | undefined
}

export interface Input<Q, B> extends Served {
  /** `HEAD` where that is asked of an endpoint of `GET`. */
  readonly method: string
  readonly query: Q
  readonly body: B
  readonly headers: Headers
  readonly limits: Limits
  readonly call: Call
}

/** What is answered: text, bytes or a stream as they are. */
export class Reply {
  readonly status: number
  readonly body: Uint8Array | Readable | string | null
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, body: Reply['body'] = null, headers: Readonly<Record<string, string>> = {}) {
    this.status = status
    this.body = body
    this.headers = headers
  }
}

export const JSON_TYPE = { 'content-type': 'application/json' }

/** Tiers whose answers hold numbers of callers as numbers. */
const EXACT: ReadonlySet<string> = new Set(['conversations', 'knowledge'])
const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => unknown }

/** As JSON, in which -0, a number like any other in JSON, does not turn into 0. */
export function jsonOf(value: unknown, tag?: EndpointSpec<z.ZodObject, undefined>['tag']): string {
  if (tag === undefined || !EXACT.has(tag)) return JSON.stringify(value)
  return JSON.stringify(value, (_, member: unknown) => (Object.is(member, -0) ? rawJSON('-0') : member))
}

/** `HEAD` works wherever `GET` does. */
export type Method = 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE'

/** A body that is read by the endpoint itself, as a stream of bytes. */
export const BYTES = 'bytes'

/** Headers that an endpoint reads, for the OpenAPI document. */
export type HeaderNotes = Readonly<Record<string, string>>

export interface EndpointSpec<Q extends z.ZodObject, B extends z.ZodType | typeof BYTES | undefined> {
  readonly method: Method
  /** Without parameters: ids are in the query or the body. */
  readonly path: string
  readonly summary: string
  readonly tag: 'conversations' | 'knowledge' | 'state' | 'storage' | 'backends'
  readonly query: Q
  readonly body?: B
  readonly headers?: HeaderNotes
  /** What the answer holds, for the document; left out: nothing. */
  readonly result?: z.ZodType | typeof BYTES
  /** Status of success where it is not 200, or 204 without a result. */
  readonly status?: 201
  /** `body` is there where `needsBody` says so: a body is not even read from who may not do what the query asks for. */
  need(input: { readonly query: z.output<Q>; readonly body: BodyOf<B> }): Need
  readonly needsBody?: true
  /** Gives a `Reply`, or what is sent as JSON; undefined: 204. */
  run(input: Input<z.output<Q>, BodyOf<B>>): Promise<unknown>
}

type BodyOf<B> = B extends z.ZodType ? z.output<B> : B extends typeof BYTES ? Body : undefined

export type Endpoint = EndpointSpec<z.ZodObject, z.ZodType | typeof BYTES | undefined>

/** Checks the types of one endpoint against each other, and forgets them. */
export function endpoint<Q extends z.ZodObject, B extends z.ZodType | typeof BYTES | undefined = undefined>(
  spec: EndpointSpec<Q, B>,
): Endpoint {
  return spec as object as Endpoint
}
