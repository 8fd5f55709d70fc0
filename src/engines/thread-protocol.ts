/** What a store's thread and a worker thread say to each other, and how errors cross. Messages go in batches, one a turn. */
import { HoldfastError, isHoldfastError, type ErrorCode, type Kind, type Outcome } from '../errors.ts'

export type Question = OpenQuestion | CallQuestion

/** Opens a backend in the thread; the answer is a `Description`. */
export interface OpenQuestion {
  readonly ask: 'open'
  /** Names the backend in later questions. */
  readonly store: number
  /** URL of the backend's module, which exports `create`. */
  readonly module: string
  readonly kind: Kind
  readonly name: string
  readonly options: object
}

/** Calls a method of a backend; the answer is what it resolves with. */
export interface CallQuestion {
  readonly ask: 'call'
  readonly store: number
  readonly method: string
  /** Without the `BackendCall` where that has a signal, which cannot cross. */
  readonly args: readonly unknown[]
  /** The caller's signal may still abort it. */
  readonly abortable: boolean
}

/** To the thread: questions, each with an id, and `abort` for one that was asked. */
export type Request = (Question & { readonly id: number }) | { readonly ask: 'abort'; readonly id: number }

/** From the thread. `aborted`: it rejected with the signal's reason, which stayed on the other side. */
export type Answer = { readonly id: number } & (
  | { readonly value: unknown }
  | { readonly error: CarriedError }
  | { readonly aborted: true }
)

/** What a backend is, apart from its methods. */
export interface Description {
  readonly capabilities: object
  readonly limits: object | undefined
  readonly methods: readonly string[]
}

export interface CarriedError {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  readonly cause: CarriedError | undefined
  /** Only of a HoldfastError. */
  readonly code?: ErrorCode | undefined
  readonly kind?: Kind | undefined
  readonly backend?: string | undefined
  readonly outcome?: Outcome | undefined
}

export function carry(error: unknown): CarriedError {
  const { name, message, stack, cause } = error instanceof Error ? error : new Error(String(error))
  const plain = { name, message, stack, cause: cause === undefined ? undefined : carry(cause) }
  if (!isHoldfastError(error)) return plain
  const { code, kind, backend, outcome } = error
  return { ...plain, code, kind, backend, outcome }
}

export function revive({ name, message, stack, cause, code, kind, backend, outcome }: CarriedError): Error {
  const revived = cause && revive(cause)
  const error =
    code === undefined
      ? new Error(message, revived && { cause: revived })
      : new HoldfastError(code, message, { kind, backend, outcome, cause: revived })
  error.name = name
  if (stack !== undefined) error.stack = stack
  return error
}
