/** A plugin as a child process that talks over its standard streams: how Dify runs installed plugins. */
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError } from '../index.ts'
import { endChild, startChild, type Child } from './child.ts'
import { lost } from './failures.ts'
import { linesOf, type Line } from './lines.ts'
import { StreamLink } from './link.ts'
import { loadManifest, loadTools, readManifest } from './manifest.ts'
import { DifyPlugin } from './plugin.ts'
import { objectFrom, readMessage } from './protocol.ts'
import { log, MAX_LINE_BYTES, type PluginRules } from './rules.ts'
import { Silence } from './silence.ts'

export interface RunOptions {
  /** The interpreter. Default: `.venv/bin/python` in the plugin's folder, else `python3`. */
  readonly python?: string | undefined
  /** Variables for the plugin. It gets these, and of the host's own only `PATH`, `HOME`, `LANG`, `TMPDIR` and the like. */
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly workspaceId?: string | undefined
  /** Milliseconds until the plugin must have said that it is ready. Default 120,000. */
  readonly startTimeoutMs?: number | undefined
  /** Milliseconds of silence after which a plugin counts as dead. Default 120,000; plugins send a heartbeat every 10,000. */
  readonly heartbeatTimeoutMs?: number | undefined
  /** Bytes of one line of the plugin. Default 128 MiB: a value of 64 MiB, as they come in hexadecimal. */
  readonly maxLineBytes?: number | undefined
}

const START_TIMEOUT_MS = 120_000
const HEARTBEAT_TIMEOUT_MS = 120_000
const SOON_MS = 500
const MAX_PRINTED = 2_000

/** Starts the plugin of a folder. One that ends or stays silent before it is ready: `UNAVAILABLE`, with the end of what it printed. */
export async function runPlugin(folder: string, rules: PluginRules, options: RunOptions = {}): Promise<DifyPlugin> {
  const manifest = await loadManifest(folder)
  const tools = await loadTools(folder)
  const child = startChild(folder, manifest, options)
  const link = new StreamLink(child.stdin, () => endChild(child))
  const plugin = new DifyPlugin({ manifest, tools, link, workspaceId: options.workspaceId }, rules)
  // Before anything is waited for: a child that cannot be started says so at once.
  const conversation = new Conversation(plugin, child, rules, options)
  try {
    await conversation.ready()
    return plugin
  } catch (error) {
    await plugin.close()
    throw error
  }
}

/** What goes on from the first line of a plugin to its last. */
class Conversation {
  readonly #plugin: DifyPlugin
  readonly #rules: PluginRules
  readonly #options: RunOptions
  readonly #ready = Promise.withResolvers<void>()
  readonly #silence: Silence
  readonly #exited = Promise.withResolvers<void>()
  #printed = ''
  #exit: string | undefined
  #isKnown = false
  #isReady = false

  constructor(plugin: DifyPlugin, child: Child, rules: PluginRules, options: RunOptions) {
    this.#plugin = plugin
    this.#rules = rules
    this.#options = options
    const { heartbeatTimeoutMs = HEARTBEAT_TIMEOUT_MS } = options
    this.#silence = new Silence(
      heartbeatTimeoutMs,
      () => plugin.isHeldUp,
      (why) => this.#lose(why),
    )
    void plugin.ended.then(() => this.#silence.stop())
    child.once('error', (cause) => this.#lose(`it cannot be started (${(cause as NodeJS.ErrnoException).code})`))
    const reading = this.#read(child)
    child.once('exit', (code, signal) => void this.#onExit(`it ended with ${signal ?? code}`, reading))
    child.stderr
      .setEncoding('utf8')
      .on('data', (text: string) => this.#hear(text))
      .on('error', () => undefined)
  }

  async ready(): Promise<void> {
    const { startTimeoutMs = START_TIMEOUT_MS } = this.#options
    const late = setTimeout(() => this.#lose(`it was not ready within ${startTimeoutMs} ms`), startTimeoutMs)
    try {
      await this.#ready.promise
    } finally {
      clearTimeout(late)
    }
  }

  async #read(child: Child): Promise<void> {
    const { maxLineBytes = MAX_LINE_BYTES } = this.#options
    try {
      for await (const line of linesOf(child.stdout, () => maxLineBytes)) {
        this.#silence.heard()
        await this.#take(line)
      }
      await soon(this.#exited.promise)
      this.#lose(this.#exit ?? 'it closed its output')
    } catch (error) {
      this.#lose(error instanceof HoldfastError ? error.message : 'its output cannot be read')
    }
  }

  /** What it has said before may still be in the pipe. */
  async #onExit(why: string, reading: Promise<void>): Promise<void> {
    this.#exit = why
    this.#exited.resolve()
    await soon(reading)
    this.#lose(why)
  }

  /** What it prints while it starts shows why it does not; later it is the plugin's own business, and may hold what is none of ours. */
  #hear(text: string): void {
    if (!this.#isReady) this.#printed = (this.#printed + text).slice(-MAX_PRINTED)
    log(this.#rules, this.#plugin.pluginId, text.trimEnd())
  }

  async #take(line: Line): Promise<void> {
    if (!this.#isKnown && this.#introduce(line)) return
    // The first heartbeat says that it listens.
    if (!this.#isReady && isHeartbeat(line)) this.#start()
    else await this.#plugin.receive(line)
  }

  /** The manifest, as the plugin reads it, comes first: it must be the plugin that the folder says it is. */
  #introduce({ text, cut }: Line): boolean {
    const manifest = cut ? undefined : objectFrom(text)
    if (manifest === undefined || 'event' in manifest) return false
    const { pluginId } = readManifest(manifest)
    if (pluginId !== this.#plugin.pluginId) throw new HoldfastError('INVALID_ARGUMENT', `it says that it is ${pluginId}`)
    this.#isKnown = true
    return true
  }

  #start(): void {
    if (!this.#isKnown) throw new HoldfastError('INVALID_ARGUMENT', 'it did not say which plugin it is')
    this.#isReady = true
    this.#printed = ''
    this.#ready.resolve()
  }

  #lose(why: string): void {
    const said = this.#printed.trim()
    const reason = said === '' ? why : `${why}; it printed: ${said}`
    this.#ready.reject(lost(this.#plugin.pluginId, reason))
    void this.#plugin.fail(reason)
  }
}

function isHeartbeat({ text, cut }: Line): boolean {
  return !cut && text.length < 256 && readMessage(text)?.event === 'heartbeat'
}

async function soon(what: Promise<unknown>): Promise<void> {
  await Promise.race([what, sleep(SOON_MS, undefined, { ref: false })])
}
