import { StoreRegistry } from '../../../src/index.ts'
import type { Group } from '../hot-paths.ts'
import { idleConversations, idleState } from '../idle-backends.ts'

/** What the store adds to every call of a backend: nothing below it does any work. */
export async function open(): Promise<Group> {
  const [states, conversations] = [new StoreRegistry('state'), new StoreRegistry('conversation')]
  states.register('idle', idleState)
  conversations.register('idle', idleConversations)
  const [state, conversation] = [await states.create('idle'), await conversations.create('idle')]
  return {
    paths: [
      { name: 'ping', run: () => state.ping() },
      { name: 'get a value', run: () => state.get('key') },
      { name: 'set a value', run: () => state.set('key', 1) },
      { name: 'get a session', run: () => conversation.getSession('s') },
      { name: 'append a message', run: () => conversation.addMessage('s', { id: 'm', role: 'user', content: 'hello' }) },
      { name: 'newest message', run: () => conversation.getMessages('s', { limit: 1 }) },
    ],
    [Symbol.asyncDispose]: async () => {
      await state.close()
      await conversation.close()
    },
  }
}
