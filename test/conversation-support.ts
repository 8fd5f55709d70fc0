/** What the tests of conversations share. */
import { setTimeout as sleep } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import { create as createMemory } from '../src/conversation/backends/memory.ts'
import { FtsIndex, type FtsTuning } from '../src/conversation/fts.ts'
import { conversationSchema, conversationTables } from '../src/conversation/schema.ts'
import { createSqlConversation } from '../src/conversation/sql.ts'
import { ConversationStore } from '../src/conversation/store.ts'
import type { SqlEngine } from '../src/engines/sql.ts'
import { openSqlite, type SqliteEngine } from '../src/engines/sqlite.ts'
import type { FactoryContext } from '../src/store/factory.ts'

export const CONTEXT: FactoryContext = {
  kind: 'conversation',
  name: 'test',
  loadClient: () => Promise.reject(new Error('no client is needed')),
}
const PREFIX = 'holdfast_'

export interface Opened {
  readonly store: ConversationStore
  readonly engine: SqliteEngine
  /** Rows that the full-text index has not reached. */
  behind(): Promise<number>
}

/** A store on SQLite in memory; `wrap` may put something between it and its engine. */
export async function openIndexed(
  tuning: FtsTuning,
  wrap: (engine: SqlEngine) => SqlEngine = (engine) => engine,
): Promise<Opened> {
  const engine = await openSqlite(':memory:')
  await engine.migrate(conversationSchema(engine.dialect, PREFIX), { autoCreate: true })
  const wrapped = wrap(engine)
  const index = new FtsIndex(wrapped, conversationTables(engine.dialect, PREFIX), tuning)
  const store = new ConversationStore(
    createSqlConversation(wrapped, { prefix: PREFIX, capabilities: { search: true }, limits: {}, index }),
    { name: 'sqlite' },
  )
  onTestFinished(() => store.close())
  const behind = async (): Promise<number> => {
    const sql = `SELECT count(*) AS n FROM holdfast_messages WHERE n > (SELECT upto FROM holdfast_messages_indexed)`
    return (await engine.select<{ n: number }>(sql, []))[0]!.n
  }
  return { store, engine, behind }
}

export async function openMemory(): Promise<ConversationStore> {
  return new ConversationStore(await createMemory({}, CONTEXT), { name: 'memory' })
}

export async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(1)
}

export async function indexed({ store, behind }: Opened): Promise<void> {
  await store.searchMessages({ text: 'any' })
  await until(async () => (await behind()) === 0)
}
