/**
 * What `create` knows of each name: the options of its backend. The lists come from the catalogues; a plugin package adds its own names:
 * `declare module 'holdfast' { interface StateBackends { mybackend: MyOptions } }`.
 */
import type { CONVERSATION_CATALOGUE } from '../conversation/catalogue.ts'
import type { EncryptableStoreOptions } from '../encryption/options.ts'
import type { Kind } from '../errors.ts'
import type { KNOWLEDGE_CATALOGUE } from '../knowledge/catalogue.ts'
import type { KnowledgeStoreOptions } from '../knowledge/contract.ts'
import type { STATE_CATALOGUE } from '../state/catalogue.ts'
import type { FactoryContext } from '../store/factory.ts'

/** Options of a backend that the compiler knows nothing about. */
export interface UnknownOptions {
  readonly [option: string]: unknown
}

type AliasOf<Line> = Line extends { readonly aliases: readonly (infer Alias extends string)[] } ? Alias : never

type OptionsOf<Line> = Line extends {
  readonly load: () => Promise<{ readonly create: (options: infer O, context: FactoryContext) => unknown }>
}
  ? O
  : UnknownOptions

/** Every name and alias of a catalogue with the options of its backend. */
export type OptionsByName<C> = { [Name in keyof C as Name | AliasOf<C[Name]>]: OptionsOf<C[Name]> }

/** Options of the conversation backends by name and alias. */
export interface ConversationBackends extends OptionsByName<typeof CONVERSATION_CATALOGUE> {}

/** Options of the knowledge backends by name and alias. */
export interface KnowledgeBackends extends OptionsByName<typeof KNOWLEDGE_CATALOGUE> {}

/** Options of the state backends by name and alias. */
export interface StateBackends extends OptionsByName<typeof STATE_CATALOGUE> {}

interface OptionMaps {
  readonly conversation: ConversationBackends
  readonly knowledge: KnowledgeBackends
  readonly state: StateBackends
}

interface CommonOptions {
  readonly conversation: EncryptableStoreOptions
  readonly knowledge: KnowledgeStoreOptions
  readonly state: EncryptableStoreOptions
}

/** A known name or alias of a kind, for completion; any other text may be the name of a plugin. */
export type BackendName<K extends Kind> = (keyof OptionMaps[K] & string) | (string & {})

/** What `create` takes for a name: the backend's own options and those of every store of the kind. */
export type CreateOptions<K extends Kind, N extends string> = CommonOptions[K] &
  (Lowercase<N> extends keyof OptionMaps[K] ? OptionMaps[K][Lowercase<N>] : UnknownOptions)
