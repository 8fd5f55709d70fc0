/**
 * What every store does around every call, once: refuse after close, honour signal and deadline, retry what is safe,
 * wrap errors, and publish the call on a diagnostics channel.
 */
import { HoldfastError, isHoldfastError, outcomeOf, type Kind, type Outcome } from '../errors.ts'
import type { BackendBase, BackendCall, CallOptions, Limits, StoreOptions } from './contract.ts'
import { channel, sleep, soon } from './platform.ts'
import { redact } from './redact.ts'
import { checkInteger, checkText } from './text.ts'

/**
 * How a call may be repeated after an outage. `read` and `idempotent` may always; `write` only when it is known not to have
 * been applied.
 */
export type CallMode = 'read' | 'idempotent' | 'write'

/** One attempt at a call. `mayBeApplied`: an earlier attempt failed in a way that leaves open whether it was applied. */
export type Work<T> = (call: BackendCall, mayBeApplied: boolean) => Promise<T>

/** Published on the channel `holdfast:call:start` before each store call. No arguments, no values, no secrets. */
export interface CallStart {
  readonly kind: Kind
  readonly backend: string
  readonly method: string
  /** A subscriber may set it: it then runs the call, say with a span as the active one, and gives back what that gives. */
  around?: (<T>(call: () => T) => T) | undefined
}

/** Published on the channel `holdfast:call` after each store call: the same object, completed. */
export interface CallEvent extends CallStart {
  readonly durationMs: number
  /** `ok`, or the code of the error. */
  readonly result: string
  readonly outcome?: Outcome | undefined
}

const callStarts = channel('holdfast:call:start')
const calls = channel('holdfast:call')

const MAX_TIMEOUT_MS = 2 ** 31 - 1
/** Closing waits this long for calls that are under way: a hung engine must not keep a process from ending. */
const CLOSE_GRACE_MS = 5_000

const NO_LIMITS: BackendCall = Object.freeze({})

/** The part of a store that its workspace views share. */
export class StoreCore<B extends BackendBase> {
  readonly kind: Kind
  readonly name: string
  readonly backend: B
  readonly limits: Limits
  readonly #timeoutMs: number | undefined
  readonly #retries: number
  #closing: Promise<void> | undefined
  #underWay = 0
  #whenIdle: (() => void) | undefined

  constructor(kind: Kind, name: string, backend: B, options: StoreOptions = {}) {
    this.kind = kind
    this.name = name
    this.backend = backend
    this.limits = Object.freeze({ ...backend.limits })
    this.#timeoutMs = checkTimeout(options.timeoutMs)
    this.#retries = checkInteger(options.retries, 'retries', { min: 0, max: 100 }, 2)
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  /** Refuses new calls at once, lets those under way finish, then closes the backend. */
  close(): Promise<void> {
    this.#closing ??= this.#idle().then(() => this.backend.close())
    return this.#closing
  }

  #idle(): Promise<void> {
    if (this.#underWay === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const grace = setTimeout(resolve, CLOSE_GRACE_MS)
      this.#whenIdle = () => {
        clearTimeout(grace)
        resolve()
      }
    })
  }

  /**
   * Runs one store call. `work` gets checked arguments by closure and may run again where `mode` allows it; `mayBeApplied` then says whether
   * an earlier attempt may have been applied.
   */
  run<T>(method: string, mode: CallMode, options: CallOptions | undefined, work: Work<T>): Promise<T> {
    const isPlain = options?.signal === undefined && options?.timeoutMs === undefined && this.#timeoutMs === undefined
    // Nearly all calls are plain, and each promise that is waited for on their way costs as much as all the checks together.
    return isPlain && !isListenedTo() ? this.#runPlain(method, mode, work) : this.#runWatched(method, mode, options, work)
  }

  async #runPlain<T>(method: string, mode: CallMode, work: Work<T>): Promise<T> {
    this.#checkOpen(method)
    this.#underWay++
    try {
      return await work(NO_LIMITS, false)
    } catch (error) {
      return await this.#recover(method, mode, error, work)
    } finally {
      if (--this.#underWay === 0) this.#whenIdle?.()
    }
  }

  async #recover<T>(method: string, mode: CallMode, error: unknown, work: Work<T>): Promise<T> {
    try {
      return await this.#retry(mode, NO_LIMITS, work, error)
    } catch (last) {
      throw this.#wrap(method, mode, last)
    }
  }

  async #runWatched<T>(method: string, mode: CallMode, options: CallOptions | undefined, work: Work<T>): Promise<T> {
    this.#checkOpen(method)
    const timeoutMs = checkTimeout(options?.timeoutMs) ?? this.#timeoutMs
    const event = this.#announce(method)
    const started = event === undefined ? 0 : performance.now()
    const signal = options?.signal
    this.#underWay++
    try {
      const result =
        event?.around === undefined
          ? await this.#perform(method, mode, signal, timeoutMs, work)
          : await event.around(() => this.#perform(method, mode, signal, timeoutMs, work))
      if (event !== undefined) publishEnd(event, started, undefined)
      return result
    } catch (error) {
      const wrapped = this.#wrap(method, mode, error)
      if (event !== undefined) publishEnd(event, started, wrapped)
      throw wrapped
    } finally {
      if (--this.#underWay === 0) this.#whenIdle?.()
    }
  }

  #checkOpen(method: string): void {
    if (this.#closing !== undefined) throw this.error('STORE_CLOSED', `${method}: the store is closed`, 'not-applied')
  }

  error(code: HoldfastError['code'], message: string, outcome?: Outcome): HoldfastError {
    return new HoldfastError(code, message, { kind: this.kind, backend: this.name, outcome })
  }

  #perform<T>(
    method: string,
    mode: CallMode,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    work: Work<T>,
  ): Promise<T> {
    if (signal === undefined && timeoutMs === undefined) return this.#attempts(mode, NO_LIMITS, work)
    return this.#withDeadline(method, mode, signal, timeoutMs, work)
  }

  async #attempts<T>(mode: CallMode, call: BackendCall, work: Work<T>): Promise<T> {
    try {
      return await work(call, false)
    } catch (error) {
      return await this.#retry(mode, call, work, error)
    }
  }

  /** Tries again after an outage, for as long as the mode and the number of retries allow. */
  async #retry<T>(mode: CallMode, call: BackendCall, work: Work<T>, first: unknown): Promise<T> {
    // Once an attempt may have been applied, no later failure can say that nothing was.
    let open = false
    let error = first
    for (let attempt = 0; attempt < this.#retries && mayRepeat(error, mode); attempt++) {
      open ||= mode !== 'read' && error.outcome !== 'not-applied'
      try {
        await backOff(attempt, call.signal)
        return await work(call, open)
      } catch (next) {
        error = next
      }
    }
    throw open ? withOutcome(error, 'unknown') : error
  }

  async #withDeadline<T>(
    method: string,
    mode: CallMode,
    outer: AbortSignal | undefined,
    timeoutMs: number | undefined,
    work: Work<T>,
  ): Promise<T> {
    if (outer?.aborted) throw this.error('ABORTED', `${method}: aborted before it began`, 'not-applied')
    const controller = new AbortController()
    let stop: (error: HoldfastError) => void = () => undefined
    const stopped = new Promise<never>((_, reject) => (stop = reject))
    const graceMs = mode === 'read' ? undefined : this.backend.abortAnswerMs
    let grace: NodeJS.Timeout | undefined
    const end = (code: 'ABORTED' | 'TIMEOUT', message: string): void => {
      const giveUp = (): void => stop(this.error(code, message, mode === 'read' ? undefined : 'unknown'))
      // A backend that can prove that nothing happened rejects with the signal's reason at once, and so before `stop`.
      controller.abort(this.error(code, message, 'not-applied'))
      if (graceMs === undefined) soon(giveUp)
      else grace = setTimeout(giveUp, graceMs)
    }
    const onAbort = (): void => end('ABORTED', `${method}: aborted by its signal`)
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => end('TIMEOUT', `${method}: no answer within ${timeoutMs} ms`), timeoutMs)
    outer?.addEventListener('abort', onAbort, { once: true })
    try {
      return await Promise.race([this.#attempts(mode, { signal: controller.signal }, work), stopped])
    } finally {
      clearTimeout(timer)
      clearTimeout(grace)
      outer?.removeEventListener('abort', onAbort)
    }
  }

  #wrap(method: string, mode: CallMode, error: unknown): HoldfastError {
    const known = isHoldfastError(error) ? error : undefined
    if (known?.kind !== undefined && known.backend !== undefined) return known
    const code = known?.code ?? 'UNAVAILABLE'
    const message = known?.message ?? `${method}: ${redact(error instanceof Error ? error.message : String(error))}`
    const outcome = known?.outcome ?? (mode === 'read' ? undefined : outcomeOf(code))
    return new HoldfastError(code, message, { kind: this.kind, backend: this.name, outcome, cause: known ? known.cause : error })
  }

  /** Tells that a call begins, where anybody listens to calls. */
  #announce(method: string): CallStart | undefined {
    if (!isListenedTo()) return undefined
    const event: CallStart = { kind: this.kind, backend: this.name, method }
    callStarts.publish(event)
    return event
  }
}

function isListenedTo(): boolean {
  return calls.hasSubscribers || callStarts.hasSubscribers
}

function publishEnd(event: CallStart, started: number, error: HoldfastError | undefined): void {
  const end: Omit<CallEvent, keyof CallStart> = {
    durationMs: performance.now() - started,
    result: error?.code ?? 'ok',
    outcome: error?.outcome,
  }
  calls.publish(Object.assign(event, end))
}

function mayRepeat(error: unknown, mode: CallMode): error is HoldfastError {
  if (!isHoldfastError(error, 'UNAVAILABLE') && !isHoldfastError(error, 'RATE_LIMITED')) return false
  return mode !== 'write' || error.outcome === 'not-applied'
}

/** The same error with another outcome. */
export function withOutcome(error: unknown, outcome: Outcome | undefined): unknown {
  if (!isHoldfastError(error)) return error
  const { code, message, kind, backend, cause } = error
  return new HoldfastError(code, message, { kind, backend, outcome, cause })
}

/** Full jitter: clients that failed together must not come back together. Rejects with the signal's reason. */
async function backOff(attempt: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(Math.random() * Math.min(5_000, 50 * 2 ** attempt), signal)
}

function checkTimeout(value: number | undefined): number | undefined {
  return value === undefined ? undefined : checkInteger(value, 'timeoutMs', { min: 1, max: MAX_TIMEOUT_MS }, 0)
}

export function checkWorkspace(value: unknown): string {
  checkText(value, 'workspace')
  return value
}
