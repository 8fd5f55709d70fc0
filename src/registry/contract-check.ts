/** Whether an object that a factory made keeps its kind's contract, as far as it shows before the first call. */
import type { ConversationBackend, ConversationCapabilities } from '../conversation/contract.ts'
import type { ConversationStore } from '../conversation/store.ts'
import type { Kind } from '../errors.ts'
import type { FilterCapabilities, KnowledgeBackend, KnowledgeCapabilities } from '../knowledge/contract.ts'
import type { KnowledgeStore } from '../knowledge/store.ts'
import type { StateBackend, StateCapabilities } from '../state/contract.ts'
import type { StateStore } from '../state/store.ts'
import type { StoreOptions } from '../store/contract.ts'

export interface Backends {
  readonly conversation: ConversationBackend
  readonly knowledge: KnowledgeBackend
  readonly state: StateBackend
}

export interface Stores {
  readonly conversation: ConversationStore
  readonly knowledge: KnowledgeStore
  readonly state: StateStore
}

type StoreClass<K extends Kind> = new (backend: Backends[K], options: { readonly name: string } & StoreOptions) => Stores[K]

const STORE_CLASSES: { readonly [K in Kind]: () => Promise<StoreClass<K>> } = {
  conversation: async () => (await import('../conversation/store.ts')).ConversationStore,
  knowledge: async () => (await import('../knowledge/store.ts')).KnowledgeStore,
  state: async () => (await import('../state/store.ts')).StateStore,
}

/** The class of a kind's stores. Its files are loaded now, those of the other kinds are not. */
export function storeClass<K extends Kind>(kind: K): Promise<StoreClass<K>> {
  return STORE_CLASSES[kind]()
}

type RequiredMethod<B> = {
  [M in keyof B]-?: undefined extends B[M] ? never : B[M] extends (...args: never) => unknown ? M : never
}[keyof B]

/** Complete by type: a method that a contract gains must be added here. */
const METHODS: { readonly [K in Kind]: Readonly<Record<RequiredMethod<Backends[K]>, true>> } = {
  conversation: {
    createSession: true,
    getSession: true,
    patchSession: true,
    deleteSession: true,
    listSessions: true,
    append: true,
    readMessages: true,
    patchMessage: true,
    deleteMessages: true,
    restore: true,
    ping: true,
    close: true,
  },
  knowledge: {
    createCollection: true,
    describeCollection: true,
    listCollections: true,
    deleteCollection: true,
    write: true,
    delete: true,
    search: true,
    ping: true,
    close: true,
  },
  state: { get: true, commit: true, scan: true, ping: true, close: true },
}

/** Methods that a backend must have when it declares the capability of the same name. */
const CAPABLE_METHODS: { readonly [K in Kind]: readonly string[] } = {
  conversation: ['search'],
  knowledge: ['get', 'list', 'count'],
  state: [],
}

/** What a capability may be: one of some values, a count, or further capabilities. */
type Allowed = readonly unknown[] | 'count' | { readonly [name: string]: Allowed }
const YES_NO = [true, false] as const

const CONVERSATION_CAPABILITIES: Readonly<Record<keyof ConversationCapabilities, Allowed>> = { search: YES_NO }
const FILTER_CAPABILITIES: Readonly<Record<keyof FilterCapabilities, Allowed>> = {
  exists: YES_NO,
  null: YES_NO,
  arrays: YES_NO,
  nested: YES_NO,
  declared: YES_NO,
}
const KNOWLEDGE_CAPABILITIES: Readonly<Record<keyof KnowledgeCapabilities, Allowed>> = {
  filter: FILTER_CAPABILITIES,
  insert: ['atomic', 'checked'],
  get: YES_NO,
  list: YES_NO,
  count: YES_NO,
  deleteByFilter: YES_NO,
  visibility: ['immediate', 'waited', 'eventual'],
}
const STATE_CAPABILITIES: Readonly<Record<keyof StateCapabilities, Allowed>> = {
  bytes: ['native', 'base64'],
  commitKeys: 'count',
}
const CAPABILITIES: { readonly [K in Kind]: Readonly<Record<string, Allowed>> } = {
  conversation: CONVERSATION_CAPABILITIES,
  knowledge: KNOWLEDGE_CAPABILITIES,
  state: STATE_CAPABILITIES,
}

/** Everything that a backend lacks; empty where it is complete. */
export function backendProblems(kind: Kind, made: object): string[] {
  const capabilities: unknown = Reflect.get(made, 'capabilities')
  const declared = CAPABLE_METHODS[kind].filter((name) => isRecord(capabilities) && capabilities[name] === true)
  const missing = [...Object.keys(METHODS[kind]), ...declared].filter((name) => typeof Reflect.get(made, name) !== 'function')
  const problems = missing.length === 0 ? [] : [`it lacks the method${missing.length > 1 ? 's' : ''} ${missing.join(', ')}`]
  return [...problems, ...capabilityProblems('capabilities', CAPABILITIES[kind], capabilities)]
}

function capabilityProblems(path: string, allowed: Allowed, value: unknown): string[] {
  if (allowed === 'count') return typeof value === 'number' && value >= 1 ? [] : [`${path} must be a number from 1`]
  if (Array.isArray(allowed))
    return allowed.includes(value) ? [] : [`${path} must be ${allowed.map((item) => JSON.stringify(item)).join(' or ')}`]
  if (!isRecord(value)) return [`${path} must be an object`]
  return Object.entries(allowed).flatMap(([name, inner]) => capabilityProblems(`${path}.${name}`, inner as Allowed, value[name]))
}

/** True for a store of any installed copy of Holdfast, and of any kind. */
export function isFinishedStore(made: object): made is { readonly kind: string; readonly backend: string } {
  return (
    typeof Reflect.get(made, 'kind') === 'string' &&
    typeof Reflect.get(made, 'backend') === 'string' &&
    typeof Reflect.get(made, 'workspace') === 'function'
  )
}

/** Why a finished store is none of this kind; empty where it is. A store of another version may lack methods that this one promises. */
export async function storeProblems(kind: Kind, made: { readonly kind: string }): Promise<string[]> {
  if (made.kind !== kind) return [`it is a finished ${made.kind} store`]
  const { prototype } = (await storeClass(kind)) as { prototype: object }
  const missing = methodsOf(prototype).filter((name) => typeof Reflect.get(made, name) !== 'function')
  return missing.length === 0 ? [] : [`it is a store without ${missing.map(String).join(', ')}`]
}

/** Without calling getters, which need an instance. */
function methodsOf(prototype: object): PropertyKey[] {
  return Reflect.ownKeys(prototype).filter(
    (name) => typeof Object.getOwnPropertyDescriptor(prototype, name)?.value === 'function',
  )
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
