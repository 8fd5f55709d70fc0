/** The backend tier of state. */
import { z } from 'zod'
import { HoldfastError, type BackendCall, type StateBackend, type StateCommit, type StateScan } from '../../index.ts'
import { MODE_SPACE } from '../../state/mode.ts'
import { EVERYTHING, type Need } from '../access.ts'
import type { Endpoint } from '../endpoint.ts'
import { commit, commitResult, entries, fromEntry, keys, scan, space, writesOnce } from '../schemas/state.ts'
import { withinLimits } from '../sizes.ts'
import { TOKEN_SPACE } from '../tokens.ts'
import { methodOf, unable, type MethodSpec } from './backends.ts'

const state = <B extends z.ZodObject>(spec: MethodSpec<B, StateBackend>): Endpoint => methodOf('state', spec)

/** Whose space it is: a workspace's, or, for what spans workspaces, nobody's in particular. */
export function ownerOf(name: string): Omit<Need, 'write'> {
  if (name === '') return { workspace: '' }
  if (/^w:./su.test(name)) return { workspace: name.slice(2) }
  if (name !== TOKEN_SPACE) return { workspace: EVERYTHING }
  throw new HoldfastError('PERMISSION_DENIED', 'that space is the server’s own', { outcome: 'not-applied' })
}

/** All but the server's own. */
async function othersSpaces(backend: StateBackend, scan: StateScan, call: BackendCall): Promise<string[]> {
  // One more than asked: a page that is short says that nothing follows.
  const found = (await backend.listSpaces?.({ ...scan, limit: scan.limit + 1 }, call)) ?? unable('listSpaces')
  return found.filter((name) => name !== TOKEN_SPACE).slice(0, scan.limit)
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
    run: async (backend, body, call) => {
      withinLimits(backend.limits, { batch: body.keys.length })
      return (await backend.get(body.space, body.keys, call)).map(fromEntry)
    },
  }),
  state({
    name: 'commit',
    mode: 'write',
    summary: 'Checks and writes of one space, all or nothing.',
    body: z.strictObject({ space, commit: commit.refine(writesOnce, 'a key is written twice') }),
    result: commitResult,
    need: (body) => ownerOf(body.space),
    run: (backend, { space, commit }, call) => {
      const { set = [], delete: unwanted = [], add = [], checks = [] } = commit
      const batch = Math.max(set.length, unwanted.length, add.length, checks.length)
      withinLimits(backend.limits, { batch, valueBytes: set.map(({ value }) => value) })
      return backend.commit(space, commit as StateCommit, call)
    },
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
    run: (backend, body, call) => othersSpaces(backend, body.scan, call),
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
