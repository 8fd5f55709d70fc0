/** A plugin as a child process that talks over its standard streams: how Dify runs installed plugins. */
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError } from '../index.ts'
import { lost } from './failures.ts'
import { linesOf, type Line } from './lines.ts'
import { loadManifest, loadTools, readManifest, type Manifest } from './manifest.ts'
import { DifyPlugin, type Link, type PluginRules } from './plugin.ts'
import { objectFrom, readMessage } from './protocol.ts'

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
export const MAX_LINE_BYTES = 128 * 2 ** 20
/** What the child of a host may know of the host's environment: nothing that could be a secret. */
const PASSED_ON = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TMPDIR', 'TEMP', 'SystemRoot', 'SSL_CERT_FILE']
const GRACE_MS = 3_000

type Child = ChildProcessByStdio<Writable, Readable, Readable>

/** Starts the plugin of a folder. One that ends or stays silent before it is ready: `UNAVAILABLE`, with the end of what it printed. */
export async function runPlugin(folder: string, rules: PluginRules, options: RunOptions = {}): Promise<DifyPlugin> {
  const manifest = await loadManifest(folder)
  const tools = await loadTools(folder)
  const child = start(folder, manifest, options)
  const plugin = new DifyPlugin(manifest, tools, new StdioLink(child), rules, options.workspaceId)
  // Before anything is waited for: a child that cannot be started says so at once.
  const conversation = new Conversation(plugin, child, options)
  try {
    await conversation.ready()
    return plugin
  } catch (error) {
    await plugin.close()
    throw error
  }
}

function start(folder: string, manifest: Manifest, { env, ...options }: RunOptions): Child {
  const [command, ...args] = commandOf(folder, manifest, options)
  const kept = PASSED_ON.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]] as const]))
  return spawn(command, args, {
    cwd: folder,
    env: { ...Object.fromEntries(kept), PYTHONUNBUFFERED: '1', ...env, INSTALL_METHOD: 'local' },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
}

function commandOf(folder: string, { language, entrypoint }: Manifest, { python }: RunOptions): [string, ...string[]] {
  if (language === 'node') return [process.execPath, entrypoint]
  const own = join(folder, '.venv', 'bin', 'python')
  return [python ?? (existsSync(own) ? own : 'python3'), '-m', entrypoint]
}

class StdioLink implements Link {
  readonly #child: Child

  constructor(child: Child) {
    this.#child = child
    // A pipe to a process that has ended fails; that it ended is told otherwise.
    child.stdin.on('error', () => undefined)
  }

  open(_: string, line: string): void {
    this.#child.stdin.write(line)
  }

  answer(lines: string): void {
    this.#child.stdin.write(lines)
  }

  /** Closing its input would leave the plugin spinning: it is ended. */
  async close(): Promise<void> {
    const child = this.#child
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.kill('SIGTERM')
    const late = await Promise.race([ended.then(() => false), sleep(GRACE_MS, true, { ref: false })])
    if (late) child.kill('SIGKILL')
    await ended
  }
}

/** What goes on from the first line of a plugin to its last. */
class Conversation {
  readonly #plugin: DifyPlugin
  readonly #child: Child
  readonly #options: RunOptions
  readonly #ready = Promise.withResolvers<void>()
  #printed = ''
  #silence: NodeJS.Timeout | undefined

  constructor(plugin: DifyPlugin, child: Child, options: RunOptions) {
    this.#plugin = plugin
    this.#child = child
    this.#options = options
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#printed = (this.#printed + text).slice(-2_000)))
    child.once('error', (cause) => this.#lose(`it cannot be started (${(cause as NodeJS.ErrnoException).code})`))
    child.once('exit', (code, signal) => this.#lose(`it ended with ${signal ?? code}`))
    void this.#read()
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

  async #read(): Promise<void> {
    const lines = linesOf(this.#child.stdout, this.#options.maxLineBytes ?? MAX_LINE_BYTES)
    try {
      const first = await lines.next()
      if (first.done !== true) this.#introduce(first.value)
      for await (const line of lines) this.#take(line)
    } catch (error) {
      this.#lose(error instanceof Error ? error.message : 'its output cannot be read')
    }
  }

  /** The first line is the manifest, as the plugin reads it: it must be the plugin that the folder says it is. */
  #introduce({ text }: Line): void {
    const { pluginId } = readManifest(objectFrom(text))
    if (pluginId === this.#plugin.pluginId) return
    throw new HoldfastError('INVALID_ARGUMENT', `it says that it is ${pluginId}`)
  }

  #take(line: Line): void {
    this.#alive()
    // The first heartbeat says that it listens.
    if (readyAt(line)) this.#ready.resolve()
    else this.#plugin.receive(line)
  }

  #alive(): void {
    clearTimeout(this.#silence)
    const { heartbeatTimeoutMs = HEARTBEAT_TIMEOUT_MS } = this.#options
    this.#silence = setTimeout(() => {
      this.#lose(`it was silent for ${heartbeatTimeoutMs} ms`)
      void this.#plugin.close()
    }, heartbeatTimeoutMs)
    this.#silence.unref()
  }

  #lose(why: string): void {
    clearTimeout(this.#silence)
    const said = this.#printed.trim()
    const reason = lost(this.#plugin.pluginId, said === '' ? why : `${why}; it printed: ${said}`)
    this.#plugin.fail(reason)
    this.#ready.reject(reason)
  }
}

function readyAt({ text, cut }: Line): boolean {
  return !cut && text.length < 256 && readMessage(text)?.event === 'heartbeat'
}
