/**
 * Rows in other workspaces, under the names that cases like to use. In the workspace view every case runs among them, so that a
 * backend which forgets the workspace anywhere meets them, and none may be changed.
 */
import { deepStrictEqual } from 'node:assert/strict'
import type { ConversationStore } from '../conversation/store.ts'
import type { Kind } from '../errors.ts'
import type { KnowledgeStore } from '../knowledge/store.ts'
import type { StateStore } from '../state/store.ts'
import type { Conformable } from './case.ts'

interface Decoy {
  plant(workspace: unknown): Promise<unknown>
  /** What is there, as plain data. */
  look(workspace: unknown): Promise<unknown>
  readonly planted: unknown
}

/** The default workspace, and one whose name begins like those of the view. */
const WORKSPACES = ['', 'w/']

export async function plantDecoys(root: Conformable): Promise<void> {
  const decoy = decoyOf(root)
  for (const workspace of WORKSPACES) await decoy?.plant(root.workspace(workspace))
}

/** Fails where a decoy is not as it was planted. */
export async function checkDecoys(root: Conformable): Promise<void> {
  const decoy = decoyOf(root)
  for (const workspace of WORKSPACES) {
    const found = await decoy?.look(root.workspace(workspace))
    deepStrictEqual(found, decoy?.planted, `the case changed rows of another workspace ("${workspace}")`)
  }
}

function decoyOf(root: unknown): Decoy | undefined {
  const { kind } = root as { kind?: Kind }
  return kind === undefined ? undefined : DECOYS[kind]
}

const conversation: Decoy = {
  async plant(workspace) {
    const store = workspace as ConversationStore
    await store.createSession({ id: 's', userId: 'u', agentId: 'a', metadata: { decoy: true } })
    await store.addMessage('s', { id: 'm', role: 'user', content: 'decoy' })
  },
  async look(workspace) {
    const store = workspace as ConversationStore
    const { items } = await store.listSessions()
    const messages = await store.getMessages('s')
    return { sessions: items.map(({ id, lastSeq, version }) => [id, lastSeq, version]), messages: messages.map(({ id }) => id) }
  },
  planted: { sessions: [['s', 1, 1]], messages: ['m'] },
}

const knowledge: Decoy = {
  async plant(workspace) {
    const store = workspace as KnowledgeStore
    await store.createCollection('docs', { dimension: 3 })
    await store.upsert('docs', [{ id: 'a', content: 'decoy', embedding: [1, 0, 0], metadata: { decoy: true } }])
  },
  async look(workspace) {
    const store = workspace as KnowledgeStore
    const collections = (await store.listCollections()).map(({ name }) => name)
    const documents = store.capabilities.get ? (await store.get('docs', ['a'])).map(({ content }) => content) : ['decoy']
    return { collections, documents }
  },
  planted: { collections: ['docs'], documents: ['decoy'] },
}

const state: Decoy = {
  async plant(workspace) {
    await (workspace as StateStore).set('k', 'decoy')
  },
  async look(workspace) {
    const store = workspace as StateStore
    return { keys: await store.keys(), value: await store.get('k') }
  },
  planted: { keys: ['k'], value: 'decoy' },
}

const DECOYS: Readonly<Record<Kind, Decoy>> = { conversation, knowledge, state }
