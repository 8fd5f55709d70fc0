/** Turning encryption on or off for a scope, and changing its key. */
import type { BackendCall } from '../store/contract.ts'
import { readChunk, ValueWriter } from './chunks.ts'
import { nameOf, type Draft } from './codec.ts'
import { commitChange } from './commit.ts'
import { backOff, leftToReconcile, MAX_ATTEMPTS } from './contention.ts'
import { chunkKey, META, VALUES } from './layout.ts'
import { corrupt, chunkCount, type StoredRecord } from './record.ts'
import { writeMeta, type Scope } from './scope.ts'
import { readBytes } from '../state/values.ts'

/** The same scope as a host with and without the key ring has it; `target` is the one it becomes. */
export interface Conversion {
  readonly target: Scope
  readonly other: Scope
}

const WIDTH = 8

/**
 * How many values were converted. From the first moment on hosts of the old mode are refused; until the last, values that are still to
 * come are for the others. When it was interrupted, it goes on where it stopped.
 */
export async function convertScope(conversion: Conversion, call: BackendCall): Promise<number> {
  if (!(await switchMode(conversion.target, call))) return 0
  conversion.other.forget()
  let converted = 0
  for await (const places of conversion.target.space.pages(VALUES, call)) {
    const pending = places.values()
    const worker = async (): Promise<void> => {
      for (const place of pending) if (await convertValue(conversion, place.slice(VALUES.length), call)) converted++
    }
    await Promise.all(Array.from({ length: WIDTH }, worker))
  }
  return converted
}

/** False where there is no scope. */
async function switchMode(scope: Scope, call: BackendCall): Promise<boolean> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const meta = await scope.meta(call)
    if (meta === undefined) return false
    if (meta.clearing) throw scope.error('CONFLICT', 'the scope is being cleared')
    if (meta.encrypted === scope.codec.sealed) return true
    const set = [{ key: META, value: writeMeta({ ...meta, encrypted: scope.codec.sealed }) }]
    await scope.space.commit({ checks: [{ key: META, version: meta.version }], set }, call)
    await backOff(attempt, call)
  }
  throw scope.error('CONFLICT', 'the scope cannot be converted: others change it all the time')
}

/** False where it is as it should be. */
async function convertValue({ target, other }: Conversion, key: string, call: BackendCall): Promise<boolean> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const old = await target.find(key, call)
    if (old === undefined || (await isConverted(target, old, call))) return false
    const source = old.sealed === target.codec.sealed ? target : other
    const bytes = source.codec.decode(key, old)
    const draft = { size: old.size, expiresAt: old.expiresAt, bytes }
    const applied =
      old.chunks === undefined ? await put(target, key, old, draft, call) : await rewrite(source, target, key, old, call)
    if (applied) return true
    await backOff(attempt, call)
  }
  throw target.error('CONFLICT', `${nameOf(key)} was changed by others at each of ${MAX_ATTEMPTS} attempts`)
}

async function put(
  scope: Scope,
  key: string,
  old: StoredRecord,
  draft: Draft,
  call: BackendCall,
  writing?: string,
): Promise<boolean> {
  return (await commitChange(scope, { key, meta: await scope.opened(), old, draft, writing }, Infinity, call)) === 'applied'
}

/** The chunks anew, under a generation of their own. */
async function rewrite(source: Scope, target: Scope, key: string, old: StoredRecord, call: BackendCall): Promise<boolean> {
  const writer = new ValueWriter(target, key)
  for (let index = 0; index < chunkCount(old.size, old.chunks!); index++) {
    const chunk = await readChunk(source, key, old, index, call)
    if (chunk === undefined) {
      await leftToReconcile(() => writer.discard())
      const now = await target.find(key, call)
      if (now?.chunks?.generation === old.chunks!.generation) throw corrupt(nameOf(key))
      return false
    }
    await writer.write(chunk, () => writer.flush(call))
  }
  const { draft, writing } = await writer.finish(old.expiresAt, call)
  const applied = await put(target, key, old, draft, call, writing)
  if (!applied) await leftToReconcile(() => writer.discard())
  return applied
}

/** A value in chunks may have a newer key on its record, which `expire` writes, than on them; all its chunks have the same. */
async function isConverted(scope: Scope, record: StoredRecord, call: BackendCall): Promise<boolean> {
  if (!scope.codec.isCurrent(record)) return false
  if (record.chunks === undefined || !record.sealed) return true
  const chunk = await scope.space.entry(chunkKey(record.chunks.generation, 0), call)
  return chunk !== undefined && scope.codec.isCurrentChunk(readBytes(chunk.value))
}
