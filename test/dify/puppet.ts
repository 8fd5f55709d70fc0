/** A plugin on strings: it registers over TCP, and sends exactly what the test tells it to. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import { DifyHost, type DifyHostOptions, type DifyPlugin, type ListenOptions, type ToolMessage } from '../../src/dify/index.ts'
import {
  openPersistence,
  StoreRegistry,
  type JsonObject,
  type JsonValue,
  type StateBackend,
  type StateStore,
} from '../../src/index.ts'
import { PluginHost } from '../../src/plugin-storage/index.ts'
import { create as createMemory } from '../../src/state/backends/memory.ts'

export const KEY = 'a key of sufficient length'
export const MIB = 2 ** 20

export async function memoryState(): Promise<StateStore> {
  const { state, close } = await openPersistence({ config: false, conversation: 'memory', knowledge: 'memory', state: 'memory' })
  onTestFinished(close)
  return state
}

/** Memory, but for what the test makes different. */
export async function stateWhere(change: (backend: StateBackend) => Partial<StateBackend>): Promise<StateStore> {
  const stores = new StoreRegistry('state')
  stores.register('other', async (options: object, context) => {
    const backend = await createMemory(options, context)
    const changed = change(backend)
    return new Proxy(backend, {
      get(target, property) {
        const member: unknown = Reflect.get(Object.hasOwn(changed, property) ? changed : target, property)
        return typeof member === 'function' ? member.bind(target) : member
      },
    })
  })
  return stores.create('other')
}

export async function hostOn(plugins: PluginHost, rules: Partial<DifyHostOptions> = {}): Promise<DifyHost> {
  const host = new DifyHost({ plugins, ...rules })
  onTestFinished(() => host.close())
  return host
}

export function manifestOf(name: string, storage: JsonValue = { enabled: true, size: MIB }): JsonObject {
  return { author: 'acme', name, version: '0.0.1', resource: { permission: { storage } } }
}

/** What the host answers a call: the one line before the end. */
export interface Answer {
  readonly event: string
  readonly message: string
  readonly data: JsonObject | null
}

export interface Opened {
  readonly sessionId: string
  readonly data: JsonObject
}

interface Line {
  readonly event: string
  readonly session_id: string
  readonly data: JsonObject
}

export class Puppet {
  readonly socket: Socket
  /** All that the host has sent, line by line. */
  readonly heard: string[] = []
  readonly #opened: Opened[] = []
  readonly #answers = new Map<string, Answer[]>()
  #wake: () => void = () => undefined

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => undefined)
    let rest = ''
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop()!
      for (const line of lines) this.#hear(line.trim())
    })
    socket.once('close', () => this.#wake())
    onTestFinished(() => void socket.destroy())
  }

  /** Connects, and says nothing yet. */
  static async connect(address: string): Promise<Puppet> {
    const [host, port] = address.split(':')
    const socket = connect({ host: host!, port: Number(port) })
    await once(socket, 'connect')
    return new Puppet(socket)
  }

  say(message: unknown): void {
    this.socket.write(`${JSON.stringify(message)}\n\n`)
  }

  register(manifest: JsonObject, key = KEY): void {
    this.say({ type: 'handshake', data: { key } })
    this.say({ type: 'manifest_declaration', data: manifest })
    this.say({ type: 'tool_declaration', data: [{ identity: { name: 'p' }, tools: [{ identity: { name: 't' } }] }] })
    this.say({ type: 'end', data: {} })
  }

  /** The next session that the host opens. */
  async opened(): Promise<Opened> {
    return this.#until(() => this.#opened.shift())
  }

  inSession(sessionId: string, type: string, data: unknown): void {
    this.say({ event: 'session', session_id: sessionId, data: { type, data } })
  }

  /** A storage call, and what the host answers it. */
  async call(sessionId: string, request: JsonObject, type = 'storage'): Promise<Answer> {
    const requestId = randomUUID().replaceAll('-', '')
    this.inSession(sessionId, 'invoke', { type, backwards_request_id: requestId, request })
    return this.answerTo(requestId)
  }

  /** One answer, and then its end. */
  async answerTo(requestId: string): Promise<Answer> {
    const answers = await this.#until(() => {
      const all = this.#answers.get(requestId) ?? []
      return all.at(-1)?.event === 'end' ? all : undefined
    })
    this.#answers.delete(requestId)
    assert.equal(answers.length, 2, JSON.stringify(answers))
    return answers[0]!
  }

  /** All answers to a call until its end. */
  async answersTo(requestId: string): Promise<Answer[]> {
    return this.#until(() => (this.#answers.get(requestId)?.at(-1)?.event === 'end' ? this.#answers.get(requestId) : undefined))
  }

  /** What the host said before it hung up. */
  async ended(): Promise<string> {
    if (!this.socket.closed) await once(this.socket, 'close')
    return this.heard.join('\n')
  }

  async #until<T>(take: () => T | undefined): Promise<T> {
    for (;;) {
      const taken = take()
      if (taken !== undefined) return taken
      if (this.socket.closed) throw new Error('the host hung up')
      const before = this.#wake
      await new Promise<void>((resolve) => {
        this.#wake = () => {
          before()
          resolve()
        }
      })
    }
  }

  #hear(line: string): void {
    this.heard.push(line)
    if (line.startsWith('{')) {
      const { event, session_id: sessionId, data } = JSON.parse(line) as Line
      if (event === 'request') this.#opened.push({ sessionId, data })
      else this.#keep(data)
    }
    this.#wake()
    this.#wake = () => undefined
  }

  #keep({ backwards_request_id: requestId, ...answer }: JsonObject): void {
    const id = requestId as string
    this.#answers.set(id, [...(this.#answers.get(id) ?? []), answer as unknown as Answer])
  }
}

export interface Stage {
  readonly host: DifyHost
  readonly puppet: Puppet
  readonly plugin: DifyPlugin
  readonly plugins: PluginHost
  readonly address: string
}

export interface StageOptions {
  readonly name?: string
  readonly storage?: JsonValue
  readonly rules?: Partial<DifyHostOptions>
  readonly listen?: Partial<ListenOptions>
  readonly plugins?: PluginHost
}

/** A host, and a puppet that it has let in. */
export async function stage(options: StageOptions = {}): Promise<Stage> {
  const { name = 'puppet', storage, rules, listen } = options
  const plugins = options.plugins ?? new PluginHost({ state: await memoryState() })
  const host = await hostOn(plugins, rules)
  const { promise, resolve } = Promise.withResolvers<DifyPlugin>()
  const { address } = await host.listen({ keys: [{ key: KEY }], onPlugin: resolve, ...listen })
  const puppet = await Puppet.connect(address)
  puppet.register(manifestOf(name, storage))
  return { host, puppet, plugin: await promise, plugins, address }
}

export interface Session {
  readonly sessionId: string
  /** Storage calls in this session. */
  store(opt: string, key: string, value?: string | Uint8Array): Promise<Answer>
  /** Ends it, and gives what the invocation has yielded. */
  end(): Promise<ToolMessage[]>
}

/** Invokes a tool, and gives the session in the puppet's hands. */
export async function open({ puppet, plugin }: Pick<Stage, 'puppet' | 'plugin'>, workspaceId?: string): Promise<Session> {
  const messages = Array.fromAsync(plugin.invokeTool({ tool: 't', workspaceId }))
  // Whoever does not end the session does not wait for this either.
  messages.catch(() => undefined)
  const { sessionId } = await puppet.opened()
  return {
    sessionId,
    store: (opt, key, value) =>
      puppet.call(sessionId, { opt, key, ...(value === undefined ? {} : { value: Buffer.from(value).toString('hex') }) }),
    end: () => {
      puppet.inSession(sessionId, 'end', {})
      return messages
    },
  }
}

/** The data of a good answer. */
export function dataOf({ event, message, data }: Answer): JsonObject {
  assert.equal(event, 'response', message)
  return data!
}

/** The text that a good `get` has. */
export function textOf(answer: Answer): string {
  return Buffer.from(dataOf(answer)['data'] as string, 'hex').toString()
}
