/** `holdfast/dify`: runs unmodified Dify plugins, or lets them come, and serves their storage from plugin storage. */
import { HoldfastError } from '../index.ts'
import type { DifyPlugin } from './plugin.ts'
import type { PluginRules } from './rules.ts'
import { DifyTransactions, type TransactionOptions } from './serverless.ts'
import { runPlugin, type RunOptions } from './stdio.ts'
import { DifyListener, type ListenOptions } from './tcp.ts'

export type DifyHostOptions = PluginRules

/** Closing it ends every plugin, listener and endpoint that it made. */
export class DifyHost implements AsyncDisposable {
  readonly #rules: DifyHostOptions
  readonly #made = new Set<AsyncDisposable>()
  #isClosed = false

  constructor(options: DifyHostOptions) {
    this.#rules = options
  }

  /** Starts the plugin in a folder as a child process that talks over its standard streams. */
  async run(folder: string, options?: RunOptions): Promise<DifyPlugin> {
    const plugin = await this.#keep(runPlugin(folder, this.#rules, options))
    void plugin.ended.then(() => this.#made.delete(plugin))
    return plugin
  }

  /** Lets plugins come that were started elsewhere, by the remote-debugging protocol. */
  async listen(options: ListenOptions): Promise<DifyListener> {
    return this.#keep(DifyListener.open(this.#rules, options))
  }

  /** Opens the endpoint to which plugins that are HTTP services post their calls. */
  async transactions(options?: TransactionOptions): Promise<DifyTransactions> {
    return this.#keep(DifyTransactions.open(this.#rules, options))
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all(Array.from(this.#made, (made) => made[Symbol.asyncDispose]()))
    this.#made.clear()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #keep<T extends AsyncDisposable>(making: Promise<T>): Promise<T> {
    if (this.#isClosed) throw closed()
    const made = await making
    if (this.#isClosed) {
      await made[Symbol.asyncDispose]()
      throw closed()
    }
    this.#made.add(made)
    return made
  }
}

function closed(): HoldfastError {
  return new HoldfastError('STORE_CLOSED', 'the host of plugins was closed')
}
