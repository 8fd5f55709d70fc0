import { join } from 'node:path'
import { CONVERSATION_STORES, type NewMessage } from '../../../src/index.ts'
import { kilobyte, times, type Group } from '../hot-paths.ts'

const SESSIONS = 100

function message(id: string): NewMessage {
  return { id, role: 'user', content: kilobyte(id.length) }
}

export async function open(folder: string): Promise<Group> {
  const store = await CONVERSATION_STORES.create('sqlite', { path: join(folder, 'conversation.db') })
  for (let i = 0; i < SESSIONS; i++) await store.createSession({ id: `s${i}`, userId: `u${i % 5}` })
  const id = (i: number): string => `m-${String(i).padStart(8, '0')}`
  await store.addMessages(
    's0',
    times(200, (i) => message(`first-${id(i)}`)),
  )
  return {
    paths: [
      { name: 'create a session', run: (i) => store.createSession({ id: `new-${id(i)}`, userId: 'somebody' }) },
      { name: 'get a session', run: () => store.getSession('s1') },
      { name: 'append', run: (i) => store.addMessage('s1', message(id(i))) },
      {
        name: 'append 100',
        calls: 10,
        run: (i) =>
          store.addMessages(
            's2',
            times(100, (n) => message(`${id(i)}-${n}`)),
          ),
      },
      {
        name: '100 appends at once',
        calls: 10,
        run: (i) => Promise.all(times(100, (n) => store.addMessage(`s${n % SESSIONS}`, message(`${id(i)}-${n}`)))),
      },
      { name: 'newest 50', run: () => store.getMessages('s0', { limit: 50 }) },
      { name: 'list 20 sessions of a user', run: () => store.listSessions({ userId: 'u3', limit: 20 }) },
    ],
    [Symbol.asyncDispose]: () => store.close(),
  }
}
