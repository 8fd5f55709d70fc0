/** The backend tier of state. */
import { z } from 'zod'
import { HoldfastError } from '../../index.ts'
import type { StateBackend, StateCommit } from '../../state/contract.ts'
import { MODE_SPACE } from '../../state/mode.ts'
import { EVERYTHING, type Need } from '../access.ts'
import type { Endpoint } from '../endpoint.ts'
import { commit, commitResult, entries, fromEntry, keys, scan, space, writesOnce } from '../schemas/state.ts'
import { TOKEN_SPACE } from '../tokens.ts'
import { methodOf, unable, type MethodSpec } from './backends.ts'

const state = <B extends z.ZodObject>(spec: MethodSpec<B, StateBackend>): Endpoint => methodOf('state', spec)

/** Whose space it is: a workspace's, or, for what spans workspaces, nobody's in particular. */
export function ownerOf(name: string): Omit<Need, 'write'> {
  if (name === '') return { workspace: '' }
  if (name.startsWith('w:')) return { workspace: name.slice(2) }
  if (name !== TOKEN_SPACE) return { workspace: EVERYTHING }
  throw new HoldfastError('PERMISSION_DENIED', 'that space is the server’s own', { outcome: 'not-applied' })
}

export const STATE_METHODS: readonly Endpoint[] = [
  state({
    name: 'get',
    mode: 'read',
    summary: 'Entries by their keys.',
    body: z.strictObject({ space, keys }),
    result: entries,
    // Every plain store asks whether values are encrypted.
    need: (body) => (body.space === MODE_SPACE ? { workspace: undefined } : ownerOf(body.space)),
    run: async (backend, body, call) => (await backend.get(body.space, body.keys, call)).map(fromEntry),
  }),
  state({
    name: 'commit',
    mode: 'write',
    summary: 'Checks and writes of one space, all or nothing.',
    body: z.strictObject({ space, commit: commit.refine(writesOnce, 'a key is written twice') }),
    result: commitResult,
    need: (body) => ownerOf(body.space),
    run: (backend, body, call) => backend.commit(body.space, body.commit as StateCommit, call),
  }),
  state({
    name: 'scan',
    mode: 'read',
    summary: 'Keys of a space in bytewise order.',
    body: z.strictObject({ space, scan }),
    result: z.array(z.string()),
    need: (body) => ownerOf(body.space),
    run: (backend, body, call) => backend.scan(body.space, body.scan, call),
  }),
  state({
    name: 'listSpaces',
    mode: 'read',
    summary: 'Spaces that hold something.',
    body: z.strictObject({ scan }),
    result: z.array(z.string()),
    need: () => ({ workspace: EVERYTHING }),
    run: (backend, body, call) => backend.listSpaces?.(body.scan, call) ?? unable('listSpaces'),
  }),
  state({
    name: 'ping',
    mode: 'read',
    summary: 'Whether the engine answers.',
    body: z.strictObject({}),
    result: z.null(),
    need: () => ({ workspace: undefined }),
    run: (backend, _, call) => backend.ping(call),
  }),
]
