/** What the demo has stored, and where. */
import { stat } from 'node:fs/promises'
import { KINDS, redact, type ResolvedSettings, type ResolvedStore, type Workspace } from '../../index.ts'
import { bytes, out, plural, printable, styled, table } from '../terminal.ts'
import { stateKey } from './chat.ts'

export async function printInventory(stores: Workspace, settings: ResolvedSettings, id: string): Promise<void> {
  const counts = {
    conversation: await conversationCount(stores, id),
    knowledge: await knowledgeCount(stores, id),
    state: await stateCount(stores, id),
  }
  const rows = KINDS.map(async (kind) => [
    kind,
    stores[kind].backend,
    printable(await placeOf(settings.stores[kind])),
    counts[kind],
  ])
  out(`\n${styled('bold', 'Stored')}\n${table(await Promise.all(rows), '  ')}`)
}

async function conversationCount({ conversation }: Workspace, id: string): Promise<string> {
  const session = await conversation.getSession(id)
  return `session "${printable(id)}", ${plural(session?.lastSeq ?? 0, 'message')}`
}

async function knowledgeCount({ knowledge }: Workspace, id: string): Promise<string> {
  const { list, count } = knowledge.capabilities
  return count && list ? plural(await knowledge.count(id), 'passage') : 'passages'
}

async function stateCount({ state }: Workspace, id: string): Promise<string> {
  const [runs, questions] = await state.getMany<number>([stateKey(id, 'runs'), stateKey(id, 'questions')])
  return `${plural(runs ?? 0, 'run')}, ${plural(questions ?? 0, 'question')}`
}

/** The file with its size, its log included; elsewhere the URL without secrets, or nothing but the backend's name. */
async function placeOf({ setting }: ResolvedStore): Promise<string> {
  if (typeof setting === 'string') return redact(setting)
  const { path, url } = setting
  if (typeof path !== 'string') return typeof url === 'string' ? redact(url) : ''
  const sizes = await Promise.all([path, `${path}-wal`].map(async (file) => (await stat(file).catch(() => undefined))?.size ?? 0))
  return `${path}  ${bytes(sizes.reduce((sum, size) => sum + size, 0))}`
}
