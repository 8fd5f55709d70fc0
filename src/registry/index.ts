/** The registries as the rest of Holdfast sees them. */
export { findAppRoot } from './app-root.ts'
export type { Stores } from './contract-check.ts'
export { Discovery } from './discovery.ts'
export type { DiscoveryOptions, PackageProblem } from './discovery.ts'
export {
  backendForUrl,
  configureDiscovery,
  CONVERSATION_STORES,
  discoveryProblems,
  KNOWLEDGE_STORES,
  STATE_STORES,
  syncModule,
} from './global.ts'
export { StoreRegistry } from './registry.ts'
export type { BackendInfo, RegisterOptions } from './registry.ts'
export type { SyncOptions } from './sync.ts'
export type { Origin } from './table.ts'
