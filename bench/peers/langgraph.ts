/**
 * LangGraph's SQLite checkpointer. An agent's `messages` channel holds the whole conversation, so each turn reads the newest checkpoint
 * and writes the list anew, one message longer: `growing`. The other way is the least that the checkpointer can be asked to do: a
 * checkpoint that holds one message. A running graph writes more than that; here it is one `put` a message.
 *
 * It has no lock for a thread of messages, so appends to one thread wait for each other here; nor does it list threads: what is listed
 * are the newest checkpoints.
 */
import { join } from 'node:path'
import type { ConversationAdapter } from './conversation.ts'
import type { Peer } from './frame.ts'
import { load, versionOf } from './peer-folder.ts'

interface Config {
  readonly configurable: { readonly thread_id?: string; readonly checkpoint_ns?: string; readonly checkpoint_id?: string }
}

interface HumanMessage {
  readonly content: string
}

interface Checkpoint {
  readonly id: string
  readonly channel_values: { readonly messages?: readonly HumanMessage[] }
}

interface Tuple {
  readonly config: Config
  readonly checkpoint: Checkpoint
}

interface Saver {
  getTuple(config: Config): Promise<Tuple | undefined>
  list(config: Config, options: { limit: number }): AsyncIterable<Tuple>
  put(config: Config, checkpoint: Checkpoint, metadata: object): Promise<unknown>
}

interface Database {
  pragma(text: string, options?: { simple: boolean }): unknown
  exec(sql: string): void
  close(): void
}

interface Parts {
  readonly saver: Saver
  readonly db: Database
  checkpoint(step: number, messages: readonly string[] | readonly HumanMessage[]): Checkpoint
}

async function parts(folder: string): Promise<Parts> {
  const { default: Database } = await load<{ default: new (file: string) => Database }>('better-sqlite3')
  const { SqliteSaver } = await load<{ SqliteSaver: new (db: Database) => Saver }>('@langchain/langgraph-checkpoint-sqlite')
  const { emptyCheckpoint, uuid6 } = await load<{ emptyCheckpoint(): Checkpoint; uuid6(step: number): string }>(
    '@langchain/langgraph-checkpoint',
  )
  const { HumanMessage } = await load<{ HumanMessage: new (text: string) => HumanMessage }>('@langchain/core/messages')
  const db = new Database(join(folder, 'checkpoints.db'))
  // better-sqlite3 is compiled to use NORMAL under WAL.
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  return {
    db,
    saver: new SqliteSaver(db),
    checkpoint: (step, messages) => ({
      ...emptyCheckpoint(),
      id: uuid6(step),
      channel_values: { messages: messages.map((text) => (typeof text === 'string' ? new HumanMessage(text) : text)) },
      channel_versions: { messages: step },
    }),
  }
}

function thread(id: string): Config {
  return { configurable: { thread_id: id, checkpoint_ns: '' } }
}

/** Appends to one thread wait for each other, those to several do not. */
class Chains {
  readonly #last = new Map<string, Promise<unknown>>()

  async run<T>(id: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(id)
    const mine = before === undefined ? work() : before.then(work)
    this.#last.set(id, mine)
    try {
      return await mine
    } finally {
      if (this.#last.get(id) === mine) this.#last.delete(id)
    }
  }
}

const METADATA = { source: 'loop', step: 0, parents: {} }

function adapter(folder: string, growing: boolean): Promise<ConversationAdapter> {
  return parts(folder).then(({ saver, db, checkpoint }) => {
    const chains = new Chains()
    const put = (id: string, step: number, messages: Parameters<Parts['checkpoint']>[1]): Promise<unknown> =>
      saver.put(thread(id), checkpoint(step, messages), METADATA)
    const grow = async (id: string, text: string): Promise<unknown> => {
      const before = (await saver.getTuple(thread(id)))?.checkpoint.channel_values.messages ?? []
      const [added] = checkpoint(0, [text]).channel_values.messages!
      return put(id, before.length + 1, [...before, added!])
    }
    const newestOf = async (id: string, count: number): Promise<HumanMessage[]> => {
      if (growing) return (await saver.getTuple(thread(id)))?.checkpoint.channel_values.messages?.slice(-count) ?? []
      const tuples = await Array.fromAsync(saver.list(thread(id), { limit: count }))
      return tuples.toReversed().flatMap(({ checkpoint }) => checkpoint.channel_values.messages ?? [])
    }
    return {
      createSession: async (id) => void (await put(id, 0, [])),
      append: (id, text) => chains.run(id, () => (growing ? grow(id, text) : put(id, 1, [text]))),
      newest: async (id, count) => (await newestOf(id, count)).map(({ content }) => content),
      list: async (count) =>
        (await Array.fromAsync(saver.list({ configurable: {} }, { limit: count }))).map(
          ({ config }) => config.configurable.thread_id!,
        ),
      async seed(sessions) {
        db.exec('BEGIN')
        for (const { id, texts } of sessions) {
          if (growing || texts.length === 0) await put(id, texts.length, texts)
          else for (const [i, text] of texts.entries()) await put(id, i, [text])
        }
        db.exec('COMMIT')
        if (db.pragma('synchronous', { simple: true }) !== 2) throw new Error('synchronous is no longer FULL')
      },
      close: async () => db.close(),
    }
  })
}

const version = (): string | undefined => versionOf('@langchain/langgraph-checkpoint-sqlite')

export const langGraphGrowing: Peer<ConversationAdapter> = {
  name: 'LangGraph, growing channel',
  version,
  durability: 'WAL, synchronous=FULL (set by us)',
  note: 'each append reads and rewrites the list of HumanMessages, as a graph’s messages channel does; lists checkpoints, as there is no list of threads',
  open: (folder) => adapter(folder, true),
}

export const langGraphSingle: Peer<ConversationAdapter> = {
  name: 'LangGraph, one message a checkpoint',
  version,
  durability: 'WAL, synchronous=FULL (set by us)',
  note: 'not how graphs use it; lists checkpoints, as there is no list of threads',
  open: (folder) => adapter(folder, false),
}
