/** Backends as stores get them: encrypting, or, without keys, refusing to write among what is encrypted. */
import type { ConversationBackend } from '../conversation/contract.ts'
import type { EncryptableStoreOptions } from '../encryption/options.ts'
import type { Kind } from '../errors.ts'
import type { StateBackend } from '../state/contract.ts'
import type { Backends } from './contract-check.ts'

type Keys = EncryptableStoreOptions['encryption']

const GUARDS: { readonly [K in Kind]: (backend: Backends[K], keys: Keys) => Promise<Backends[K]> } = {
  conversation: guardConversations,
  knowledge: async (backend) => backend,
  state: guardState,
}

/** What encrypts is loaded where there are keys. */
export function guardBackend<K extends Kind>(kind: K, backend: Backends[K], keys: Keys): Promise<Backends[K]> {
  return GUARDS[kind](backend, keys)
}

async function guardConversations(backend: ConversationBackend, keys: Keys): Promise<ConversationBackend> {
  if (keys !== undefined) return (await import('../conversation/encrypted.ts')).encryptConversations(backend, keys)
  return (await import('../conversation/plain.ts')).plainConversations(backend)
}

async function guardState(backend: StateBackend, keys: Keys): Promise<StateBackend> {
  if (keys !== undefined) return (await import('../state/encrypted.ts')).encryptState(backend, keys)
  return (await import('../state/mode.ts')).plainState(backend)
}
