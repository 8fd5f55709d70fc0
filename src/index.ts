/** The public face of Holdfast. Importing it loads no backend and no third-party module. */
export type * from './registry/backends.ts'
export {
  configureDiscovery,
  CONVERSATION_STORES,
  discoveryProblems,
  findAppRoot,
  KNOWLEDGE_STORES,
  STATE_STORES,
  StoreRegistry,
  syncModule,
} from './registry/index.ts'
export type { BackendInfo, DiscoveryOptions, Origin, PackageProblem, RegisterOptions, SyncOptions } from './registry/index.ts'
export { openPersistence, openStore, resolveSettings, restoreBackup, storeTables } from './persistence.ts'
export type {
  Persistence,
  PersistenceOptions,
  RestoredBackup,
  RestoreOptions,
  UnreachedCollection,
  UserErasure,
  UserRemoval,
  Workspace,
  WorkspaceRemoval,
} from './persistence.ts'
export type { Place, ResolvedSettings, ResolvedStore, Settings, Source, StoreSetting } from './settings.ts'
export type { Context, ContextQuery } from './context.ts'
export { ERROR_CODES, HoldfastError, isHoldfastError, KINDS } from './errors.ts'
export type { ErrorCode, HoldfastErrorDetails, Kind, Outcome } from './errors.ts'
export type { ConversationStore } from './conversation/store.ts'
export type * from './conversation/contract.ts'
export type { KnowledgeStore } from './knowledge/store.ts'
export type * from './knowledge/contract.ts'
export type { FilterNode } from './knowledge/filter.ts'
export type { StateStore } from './state/store.ts'
export type * from './state/contract.ts'
export { API_VERSION } from './store/api-version.ts'
export { defineBackend } from './store/factory.ts'
export type { BackendFactory, FactoryContext, StoreTables } from './store/factory.ts'
export type { OptionSpec, OptionsSchema } from './store/options.ts'
export type { CallEvent, CallStart } from './store/core.ts'
export type * from './store/contract.ts'
export { toJson } from './store/json.ts'
export { redact } from './store/redact.ts'
