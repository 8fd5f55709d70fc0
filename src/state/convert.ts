/** State from plain to encrypted, from an older key to the current one, and back to plain. */
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import type { StateEntry, StateValue } from './contract.ts'
import type { EncryptedState } from './encrypted.ts'
import { markEncrypted, MODE_SPACE } from './mode.ts'
import { backOff, MAX_ATTEMPTS, StateSpace } from './space.ts'

export type Target = 'sealed' | 'plain'

const WIDTH = 16
const SPACES_PER_PAGE = 100

/**
 * Converts every space and gives the number of values. From its first moment on stores of the old mode refuse to write. What is converted
 * stays as it is: after an interruption it goes on where it stopped. TTLs stay, and no write by others is lost.
 */
export async function convertState(state: EncryptedState, target: Target, call: BackendCall): Promise<number> {
  const { stored } = state
  if (stored.listSpaces === undefined) {
    throw new HoldfastError('UNSUPPORTED', 'the backend cannot list its spaces: set its values anew in an empty one', {
      outcome: 'not-applied',
    })
  }
  await markEncrypted(stored, target === 'sealed', call)
  let converted = 0
  let page: string[]
  let after: string | undefined
  do {
    page = await stored.listSpaces({ prefix: '', after, limit: SPACES_PER_PAGE }, call)
    for (const space of page) if (space !== MODE_SPACE) converted += await convertSpace(state, space, target, call)
    after = page.at(-1)
  } while (page.length === SPACES_PER_PAGE)
  return converted
}

async function convertSpace(state: EncryptedState, name: string, target: Target, call: BackendCall): Promise<number> {
  const space = new StateSpace(state.stored, name)
  let converted = 0
  for await (const keys of space.pages('', call)) {
    const pending = keys.values()
    const worker = async (): Promise<void> => {
      for (const key of pending) if (await convertKey(state, space, key, target, call)) converted++
    }
    await Promise.all(Array.from({ length: WIDTH }, worker))
  }
  return converted
}

/** False where it is as it should be. */
async function convertKey(
  state: EncryptedState,
  space: StateSpace,
  key: string,
  target: Target,
  call: BackendCall,
): Promise<boolean> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    call.signal?.throwIfAborted()
    const entry = await space.entry(key, call)
    const value = entry && converted(state, space.name, key, entry, target)
    if (entry === undefined || value === undefined) return false
    const checks = [{ key, version: entry.version }]
    const { applied } = await space.commit({ checks, set: [{ key, value, ttlMs: 'keep' }] }, call)
    if (applied) return true
    await backOff(attempt, call)
  }
  throw new HoldfastError('CONFLICT', `key ${JSON.stringify(key)} was changed by others at each of ${MAX_ATTEMPTS} attempts`)
}

/** Undefined where it is as it should be. */
function converted(
  state: EncryptedState,
  space: string,
  key: string,
  { value }: StateEntry,
  target: Target,
): StateValue | undefined {
  const isSealed = state.isSealed(value)
  if (target === 'plain') return isSealed ? textOrBytes(state.open(space, key, value)) : undefined
  if (!isSealed) return state.seal(space, key, value)
  return state.isCurrent(space, value) ? undefined : state.seal(space, key, state.open(space, key, value))
}

/** JSON was text before it was encrypted, which other programs read; bytes that are UTF-8 read the same either way. */
function textOrBytes(bytes: Uint8Array): StateValue {
  try {
    return decoder.decode(bytes)
  } catch {
    return bytes
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
