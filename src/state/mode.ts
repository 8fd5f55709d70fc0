/** Whether a backend's values are encrypted: a mark in a space of its own says it to all processes. */
import { guardWrites, notEncrypted, PlacesSeen } from '../encryption/mode.ts'
import type { BackendCall } from '../store/contract.ts'
import { keysMissing } from '../store/sealed.ts'
import type { StateBackend, StateCommit } from './contract.ts'

/** No workspace and no plugin has this space. */
export const MODE_SPACE = 'e:'
/** There where values are encrypted. */
const MODE_KEY = 'encrypted'
const ANYTHING = { prefix: '', limit: 1 }
const EVERYWHERE = ''

/** The same backend, which refuses to write where values are encrypted. */
export function plainState(backend: StateBackend): StateBackend {
  const look = async (): Promise<void> => {
    if (await isMarked(backend)) throw keysMissing('the state')
  }
  const placeOf = (_: string, commit: unknown): string | undefined => (isWrite(commit as StateCommit) ? EVERYWHERE : undefined)
  return guardWrites(backend, ['commit'], { places: new PlacesSeen(look), placeOf })
}

/** What an encrypting store has to look at before it writes in a space. */
export function placeOf(backend: StateBackend, space: string): string {
  return backend.listSpaces === undefined ? space : EVERYWHERE
}

/** Before the first write: values are encrypted here, or there are none yet. */
export async function claim(backend: StateBackend, space: string): Promise<void> {
  if (await isMarked(backend)) return
  const found = backend.listSpaces === undefined ? await backend.scan(space, ANYTHING) : await backend.listSpaces(ANYTHING)
  if (found.length > 0) throw notEncrypted('the state')
  await markEncrypted(backend, true)
}

/** Says for all processes that values are encrypted, or no longer. */
export async function markEncrypted(backend: StateBackend, encrypted: boolean, call?: BackendCall): Promise<void> {
  const commit = encrypted ? { set: [{ key: MODE_KEY, value: 'true' }] } : { delete: [MODE_KEY] }
  await backend.commit(MODE_SPACE, commit, call)
}

/** Deleting needs no keys. */
export function isWrite({ set, add }: StateCommit): boolean {
  return (set !== undefined && set.length > 0) || (add !== undefined && add.length > 0)
}

async function isMarked(backend: StateBackend): Promise<boolean> {
  const [mark] = await backend.get(MODE_SPACE, [MODE_KEY])
  return mark !== undefined
}
