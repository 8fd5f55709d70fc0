/** Plugin storage, published as `holdfast/plugin-storage`. */
export { generateKey, KeyRing, type KeyRingOptions } from '../encryption/key-ring.ts'
export type { ByteEntries } from './arguments.ts'
export {
  PluginHost,
  type PluginHostOptions,
  type PluginSession,
  type ScopeInfo,
  type ScopeUsage,
  type SessionOptions,
  type WorkspaceClearance,
} from './host.ts'
export type { ScopeId } from './layout.ts'
export { parsePluginId } from './plugin-id.ts'
export type { Reconciliation, ReconcileOptions } from './reconcile.ts'
export type { PluginStorage, StorageUsage } from './storage.ts'
export type { ByteRange, OpenValue } from './streams.ts'
