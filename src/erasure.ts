/** What removes the data of a tenant or of a person from all stores, and says exactly what it was. */
import { isHoldfastError } from './errors.ts'
import type { Collection } from './knowledge/contract.ts'
import { parseFilter, type FilterNode } from './knowledge/filter.ts'
import type { KnowledgeStore } from './knowledge/store.ts'
import type { UnreachedCollection, UserErasure, UserRemoval, Workspace, WorkspaceRemoval } from './persistence.ts'
import type { StateStore } from './state/store.ts'
import type { CallOptions } from './store/contract.ts'
import { checkId } from './store/text.ts'

type Stores = Pick<Workspace, 'conversation' | 'knowledge' | 'state'>

/** `home` is the workspace of the persistence that does it: hosts of plugins have its state store. */
export async function clearWorkspace({ conversation, knowledge, state }: Stores, home: string): Promise<WorkspaceRemoval> {
  const [sessions, collections, keys, pluginScopes] = await allDone([
    conversation.clear(),
    knowledge.clear(),
    state.clear(),
    clearPlugins(state, home),
  ])
  return { ...sessions, ...collections, keys, pluginScopes }
}

/** What hosts keep for the workspace by its name, and all that hosts over its own view keep; how many scopes it was. */
async function clearPlugins(state: StateStore, home: string): Promise<number> {
  const { PluginHost } = await import('./plugin-storage/host.ts')
  const { workspaceId } = state
  let cleared = 0
  for (const owner of new Set(['', home, workspaceId])) {
    const host = new PluginHost({ state: state.workspace(owner) })
    // Of all workspaces only the unnamed one is also where hosts keep what is of others.
    const isItsOwn = owner === workspaceId && owner !== ''
    for await (const scope of host.scopes(isItsOwn ? {} : { workspaceId })) {
      await host.clear(scope)
      cleared++
    }
  }
  return cleared
}

export async function deleteUser(
  { conversation, knowledge }: Stores,
  userId: string,
  { documentField, signal, timeoutMs }: UserErasure,
): Promise<UserRemoval> {
  checkId(userId, 'userId')
  if (documentField !== undefined) checkField(documentField, userId)
  const call = { signal, timeoutMs }
  const documents = documentField === undefined ? undefined : deleteDocuments(knowledge, { [documentField]: userId }, call)
  const [sessions, found] = await allDone([conversation.deleteUser(userId, call), documents])
  return { ...sessions, ...found }
}

/** Every backend of today can filter like this, or refuses; what none can is a mistake of the caller's. */
const ANY_FILTER = { exists: true, null: true, arrays: true, nested: true, declared: false } as const

function checkField(field: string, userId: string): FilterNode | undefined {
  checkId(field, 'documentField')
  return parseFilter({ [field]: userId }, ANY_FILTER)
}

interface DeletedDocuments {
  documents: number
  unreached: UnreachedCollection[]
}

async function deleteDocuments(
  knowledge: KnowledgeStore,
  filter: Readonly<Record<string, string>>,
  call: CallOptions,
): Promise<DeletedDocuments> {
  const deleted: DeletedDocuments = { documents: 0, unreached: [] }
  for (const collection of await knowledge.listCollections(call)) {
    await deleteFrom(knowledge, collection, filter, deleted, call)
  }
  return deleted
}

async function deleteFrom(
  knowledge: KnowledgeStore,
  { name }: Collection,
  filter: Readonly<Record<string, string>>,
  deleted: DeletedDocuments,
  call: CallOptions,
): Promise<void> {
  try {
    deleted.documents += await knowledge.delete(name, { filter, ...call })
  } catch (error) {
    if (isHoldfastError(error, 'UNSUPPORTED')) deleted.unreached.push({ collection: name, reason: error.message })
    // Deleted since it was listed, and the documents with it.
    else if (!isHoldfastError(error, 'NOT_FOUND')) throw error
  }
}

/** Like `Promise.all`, but where one fails the others are waited for, so that nothing goes on behind the caller's back. */
export async function allDone<const T extends readonly unknown[]>(
  promises: T,
): Promise<{ -readonly [I in keyof T]: Awaited<T[I]> }> {
  await Promise.allSettled(promises)
  return Promise.all(promises)
}
