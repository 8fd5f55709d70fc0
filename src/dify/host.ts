/** `holdfast/dify`: runs unmodified Dify plugins, or lets them come, and serves their storage from plugin storage. */
import type { DifyPlugin, PluginRules } from './plugin.ts'
import { DifyTransactions, type TransactionOptions } from './serverless.ts'
import { runPlugin, type RunOptions } from './stdio.ts'
import { DifyListener, type ListenOptions } from './tcp.ts'

export type DifyHostOptions = PluginRules

/** Closing it ends every plugin, listener and endpoint that it made. */
export class DifyHost implements AsyncDisposable {
  readonly #rules: DifyHostOptions
  readonly #made = new Set<AsyncDisposable>()

  constructor(options: DifyHostOptions) {
    this.#rules = options
  }

  /** Starts the plugin in a folder as a child process that talks over its standard streams. */
  async run(folder: string, options?: RunOptions): Promise<DifyPlugin> {
    const plugin = this.#keep(await runPlugin(folder, this.#rules, options))
    void plugin.ended.then(() => this.#made.delete(plugin))
    return plugin
  }

  /** Lets plugins come that were started elsewhere, by the remote-debugging protocol. */
  async listen(options: ListenOptions): Promise<DifyListener> {
    return this.#keep(await DifyListener.open(this.#rules, options))
  }

  /** Opens the endpoint to which plugins that are HTTP services post their calls. */
  async transactions(options?: TransactionOptions): Promise<DifyTransactions> {
    return this.#keep(await DifyTransactions.open(this.#rules, options))
  }

  async close(): Promise<void> {
    await Promise.all(Array.from(this.#made, (made) => made[Symbol.asyncDispose]()))
    this.#made.clear()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #keep<T extends AsyncDisposable>(made: T): T {
    this.#made.add(made)
    return made
  }
}
