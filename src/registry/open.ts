/** From a factory and options to an open store: check, call, look at what came, wrap. */
import type { EncryptableStoreOptions } from '../encryption/options.ts'
import { HoldfastError, isHoldfastError, type Kind } from '../errors.ts'
import type { KnowledgeStoreOptions } from '../knowledge/contract.ts'
import type { StoreOptions } from '../store/contract.ts'
import type { AnyFactory, FactoryContext } from '../store/factory.ts'
import { checkOptions, type OptionSpec, type OptionsSchema } from '../store/options.ts'
import { isPlainText, MAX_ID_BYTES, typeName } from '../store/text.ts'
import { backendProblems, isFinishedStore, storeClass, storeProblems, type Backends, type Stores } from './contract-check.ts'
import { guardBackend } from './encryption.ts'
import { failure } from './failure.ts'
import { hide, safeCause, secretsOf } from './secrets.ts'

const STORE_SCHEMA: OptionsSchema<StoreOptions> = {
  workspace: { type: 'string', description: 'The tenant whose data the store sees.', check: workspaceProblem },
  timeoutMs: {
    type: 'integer',
    description: 'Milliseconds a call may take; by default there is no limit.',
    min: 1,
    max: 2 ** 31 - 1,
  },
  retries: {
    type: 'integer',
    description: 'How often a safe call is tried again after an outage; by default 2.',
    min: 0,
    max: 100,
  },
}
const KNOWLEDGE_SCHEMA: OptionsSchema<KnowledgeStoreOptions> = {
  ...STORE_SCHEMA,
  embed: { type: 'function', description: 'Makes embeddings of documents and queries that come without one.' },
}

const ENCRYPTABLE_SCHEMA: OptionsSchema<EncryptableStoreOptions> = {
  ...STORE_SCHEMA,
  encryption: { type: 'object', description: 'Key ring that what is kept is encrypted with; none by default.', secret: true },
}

/** The options that every store of a kind takes, whatever its backend. */
const STORE_SCHEMAS: { readonly [K in Kind]: Readonly<Record<string, OptionSpec>> } = {
  conversation: ENCRYPTABLE_SCHEMA,
  knowledge: KNOWLEDGE_SCHEMA,
  state: ENCRYPTABLE_SCHEMA,
}

function workspaceProblem(value: string): string | undefined {
  if (!isPlainText(value)) return 'must be well-formed Unicode without U+0000'
  return Buffer.byteLength(value) > MAX_ID_BYTES ? `is longer than ${MAX_ID_BYTES} bytes of UTF-8` : undefined
}

const DEFAULT_WORKSPACE = ''

/** A backend that is being created, for errors and for the factory. */
export interface Target<K extends Kind> {
  readonly kind: K
  /** Canonical name. */
  readonly name: string
  readonly loadClient: FactoryContext['loadClient']
}

type Named = Pick<Target<Kind>, 'kind' | 'name'>

type Options = Record<string, unknown>

/** Opens a store. Whatever goes wrong after the backend opened, the backend is closed again. */
export async function openStore<K extends Kind>(target: Target<K>, factory: AnyFactory, given: unknown): Promise<Stores[K]> {
  const { own, common } = splitOptions(target, factory, given)
  const context = contextOf(target, common)
  const made = await callFactory(target, factory, own, context.context)
  try {
    return isFinishedStore(made) ? await finished(target, made, common, context.taken()) : await wrap(target, made, common)
  } catch (error) {
    await closeAgain(target, made, error)
    throw error
  }
}

/** The backend's own part of the options, checked. */
export function ownOptions(target: Named, factory: AnyFactory, given: unknown): object {
  return splitOptions(target, factory, given).own
}

function splitOptions(target: Named, factory: AnyFactory, given: unknown): { own: Options; common: Options } {
  const what = `options of the ${target.kind} backend "${target.name}"`
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new TypeError(`${what} must be an object, not ${typeName(given)}`)
  }
  const schema = STORE_SCHEMAS[target.kind]
  const isCommon = ([name]: [string, unknown]): boolean => Object.hasOwn(schema, name)
  const checked = checkAll(target, factory, what, given as Options)
  const entries = Object.entries(checked)
  return {
    own: Object.fromEntries(entries.filter((entry) => !isCommon(entry))),
    common: Object.fromEntries(entries.filter(isCommon)),
  }
}

/** One check over both schemas, so that all problems are in one error. */
function checkAll(target: Named, factory: AnyFactory, what: string, given: Options): Options {
  const common = STORE_SCHEMAS[target.kind]
  const claimed = Object.keys(factory.schema ?? {}).filter((name) => Object.hasOwn(common, name))
  if (claimed.length > 0)
    throw failure(target, 'INVALID_BACKEND', `its schema has ${claimed.join(', ')}, which belong to the store`)
  try {
    if (factory.schema !== undefined) return checkOptions<Options>({ ...factory.schema, ...common }, given, what, process.env)
    const mine = Object.entries(given).filter(([name]) => Object.hasOwn(common, name))
    return { ...given, ...checkOptions<Options>(common, Object.fromEntries(mine), what, process.env) }
  } catch (error) {
    throw isHoldfastError(error) ? located(target, error) : error
  }
}

function contextOf(target: Target<Kind>, common: StoreOptions): { context: FactoryContext; taken: () => boolean } {
  let taken = false
  const context: FactoryContext = {
    kind: target.kind,
    name: target.name,
    get storeOptions() {
      taken = true
      return common
    },
    loadClient: target.loadClient,
  }
  return { context, taken: () => taken }
}

async function callFactory(
  target: Target<Kind>,
  factory: AnyFactory,
  options: Options,
  context: FactoryContext,
): Promise<object> {
  let made: unknown
  try {
    made = await factory(options as never, context)
  } catch (error) {
    throw factoryFailure(target, error, secretsOf(options, factory.schema))
  }
  if (typeof made === 'object' && made !== null) return made
  throw failure(target, 'INVALID_BACKEND', `its factory gave ${typeName(made)}, not a backend`)
}

/** What a factory threw. A mistake in its code is not an outage. */
function factoryFailure(target: Target<Kind>, error: unknown, secrets: readonly string[]): HoldfastError {
  if (isHoldfastError(error)) return located(target, error, secrets)
  const message = hide(error instanceof Error ? error.message : String(error), secrets)
  const isMistake = [TypeError, ReferenceError, RangeError, SyntaxError].some((type) => error instanceof type)
  return failure(target, isMistake ? 'INVALID_BACKEND' : 'UNAVAILABLE', `its factory failed: ${message}`, {
    cause: safeCause(error, secrets),
  })
}

/** The error, saying which backend it is about and nothing secret. */
function located(target: Named, error: HoldfastError, secrets: readonly string[] = []): HoldfastError {
  if (error.kind !== undefined && error.backend !== undefined && safeCause(error, secrets) === error) return error
  const { kind, name } = target
  // A client library may be called like its backend.
  const prefix = error.message.includes(`backend "${name}"`) ? '' : `${kind} backend "${name}": `
  const cause = error.cause === undefined ? undefined : safeCause(error.cause, secrets)
  return new HoldfastError(error.code, prefix + hide(error.message, secrets), {
    kind,
    backend: name,
    outcome: error.outcome,
    cause,
  })
}

async function wrap<K extends Kind>(target: Target<K>, made: object, common: Options): Promise<Stores[K]> {
  const problems = backendProblems(target.kind, made)
  if (problems.length > 0) throw failure(target, 'INVALID_BACKEND', problems.join('; '))
  const Store = await storeClass(target.kind)
  const { encryption, ...options } = common as EncryptableStoreOptions
  const backend = await guarded(target, made as Backends[K], encryption)
  return new Store(backend, { ...options, name: target.name })
}

/** The backend, encrypting with the keys, or, without, refusing to write among what is encrypted. */
async function guarded<K extends Kind>(
  target: Target<K>,
  backend: Backends[K],
  keys: EncryptableStoreOptions['encryption'],
): Promise<Backends[K]> {
  try {
    return await guardBackend(target.kind, backend, keys)
  } catch (error) {
    throw isHoldfastError(error) ? located(target, error) : error
  }
}

async function finished<K extends Kind>(
  target: Target<K>,
  made: { readonly kind: string },
  common: Options,
  taken: boolean,
): Promise<Stores[K]> {
  const problems = await storeProblems(target.kind, made)
  if (problems.length > 0) throw failure(target, 'INVALID_BACKEND', problems.join('; '))
  if (common['encryption'] !== undefined)
    throw failure(target, 'INVALID_OPTIONS', 'encryption cannot be applied: its factory makes a finished store, not a backend')
  const given = Object.keys(common).filter((name) => common[name] !== DEFAULT_WORKSPACE)
  if (taken || given.length === 0) return made as unknown as Stores[K]
  const who = 'its factory makes a finished store and does not read `context.storeOptions`'
  throw failure(target, 'INVALID_OPTIONS', `${given.join(', ')} cannot be applied: ${who}`)
}

/** Closes what was opened for nothing; where that fails too, both errors are told. */
async function closeAgain(target: Target<Kind>, made: object, error: unknown): Promise<void> {
  const close: unknown = Reflect.get(made, 'close')
  if (typeof close !== 'function') return
  try {
    await Reflect.apply(close, made, [])
  } catch (second) {
    const message = `${error instanceof Error ? error.message : String(error)}; closing it failed too`
    const cause = new AggregateError([error, safeCause(second, [])])
    throw located(target, new HoldfastError(isHoldfastError(error) ? error.code : 'INVALID_BACKEND', message, { cause }))
  }
}
