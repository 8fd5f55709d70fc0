/** Run under strace by `fsyncs.ts`: one contender, 1,000 writes at once between two fsyncs of a file that is known by its name. */
import { fsyncSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CONVERSATION_PEERS } from './conversation-contenders.ts'
import { AT_ONCE, sessionId, text, type ConversationAdapter } from './conversation.ts'
import type { Adapter, Peer } from './frame.ts'
import { MARKER } from './fsyncs.ts'
import { KV_PEERS } from './kv-contenders.ts'
import { key, value, type KvAdapter } from './kv.ts'

/** What is done between the marks, and before them. */
interface Writer<Api extends Adapter> {
  prepare(api: Api): Promise<unknown>
  write(api: Api, n: number): Promise<unknown>
}

const conversation: Writer<ConversationAdapter> = {
  prepare: (api) => api.seed(Array.from({ length: AT_ONCE }, (_, n) => ({ id: sessionId(n), texts: [] }))),
  write: (api, n) => api.append(sessionId(n), text(n)),
}

const kv: Writer<KvAdapter> = {
  prepare: (api) => api.set('first', value(0)),
  write: (api, n) => api.set(key(n), value(n)),
}

async function write<Api extends Adapter>(peers: readonly Peer<Api>[], name: string, writer: Writer<Api>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-fsyncs-'))
  try {
    const marker = openSync(join(folder, MARKER), 'w')
    const api = await peers.find((peer) => peer.name === name)!.open(folder)
    await writer.prepare(api)
    fsyncSync(marker)
    await Promise.all(Array.from({ length: AT_ONCE }, (_, n) => writer.write(api, n)))
    fsyncSync(marker)
    await api.close()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const [group, name] = process.argv.slice(2)
await (group === 'kv' ? write(KV_PEERS, name!, kv) : write(CONVERSATION_PEERS, name!, conversation))
