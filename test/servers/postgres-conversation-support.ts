/** Places for conversations in a Postgres database. */
import type { ServerPlace } from '../conformance/harness.ts'
import type { Proxy } from '../faults/proxy.ts'
import { newPlace, tableOf, withClient, type Server } from './postgres-places.ts'

type ConversationPlace = ServerPlace & { readonly proxy: Proxy; readonly prefix: string }

/** Places whose tables are emptied and used again: to make them takes longer than most cases of a suite. */
export class Places implements AsyncDisposable {
  readonly #server: Server
  readonly #free: ConversationPlace[] = []
  readonly #all: ConversationPlace[] = []

  constructor(server: Server) {
    this.#server = server
  }

  readonly take = async (): Promise<ServerPlace & { readonly proxy: Proxy }> => {
    const place = this.#free.pop() ?? (await this.#make())
    return { ...place, remove: () => this.#empty(place) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const place of this.#all) await place.remove()
  }

  async #make(): Promise<ConversationPlace> {
    const place = await newPlace(this.#server)
    const { prefix } = place.options as { readonly prefix: string }
    const made = { ...place, prefix }
    this.#all.push(made)
    return made
  }

  async #empty(place: ConversationPlace): Promise<void> {
    place.proxy.heal()
    await withClient(this.#server, async (client) => {
      for (const table of ['messages', 'sessions']) await client.query(`DELETE FROM ${tableOf(place.prefix, table)}`)
    })
    this.#free.push(place)
  }
}
