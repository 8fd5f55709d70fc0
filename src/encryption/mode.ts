/** Keeps encrypted and plain data apart: before the first write in a place it is looked at how things are stored there. */
import { HoldfastError } from '../errors.ts'
import type { BackendBase } from '../store/contract.ts'
import { withOutcome } from '../store/core.ts'

/** More are forgotten, and looked at again when it comes to it. */
const MAX_KNOWN = 10_000

/** Looks at each place once. What `look` throws refuses the write, and the next write looks again. */
export class PlacesSeen {
  readonly #look: (place: string) => Promise<void>
  readonly #seen = new Set<string>()
  readonly #looking = new Map<string, Promise<void>>()

  constructor(look: (place: string) => Promise<void>) {
    this.#look = look
  }

  /** Undefined where the place was looked at. */
  pending(place: string): Promise<void> | undefined {
    if (this.#seen.has(place)) return undefined
    let looking = this.#looking.get(place)
    if (looking === undefined) {
      looking = this.#lookAt(place).finally(() => this.#looking.delete(place))
      this.#looking.set(place, looking)
    }
    return looking
  }

  /** Resolves when the writes that wait for a look have gone on. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#looking.values())
  }

  async #lookAt(place: string): Promise<void> {
    await this.#look(place).catch((error: unknown) => {
      throw withOutcome(error, 'not-applied')
    })
    if (this.#seen.size >= MAX_KNOWN) this.#seen.clear()
    this.#seen.add(place)
  }
}

type Method = (...args: unknown[]) => unknown

/** How a guard looks at the arguments of a write. */
export interface Guard {
  readonly places: PlacesSeen
  /** The place that a call writes to; undefined where it needs no look. Default: the first argument. */
  readonly placeOf?: (place: string, change: unknown) => string | undefined
}

/** The same backend, of whose methods the named ones wait until the place that they write to was looked at. */
export function guardWrites<B extends BackendBase>(
  backend: B,
  writes: readonly (keyof B & string)[],
  { places, placeOf = (place) => place }: Guard,
): B {
  const members = boundMethods(backend)
  for (const name of writes) {
    const method = Reflect.get(backend, name) as Method
    members.set(name, (...args) => {
      const place = placeOf(args[0] as string, args[1])
      const looking = place === undefined ? undefined : places.pending(place)
      if (looking === undefined) return Reflect.apply(method, backend, args)
      return unlessAborted(looking, signalOf(args)).then(() => Reflect.apply(method, backend, args))
    })
  }
  // Writes that were called before count as begun.
  members.set('close', () => places.settled().then(() => backend.close()))
  return over(backend, members)
}

/** The backend with members of its own in front of those that it has. */
function over<B extends BackendBase>(backend: B, members: ReadonlyMap<PropertyKey, Method>): B {
  // Whatever else it has is read from the backend itself, which may look at its own `this`.
  const rest = new Proxy(backend, { get: (target, name) => boundMember(target, name) })
  // A proxy alone would do, but every call would pass through its trap.
  const own = Array.from(members, ([name, value]) => [name, { value, enumerable: true, configurable: true, writable: true }])
  return Object.create(rest, Object.fromEntries(own) as PropertyDescriptorMap) as B
}

/** The methods of an object and of its classes. */
function boundMethods(backend: object): Map<PropertyKey, Method> {
  const methods = new Map<PropertyKey, Method>()
  for (let level = backend; level !== Object.prototype && level !== null; level = Object.getPrototypeOf(level) as object) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(level))) {
      if (typeof value !== 'function' || name === 'constructor' || methods.has(name)) continue
      const member = boundMember(backend, name)
      if (typeof member === 'function') methods.set(name, member as Method)
    }
  }
  return methods
}

function boundMember(backend: object, name: PropertyKey): unknown {
  const member: unknown = Reflect.get(backend, name, backend)
  return typeof member === 'function' ? (member as Method).bind(backend) : member
}

/** The signal of the call, which is a method's last argument where there is one. */
function signalOf(args: readonly unknown[]): AbortSignal | undefined {
  const { signal } = (args.at(-1) ?? {}) as { readonly signal?: unknown }
  return signal instanceof AbortSignal ? signal : undefined
}

/** Others may wait for the same look: it goes on, while a caller who gives up is told at once, and has written nothing. */
async function unlessAborted(looking: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return looking
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await Promise.race([looking, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

export function notEncrypted(what: string): HoldfastError {
  return new HoldfastError(
    'DECRYPTION_FAILED',
    `${what} is not encrypted, and the store has keys: convert it with encryptStore`,
    {
      outcome: 'not-applied',
    },
  )
}
