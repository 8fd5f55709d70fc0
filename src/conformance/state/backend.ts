/** What the cases share that talk to the backend itself, past the store: plugin storage does so too. */
import assert from 'node:assert/strict'
import type { StateBackend, StateCommit, StateCommitResult, StateEntry } from '../../state/contract.ts'

/** No store's keys are in this space. */
export const SPACE = 'conformance'

export async function applied(
  backend: StateBackend,
  commit: StateCommit,
): Promise<Extract<StateCommitResult, { applied: true }>> {
  const result = await backend.commit(SPACE, commit)
  if (!result.applied) assert.fail(`the commit was refused: ${result.reason} of ${result.key}`)
  return result
}

export async function refusedFor(backend: StateBackend, reason: string, key: string, commit: StateCommit): Promise<void> {
  assert.deepEqual(await backend.commit(SPACE, commit), { applied: false, reason, key })
}

/** What the backend holds under a key in `SPACE`, as text. */
export async function contents(backend: StateBackend, key: string): Promise<string | undefined> {
  const [entry] = await backend.get(SPACE, [key])
  return entry && textOf(entry.value)
}

export async function entryOf(backend: StateBackend, key: string): Promise<StateEntry> {
  const [entry] = await backend.get(SPACE, [key])
  return entry ?? assert.fail(`there is no key ${JSON.stringify(key)}`)
}

export async function versionOf(backend: StateBackend, key: string): Promise<string> {
  return (await entryOf(backend, key)).version
}

export function textOf(value: string | Uint8Array): string {
  return typeof value === 'string' ? value : Buffer.from(value).toString()
}
