/** Conversations that are not encrypted, kept apart from those that are. */
import { guardWrites, PlacesSeen } from '../encryption/mode.ts'
import { isSealedJson, keysMissing } from '../store/sealed.ts'
import type { ConversationBackend, SessionRecord } from './contract.ts'

/** What adds or changes content; deleting needs no keys. */
const WRITES = ['createSession', 'patchSession', 'append', 'patchMessage', 'restore'] as const

/** The same backend, which refuses to write in a workspace whose sessions are encrypted. */
export function plainConversations(backend: ConversationBackend): ConversationBackend {
  const look = async (workspace: string): Promise<void> => {
    const newest = await newestSession(backend, workspace)
    if (newest !== undefined && isSealedSession(newest)) throw keysMissing(workspaceName(workspace))
  }
  return guardWrites(backend, WRITES, { places: new PlacesSeen(look) })
}

/** All sessions of a workspace are stored alike, but for a conversion that was interrupted: it begins with the newest. */
export async function newestSession(backend: ConversationBackend, workspace: string): Promise<SessionRecord | undefined> {
  const [newest] = await backend.listSessions(workspace, { order: 'desc', limit: 1 })
  return newest
}

/** Whether the session is stored encrypted. Its state always tells: an encrypted session's is never `{}`. */
export function isSealedSession(record: SessionRecord): boolean {
  return isSealedJson(record.state)
}

export function workspaceName(workspace: string): string {
  return workspace === '' ? 'the default workspace' : `workspace ${JSON.stringify(workspace)}`
}
