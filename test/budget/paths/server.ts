import { join } from 'node:path'
import { connect } from '../../../src/client/index.ts'
import { openPersistence } from '../../../src/index.ts'
import { serve } from '../../../src/server/index.ts'
import { kilobyte, times, type Group } from '../hot-paths.ts'

/** A client and its server in one process: what is counted is the work of both. */
export async function open(folder: string): Promise<Group> {
  const persistence = await openPersistence({ config: false, dir: join(folder, 'served') })
  const server = await serve({ persistence, port: 0, log: () => undefined })
  const { conversation, state, ...client } = await connect({ url: server.url })
  await conversation.createSession({ id: 's' })
  await conversation.addMessages(
    's',
    times(50, (i) => ({ id: `first-${i}`, role: 'user', content: kilobyte(i) })),
  )
  await state.set('key', kilobyte(0))
  const id = (i: number): string => `m-${String(i).padStart(8, '0')}`
  return {
    paths: [
      { name: 'get a value', run: () => state.get('key') },
      { name: 'set a value', run: (i) => state.set('key', kilobyte(i)) },
      { name: 'append', run: (i) => conversation.addMessage('s', { id: id(i), role: 'user', content: kilobyte(i) }) },
      { name: 'newest 50', run: () => conversation.getMessages('s', { limit: 50 }) },
    ],
    [Symbol.asyncDispose]: async () => {
      await client.close()
      await server.close()
      await persistence.close()
    },
  }
}
