/** What the cases of plugin storage share. */
import assert from 'node:assert/strict'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import type { PluginHost, PluginHostOptions, SessionOptions } from '../../plugin-storage/host.ts'
import { scopeSpace, type ScopeId } from '../../plugin-storage/layout.ts'
import type { PluginStorage } from '../../plugin-storage/storage.ts'
import type { StateBackend } from '../../state/contract.ts'
import { StateStore } from '../../state/store.ts'
import { readBytes } from '../../state/values.ts'
import type { ConformanceCase, Trial } from '../case.ts'

export type HostFactory = (options: PluginHostOptions) => PluginHost

export interface StorageTrial extends Trial<StateStore> {
  /** A host over the store of the trial, or over another handle on its data. */
  host(options?: Partial<PluginHostOptions>): PluginHost
  /** The storage of the scope `SCOPE`, or of another, by a host of its own. */
  storage(options?: Partial<PluginHostOptions & SessionOptions>): PluginStorage
}

export interface StorageCase extends Omit<ConformanceCase<StateStore>, 'run'> {
  run(trial: StorageTrial): Promise<void>
}

export const SCOPE: ScopeId = { workspaceId: 'w1', pluginId: 'author/name' }
/** Small, so that values of a few hundred bytes come in pieces. */
export const CHUNK = 64
export const IN_CHUNKS = { chunkBytes: CHUNK }

/** The case as one over a state store, whose hosts are made by `createHost`. */
export function overState({ run, ...about }: StorageCase, createHost: HostFactory): ConformanceCase<StateStore> {
  return {
    ...about,
    run: (trial) => {
      const host: StorageTrial['host'] = (options) => createHost({ state: trial.store, ...options })
      const storage: StorageTrial['storage'] = ({ workspaceId, pluginId, sizeBytes, enabled, ...options } = {}) =>
        host(options).session({
          workspaceId: workspaceId ?? SCOPE.workspaceId,
          pluginId: pluginId ?? SCOPE.pluginId,
          sizeBytes,
          enabled,
        }).storage
      return run({ ...bound(trial), host, storage })
    },
  }
}

function bound(trial: Trial<StateStore>): Trial<StateStore> {
  const { store, view } = trial
  return {
    store,
    view,
    another: () => trial.another(),
    reopen: () => trial.reopen(),
    cut: () => trial.cut(),
    heal: () => trial.heal(),
  }
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** Does something again and again for as long as the work lasts, with a breath in between. */
export async function meanwhile(work: Promise<unknown>, again: () => Promise<unknown>): Promise<void> {
  const state = { over: false }
  const watch = async (): Promise<void> => {
    while (!state.over) {
      await again()
      await setImmediate()
    }
  }
  // Both come to their end, also where one fails: nothing may go on behind the case's back.
  const results = await Promise.allSettled([work.finally(() => (state.over = true)), watch()])
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

/** A key of exactly so many bytes, ending in `tail`. */
export function longKey(length: number, tail = ''): string {
  return 'x'.repeat(length - Buffer.byteLength(tail)) + tail
}

/** `length` bytes that differ for each seed and along the way. */
export function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (seed * 31 + i * 7 + (i >> 8)) % 256)
}

/** The sum of what is there. */
export async function sizeOfAll(storage: PluginStorage): Promise<number> {
  const values = await storage.getMany(await storage.keys())
  return values.reduce((sum, value) => sum + (value?.length ?? 0), 0)
}

/** Asserts that the counter says what the values are. */
export async function assertCounted(storage: PluginStorage): Promise<void> {
  assert.equal((await storage.usage()).usedBytes, await sizeOfAll(storage), 'the counter differs from the values')
}

/** One key's value and TTL long enough, or short enough, to tell. */
export async function untilGone(storage: PluginStorage, key: string): Promise<void> {
  const deadline = performance.now() + 10_000
  while (await storage.exist(key)) {
    assert.ok(performance.now() < deadline, 'a key outlives its TTL by seconds')
    await sleep(10)
  }
}

/** All keys under which a scope keeps anything, whatever they are for. */
export function rawKeys(store: StateStore, scope: ScopeId = SCOPE, prefix = ''): Promise<string[]> {
  return store.core.backend.scan(scopeSpace(store.workspaceId, scope), { prefix, limit: 10_000 })
}

export async function rawBytes(store: StateStore, key: string, scope: ScopeId = SCOPE): Promise<Uint8Array> {
  const [entry] = await store.core.backend.get(scopeSpace(store.workspaceId, scope), [key])
  return readBytes(entry!.value)
}

/** As somebody with access to the engine would. */
export async function plant(store: StateStore, key: string, value: Uint8Array | string, scope: ScopeId = SCOPE): Promise<void> {
  const { applied } = await store.core.backend.commit(scopeSpace(store.workspaceId, scope), { set: [{ key, value }] })
  assert.ok(applied)
}

/** The same data by a backend that is changed in some of its methods. */
export function through(store: StateStore, changed: Partial<StateBackend>): StateStore {
  const { backend } = store.core
  const patched: StateBackend = {
    capabilities: backend.capabilities,
    limits: backend.limits ?? {},
    get: (space, keys, call) => backend.get(space, keys, call),
    commit: (space, commit, call) => backend.commit(space, commit, call),
    scan: (space, scan, call) => backend.scan(space, scan, call),
    ping: (call) => backend.ping(call),
    close: async () => undefined,
    ...changed,
  }
  return new StateStore(patched, { name: store.backend, workspace: store.workspaceId, retries: 0 })
}

export function sameBytes(actual: Uint8Array | undefined, expected: Uint8Array, what = 'the value'): void {
  assert.ok(actual instanceof Uint8Array, `${what}: bytes expected, not ${String(actual)}`)
  assert.ok(Buffer.compare(actual, expected) === 0, `${what}: ${actual.length} bytes differ from the ${expected.length} expected`)
}
