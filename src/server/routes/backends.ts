/** The backend tier: the contracts of the backends over HTTP, by which a client's own stores work on this server's engines. */
import { z } from 'zod'
import { API_VERSION, HoldfastError, type Kind } from '../../index.ts'
import type { CallMode, StoreCore } from '../../store/core.ts'
import type { Need } from '../access.ts'
import { endpoint, type Endpoint, type Served } from '../endpoint.ts'

const nothing = z.strictObject({})

/** One method of a backend contract. */
export interface MethodSpec<B extends z.ZodObject, C> {
  readonly name: string
  readonly mode: CallMode
  readonly body: B
  readonly result: z.ZodType
  readonly summary: string
  need(body: z.output<B>): Omit<Need, 'write'>
  run(backend: C, body: z.output<B>, call: { readonly signal?: AbortSignal | undefined }): Promise<unknown>
}

/** A call of the backend behind a store, with the store's own deadlines, retries and events around it. */
export function methodOf<K extends Kind, B extends z.ZodObject>(
  kind: K,
  spec: MethodSpec<B, Served[K]['core']['backend']>,
): Endpoint {
  return endpoint({
    method: 'POST',
    path: `/v1/backends/${kind}/${spec.name}`,
    tag: 'backends',
    summary: spec.summary,
    query: nothing,
    body: spec.body,
    result: z.object({ result: spec.result }),
    needsBody: true,
    need: ({ body }) => ({ ...spec.need(body as z.output<B>), write: spec.mode !== 'read' }),
    run: async (input) => {
      const { core } = input[kind] as { readonly core: StoreCore<Served[K]['core']['backend']> }
      const body = input.body as z.output<B>
      const result = await core.run(spec.name, spec.mode, input.call, (call) => spec.run(core.backend, body, call))
      return { result: result ?? null }
    },
  })
}

/** What a backend may leave out. */
export function unable(method: string): never {
  throw new HoldfastError('UNSUPPORTED', `the backend has no ${method}`, { outcome: 'not-applied' })
}

export const aboutBackends = endpoint({
  method: 'GET',
  path: '/v1/backends',
  tag: 'backends',
  summary: 'What the backends of this server can do.',
  query: nothing,
  result: z.object({
    apiVersion: z.int(),
    maxBodyBytes: z.int(),
    conversation: z.unknown(),
    knowledge: z.unknown(),
    state: z.unknown(),
  }),
  need: () => ({ workspace: undefined, write: false }),
  run: async ({ conversation, knowledge, state, limits }) => ({
    apiVersion: API_VERSION,
    maxBodyBytes: limits.maxBodyBytes,
    conversation: about(conversation),
    knowledge: about(knowledge),
    state: about(state),
  }),
})

/** Infinity is null in JSON; methods that a backend may lack are named where it has them. */
function about({ core, capabilities }: Pick<Served[Kind], 'core' | 'capabilities'>): object {
  const backend = core.backend as unknown as Record<string, unknown>
  const has = OPTIONAL.filter((name) => typeof backend[name] === 'function')
  return { backend: core.name, capabilities, limits: core.limits, encrypted: core.backend.encrypted === true, has }
}

const OPTIONAL = ['search', 'listWorkspaces', 'listSpaces', 'get', 'count', 'list'] as const
