/** Answers what a plugin calls back for, within bounds of number and size. */
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError, isHoldfastError, type CallOptions, type JsonValue } from '../index.ts'
import { Budget } from './budget.ts'
import type { Link } from './link.ts'
import { answerLine, endLine, errorLines, type BackwardsCall } from './protocol.ts'
import { log, MAX_CALLS, MAX_PENDING_BYTES, type PluginRules } from './rules.ts'
import type { Session } from './session.ts'
import { answerStorage, storageFailure, type Within } from './storage.ts'

/** Just before the plugin's SDK gives up by itself, without being told why. */
const CALL: CallOptions = { timeoutMs: 240_000 }
const POLL_MS = 2

export interface CallsOptions {
  readonly pluginId: string
  readonly link: Link
  readonly rules: PluginRules
  /** Bytes that all values of the plugin may have together, and so the largest one. */
  readonly quotaBytes: number
}

export class Calls {
  readonly #options: CallsOptions
  readonly #maxBytes: number
  /** What is being made into answers, with the answers that the plugin has not read. */
  readonly #values: Budget
  #underWay = 0
  #heldBytes = 0

  constructor(options: CallsOptions) {
    this.#options = options
    this.#maxBytes = options.rules.maxPendingBytes ?? MAX_PENDING_BYTES
    this.#values = new Budget(this.#maxBytes, () => options.link.backlogBytes)
  }

  /** The calls under way are more than the host will hold: it reads no further. Storing them needs nothing of the plugin, so they will end. */
  get isFull(): boolean {
    return this.#heldBytes > this.#maxBytes
  }

  /** The plugin sends calls and does not read their answers. */
  get isIgnored(): boolean {
    const { link, quotaBytes } = this.#options
    return link.backlogBytes > 2 * this.#maxBytes + sizeOfAnswer(quotaBytes)
  }

  async room(): Promise<void> {
    while (this.isFull) await sleep(POLL_MS)
  }

  /**
   * Sends the lines that answer a call; it never rejects. The session must be one that this host opened in this very plugin and that is not
   * over: its id gives no right by itself.
   */
  async answer(call: BackwardsCall, session: Session | undefined, bytes: number, send: (lines: string) => void): Promise<void> {
    const { sessionId, requestId } = call
    const refuse = (why: string): void => send(errorLines(sessionId, requestId, why))
    if (session === undefined) return refuse(NO_SESSION)
    const { maxCalls = MAX_CALLS } = this.#options.rules
    if (this.#underWay >= maxCalls) return refuse('RATE_LIMITED: too many calls wait for an answer')
    this.#underWay++
    // Those of others than storage may wait for this very plugin, and so must not keep the host from reading on.
    const held = call.type === 'storage' ? bytes : 0
    this.#heldBytes += held
    try {
      const say = (data: JsonValue): string => answerLine(sessionId, requestId, data)
      const end = endLine(sessionId, requestId)
      if (call.type === 'storage') send(say(await this.#store(call, session)) + end)
      else {
        await this.#invoke(call, session, (data) => send(say(data)))
        send(end)
      }
    } catch (error) {
      refuse(this.#failureOf(call, error))
    } finally {
      this.#underWay--
      this.#heldBytes -= held
      session.alive()
    }
  }

  #store({ request }: BackwardsCall, { storage }: Session): Promise<JsonValue> {
    return answerStorage(storage, request, { strict: this.#options.rules.strict === true, within: this.#within }, CALL)
  }

  /** A plugin that asks for many large values and reads none must not fill the host with them. */
  readonly #within: Within = (bytes, work) => this.#values.within(sizeOfAnswer(bytes), work)

  async #invoke(call: BackwardsCall, session: Session, say: (data: JsonValue) => void): Promise<void> {
    const { pluginId, rules } = this.#options
    const { type, request, sessionId } = call
    if (rules.onInvoke === undefined)
      throw new HoldfastError('UNSUPPORTED', `this host answers no calls of ${JSON.stringify(type.slice(0, 64))}`)
    const result = rules.onInvoke(type, request, { pluginId, workspaceId: session.workspaceId, sessionId })
    if (!isStream(result)) return say(await result)
    for await (const part of result) {
      session.alive()
      say(part)
    }
  }

  #failureOf({ type, request }: BackwardsCall, error: unknown): string {
    if (type === 'storage') return storageFailure(request['opt'], error)
    if (isHoldfastError(error)) return `${error.code}: ${error.message}`
    // What else an embedder's code throws may name anything.
    log(this.#options.rules, this.#options.pluginId, `a call of ${type.slice(0, 64)} failed: ${String(error)}`)
    return 'UNAVAILABLE: the call failed'
  }
}

/** The same for a session that never was, one that is over, and one of another plugin. */
export const NO_SESSION = 'PERMISSION_DENIED: there is no such session'

/** In hexadecimal. */
function sizeOfAnswer(bytes: number): number {
  return 2 * bytes + 1_024
}

function isStream(result: unknown): result is AsyncIterable<JsonValue> {
  return typeof result === 'object' && result !== null && Symbol.asyncIterator in result
}
