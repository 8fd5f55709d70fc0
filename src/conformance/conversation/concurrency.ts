/** Many writers and readers of one session at once, on one handle and on several. */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import type { ConversationStore } from '../../conversation/store.ts'
import { idsOf, range, said, seqsOf, type ConversationCase } from './support.ts'

const WRITERS = 8
const APPENDS = 25

/** Each writer appends its batches one after the other, all writers at once, taking turns on the handles. */
async function writeAtOnce(handles: readonly ConversationStore[], batch: number): Promise<void> {
  const writer = async (w: number): Promise<void> => {
    for (const n of range(1, APPENDS)) {
      const messages = range(1, batch).map((part) => said(`${w} ${n} ${part}`, `${w}-${n}-${part}`))
      const added = await handles[w % handles.length]!.addMessages('s', messages)
      deepStrictEqual(seqsOf(added), range(added[0]!.seq, added[0]!.seq + batch - 1))
    }
  }
  await Promise.all(range(1, WRITERS).map(writer))
}

/** No gap, no tie, nothing lost, every batch whole, every writer's messages in its own order. */
async function checkWritten(store: ConversationStore, batch: number): Promise<void> {
  const messages = await store.getMessages('s')
  deepStrictEqual(seqsOf(messages), range(1, WRITERS * APPENDS * batch))
  const written = idsOf(messages)
  for (const w of range(1, WRITERS)) {
    const own = range(1, APPENDS).flatMap((n) => range(1, batch).map((part) => `${w}-${n}-${part}`))
    deepStrictEqual(
      written.filter((id) => id.startsWith(`${w}-`)),
      own,
    )
    for (const n of range(1, APPENDS)) {
      const first = written.indexOf(`${w}-${n}-1`)
      deepStrictEqual(written.slice(first, first + batch), own.slice((n - 1) * batch, n * batch), 'a batch was torn')
    }
  }
  strictEqual((await store.getSession('s'))?.lastSeq, messages.length)
}

/** Reads over and over until `done`; batches are there whole, and what was read once stays the beginning of all that is read later. */
async function readMeanwhile(store: ConversationStore, batch: number, done: () => boolean): Promise<void> {
  let seen: string[] = []
  while (!done()) {
    const messages = await store.getMessages('s')
    deepStrictEqual(seqsOf(messages), range(1, messages.length), 'a reader saw a gap')
    strictEqual(messages.length % batch, 0, 'a reader saw a part of a batch')
    deepStrictEqual(idsOf(messages.slice(0, seen.length)), seen, 'a message appeared at or before one already seen')
    seen = idsOf(messages)
    await new Promise((resolve) => void setImmediate(resolve))
  }
}

async function race(handles: readonly ConversationStore[], batch: number): Promise<void> {
  await handles[0]!.createSession({ id: 's' })
  let written = false
  const writing = writeAtOnce(handles, batch).finally(() => (written = true))
  await Promise.all([writing, ...handles.map((handle) => readMeanwhile(handle, batch, () => written))])
  for (const handle of handles) await checkWritten(handle, batch)
}

export const concurrencyCases: ConversationCase[] = [
  {
    id: 'conversation/append/concurrent',
    sentence:
      'Many writers at once lose nothing: seq is consecutive without ties, and a reader who has seen n sees nothing new at or before n.',
    run: ({ store }) => race([store], 1),
  },
  {
    id: 'conversation/append/concurrent-batches',
    sentence: 'Batches appended at once each stay together.',
    run: ({ store }) => race([store], 3),
  },
  {
    id: 'conversation/append/concurrent-handles',
    sentence: 'The same holds for writers on several handles, as in several processes.',
    reopens: true,
    run: async ({ store, another }) => race([store, await another(), await another()], 2),
  },
  {
    id: 'conversation/append/concurrent-sessions',
    sentence: 'Appends to many sessions at once do not mix.',
    async run({ store }) {
      const ids = range(1, 20).map((n) => `s${n}`)
      await Promise.all(ids.map((id) => store.createSession({ id })))
      await Promise.all(ids.flatMap((id) => range(1, 5).map((n) => store.addMessage(id, said(`${id} ${n}`)))))
      for (const id of ids) {
        const messages = await store.getMessages(id)
        deepStrictEqual(seqsOf(messages), range(1, 5))
        ok(messages.every((message) => message.sessionId === id && message.content?.startsWith(`${id} `)))
      }
    },
  },
  {
    id: 'conversation/append/concurrent-same-id',
    sentence: 'Of many appends of one message id at once exactly one succeeds, and no seq is lost to the others.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      const settled = await Promise.allSettled(range(1, 10).map((n) => store.addMessage('s', said(`${n}`, 'same'))))
      strictEqual(settled.filter((result) => result.status === 'fulfilled').length, 1)
      strictEqual((await store.getSession('s'))?.lastSeq, 1)
      strictEqual((await store.addMessage('s', said('next'))).seq, 2)
    },
  },
]
