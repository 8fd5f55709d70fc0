/** Turning encryption at rest on and off for a whole store, and changing its key. */
import { convertWorkspace, type Target } from './conversation/convert.ts'
import { EncryptedConversations } from './conversation/encrypted.ts'
import { ConversationStore } from './conversation/store.ts'
import { HoldfastError } from './errors.ts'
import { convertState } from './state/convert.ts'
import { EncryptedState } from './state/encrypted.ts'
import { StateStore } from './state/store.ts'
import type { BackendCall, CallOptions } from './store/contract.ts'
import { checkWorkspace } from './store/core.ts'
import { typeName } from './store/text.ts'

export interface ConversionOptions extends CallOptions {
  /** Of conversations: the workspaces to convert. Default: all, where the backend can list them. */
  readonly workspaces?: readonly string[] | undefined
}

/** What was converted by this call; what was converted before does not count. */
export interface Converted {
  /** Values of a state store, those that plugins keep there included. */
  readonly values: number
  readonly sessions: number
  readonly messages: number
}

/** A store that has keys; without them nothing can be converted. */
export type ConvertibleStore = ConversationStore | StateStore

/**
 * Encrypts everything in a store, which is opened with `encryption`, with the current key: what is plain, and what an older key sealed. From
 * early on stores without keys refuse to write there. It may be interrupted and called again, and a second call finds nothing to do. State
 * may be written meanwhile; a message that others change at the same moment may lose their change. The store has no keys: `INVALID_ARGUMENT`.
 */
export function encryptStore(store: ConvertibleStore, options?: ConversionOptions): Promise<Converted> {
  return convert('encryptStore', store, 'sealed', options)
}

/** The reverse, of a store that is opened with `encryption` still; afterwards it is opened without. */
export function decryptStore(store: ConvertibleStore, options?: ConversionOptions): Promise<Converted> {
  return convert('decryptStore', store, 'plain', options)
}

async function convert(
  method: string,
  store: ConvertibleStore,
  target: Target,
  options: ConversionOptions = {},
): Promise<Converted> {
  const nothing = { values: 0, sessions: 0, messages: 0 }
  if (store instanceof StateStore) {
    const backend = store.core.backend
    if (!(backend instanceof EncryptedState)) throw keysNeeded(method)
    return store.core.run(method, 'idempotent', options, async (call) => {
      return { ...nothing, values: await convertState(backend, target, call) }
    })
  }
  if (!(store instanceof ConversationStore)) {
    throw new TypeError(`${method} takes a conversation or state store, not ${typeName(store)}`)
  }
  const backend = store.core.backend
  if (!(backend instanceof EncryptedConversations)) throw keysNeeded(method)
  const given = options.workspaces?.map(checkWorkspace)
  return store.core.run(method, 'idempotent', options, async (call) => {
    const done = { ...nothing }
    for await (const workspace of given ?? workspacesOf(backend, call)) {
      const { sessions, messages } = await convertWorkspace(backend, workspace, target, call)
      done.sessions += sessions
      done.messages += messages
    }
    return done
  })
}

const WORKSPACES_PER_PAGE = 100

async function* workspacesOf(backend: EncryptedConversations, call: BackendCall): AsyncGenerator<string, void> {
  if (backend.listWorkspaces === undefined) {
    throw new HoldfastError('UNSUPPORTED', 'the backend cannot list its workspaces: name them (workspaces)', {
      outcome: 'not-applied',
    })
  }
  let page: string[]
  let after: string | undefined
  do {
    page = await backend.listWorkspaces({ after, limit: WORKSPACES_PER_PAGE }, call)
    yield* page
    after = page.at(-1)
  } while (page.length === WORKSPACES_PER_PAGE)
}

function keysNeeded(method: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', `${method} needs a store that is opened with its keys (encryption)`, {
    outcome: 'not-applied',
  })
}
