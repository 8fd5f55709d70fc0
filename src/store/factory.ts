/** How a backend is made: what every backend file exports, what a catalogue lists, and what the registries call. */
import type { Kind } from '../errors.ts'
import type { StoreOptions } from './contract.ts'
import type { OptionSpec, OptionsSchema } from './options.ts'

/** What a factory gets besides its checked options. */
export interface FactoryContext {
  readonly kind: Kind
  /** Canonical name under which the backend was asked for. */
  readonly name: string
  /**
   * The options of the store around the backend (`workspace`, `timeoutMs` …), which the registry applies itself. A factory that makes a
   * finished store reads them here and applies them; one that does not is refused when some were given.
   */
  readonly storeOptions?: StoreOptions | undefined
  /** Imports an optional client library; `MISSING_CLIENT` with the install command where it is not there. */
  loadClient<T>(packageName: string): Promise<T>
}

export interface BackendFactory<O extends object, B> {
  (options: O, context: FactoryContext): B | Promise<B>
  /** Where present, the registry checks the options against it before the call. A factory without one gets them unchecked. */
  readonly schema?: OptionsSchema<O>
}

/** A factory whose options the registry checks: unknown, missing and wrong ones are all listed in one `INVALID_OPTIONS`. */
export function defineBackend<O extends object, B>(
  schema: OptionsSchema<O>,
  create: (options: O, context: FactoryContext) => B | Promise<B>,
): BackendFactory<O, B> {
  return Object.assign((options: O, context: FactoryContext) => create(options, context), { schema })
}

/** A factory whose options are no longer known to the compiler. */
export interface AnyFactory<B = unknown> {
  (options: never, context: FactoryContext): B | Promise<B>
  readonly schema?: Readonly<Record<string, OptionSpec>>
}

/** The npm package that a backend talks to its engine with. */
export interface ClientPackage {
  readonly package: string
  /** The versions that the backend is tested with, e.g. `^8`. */
  readonly range: string
}

/** The tables of one store on an SQL engine, seen without opening the store. */
export interface StoreTables {
  /** Where they are, with nothing secret in it. */
  readonly place: string
  /** The version that this Holdfast works with. */
  readonly version: number
  /** The version that is there, 0 where there are no tables yet; it creates nothing. */
  found(): Promise<number>
  /** The statements that lead from a version, default 0, to this one, and note it. From a newer one: `UNSUPPORTED`. */
  sql(from?: number): string[]
  /** Runs them, in one transaction and under a lock; where the tables are up to date, nothing. */
  apply(): Promise<void>
}

/** What the file of a built-in backend exports. */
export interface BackendModule<B = unknown> {
  readonly create: AnyFactory<B>
  /** The tables of a store with these options, which are checked; undefined where it would keep none on disk. Left out by what has no tables. */
  readonly tables?: (options: never, context: Pick<FactoryContext, 'loadClient'>) => StoreTables | undefined
  /** What its stores can do, known without opening one; left out where that depends on the engine that it meets. */
  readonly capabilities?: B extends { readonly capabilities: infer C } ? C : object
}

/** One line of a catalogue of built-in backends. */
export interface CatalogueLine<B = unknown> {
  readonly aliases?: readonly string[]
  /** URL schemes that mean this backend where only a URL is given. */
  readonly schemes?: readonly string[]
  /** The file or folder in `dir` that an embedded backend keeps its data in; it takes the options `path` and `durability`. */
  readonly place?: string
  /** Left out where the backend needs nothing but Node. */
  readonly client?: ClientPackage
  /** Imports the backend's file; it runs when a store is first created. */
  readonly load?: () => Promise<BackendModule<B>>
  /** The name is reserved, and the backend is not built yet. */
  readonly planned?: true
}

export type Catalogue<B = unknown> = Readonly<
  Record<string, CatalogueLine<B> & ({ readonly load: object } | { readonly planned: true })>
>
