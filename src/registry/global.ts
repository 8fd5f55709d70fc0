/** The built-in registries, one set a thread, shared by all installed copies of this package. */
import { CONVERSATION_CATALOGUE } from '../conversation/catalogue.ts'
import type { Kind } from '../errors.ts'
import { KNOWLEDGE_CATALOGUE } from '../knowledge/catalogue.ts'
import { STATE_CATALOGUE } from '../state/catalogue.ts'
import { Discovery, type DiscoveryOptions, type PackageProblem } from './discovery.ts'
import { StoreRegistry } from './registry.ts'
import type { SyncOptions } from './sync.ts'

interface Shared {
  readonly discovery: Discovery
  readonly conversation: StoreRegistry<'conversation'>
  readonly knowledge: StoreRegistry<'knowledge'>
  readonly state: StoreRegistry<'state'>
}

/** The number rises when a copy could no longer use the registries of an older one. */
const KEY = Symbol.for('holdfast.registries/1')

const shared: Shared = ((globalThis as { [KEY]?: Shared })[KEY] ??= createShared())

function createShared(): Shared {
  const discovery = new Discovery()
  return {
    discovery,
    conversation: new StoreRegistry('conversation', { catalogue: CONVERSATION_CATALOGUE, discovery }),
    knowledge: new StoreRegistry('knowledge', { catalogue: KNOWLEDGE_CATALOGUE, discovery }),
    state: new StoreRegistry('state', { catalogue: STATE_CATALOGUE, discovery }),
  }
}

export const CONVERSATION_STORES: StoreRegistry<'conversation'> = shared.conversation
export const KNOWLEDGE_STORES: StoreRegistry<'knowledge'> = shared.knowledge
export const STATE_STORES: StoreRegistry<'state'> = shared.state

/** Settles how installed packages are looked for; it replaces earlier settings, and what was found is looked for anew. */
export function configureDiscovery(options: DiscoveryOptions = {}): void {
  shared.discovery.configure(options)
}

/** What hides the backends of some package, or of the application: packages that are missing or cannot be read. */
export function discoveryProblems(): readonly PackageProblem[] {
  return shared.discovery.found.problems
}

/** The backend of a kind that a URL or a path stands for, or undefined where nothing is certain. */
export function backendForUrl(kind: Kind, url: string): string | undefined {
  return shared[kind].backendForUrl(url)
}

/**
 * The text of an ES module that registers what discovery finds now, and turns discovery off: what the module lists is all there is. The same
 * packages give the same text. What cannot be registered is named in comments. No application: `NOT_FOUND`.
 */
export async function syncModule(options: SyncOptions = {}): Promise<string> {
  const { generateSyncModule } = await import('./sync.ts')
  return generateSyncModule(options)
}
