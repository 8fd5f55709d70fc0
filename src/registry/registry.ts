/** A registry of one kind of store: names in, open stores out. */
import { HoldfastError, isHoldfastError, KINDS, type Kind } from '../errors.ts'
import type { BackendFactory, Catalogue, ClientPackage, StoreTables } from '../store/factory.ts'
import { nearest, typeName } from '../store/text.ts'
import type { BackendName, CreateOptions } from './backends.ts'
import { declaredRange, installedVersion } from './client-search.ts'
import type { Backends, Stores } from './contract-check.ts'
import type { Declaration } from './declarations.ts'
import { DiscoveredNames } from './discovered.ts'
import type { Discovered, Discovery, PackageProblem } from './discovery.ts'
import { failure } from './failure.ts'
import { checkName, shown } from './names.ts'
import { describeOrigin, NameTable, type Origin, type Registration } from './table.ts'
import { schemeOf } from './url.ts'

export interface RegisterOptions {
  /** Other names for the same backend. */
  readonly aliases?: readonly string[] | undefined
  /** Replaces whoever holds the name or an alias. Default false. */
  readonly override?: boolean | undefined
  /** The package that the backend comes from; it may register the same name again, e.g. when its module is evaluated twice. */
  readonly package?: { readonly name: string; readonly version: string } | undefined
}

/** What a registry knows of one backend, as `holdfast backends --json` shows it. */
export interface BackendInfo {
  readonly kind: Kind
  readonly name: string
  readonly aliases: readonly string[]
  readonly origin: Origin
  /** Reserved, and not built yet. */
  readonly planned: boolean
  /** `create` will try it: it is built, and nothing stands against its name. */
  readonly available: boolean
  /** The client library that it needs; `installed` is the version that is there. */
  readonly client?: ClientPackage & { readonly installed?: string }
  /** What is wrong with the declaration, or with some of its aliases. */
  readonly problem?: string
}

type OptionsArgument<O> = {} extends O ? [options?: O] : [options: O]

/**
 * An own registry is empty and sees no packages, unless it is given a catalogue or a discovery; nothing reaches the global ones from it or it
 * from them.
 */
export class StoreRegistry<K extends Kind> {
  readonly kind: K
  readonly #table: NameTable
  readonly #discovery: Discovery | undefined
  #seen: { readonly found: Discovered; readonly names: DiscoveredNames } | undefined

  constructor(kind: K, options: { readonly catalogue?: Catalogue | undefined; readonly discovery?: Discovery | undefined } = {}) {
    if (!KINDS.includes(kind))
      throw new TypeError(
        `a registry is of kind ${KINDS.join(', ')}, not ${typeof kind === 'string' ? shown(kind) : typeName(kind)}`,
      )
    this.kind = kind
    this.#table = new NameTable(kind, options.catalogue)
    this.#discovery = options.discovery
  }

  /**
   * Adds a backend under a name and its aliases, all of them or none. Text that is a name or an alias already: `BACKEND_EXISTS`, unless
   * `override`; what a package declares may always be replaced.
   */
  register<O extends object>(
    name: string,
    factory: BackendFactory<O, Backends[K] | Stores[K]>,
    options: RegisterOptions = {},
  ): void {
    const canonical = checkName(name, 'name')
    if (typeof factory !== 'function')
      throw new TypeError(`the factory of "${canonical}" must be a function, not ${typeName(factory)}`)
    const { aliases = [], override = false, package: from } = options
    if (!Array.isArray(aliases)) throw new TypeError(`aliases must be an array, not ${typeName(aliases)}`)
    const others = new Set(aliases.map((alias: unknown) => checkName(alias, 'alias')))
    others.delete(canonical)
    const origin: Origin = from === undefined ? 'runtime' : { package: from.name, version: from.version }
    this.#table.add({ name: canonical, origin, planned: false, load: () => Promise.resolve(factory) }, [...others], override)
  }

  /**
   * Opens a store on the backend of that name or alias; upper and lower case are the same. Nothing is imported before. `UNKNOWN_BACKEND`,
   * `INVALID_OPTIONS` with every problem, `MISSING_CLIENT` with the install command, `INVALID_BACKEND`, `UNSUPPORTED` where it is only
   * planned, or what the engine says.
   */
  async create<const N extends BackendName<K>>(name: N, ...[options]: OptionsArgument<CreateOptions<K, N>>): Promise<Stores[K]> {
    const registration = this.#find(name)
    const factory = await this.#attempt(registration, () => registration.load())
    const { openStore } = await import('./open.ts')
    const { kind } = this
    const loadClient = <T>(specifier: string): Promise<T> => this.#loadClient(registration, specifier)
    return openStore({ kind, name: registration.name, loadClient }, factory, options === undefined ? {} : options)
  }

  /** Canonical names of the backends that `create` will try, sorted. */
  listRegistered(): string[] {
    return this.#known().flatMap(({ available, name }) => (available ? [name] : []))
  }

  /** The aliases of those backends: `{ alias: canonical }`, sorted. */
  listAliases(): Record<string, string> {
    const usable = this.#known().filter(({ available }) => available)
    const pairs = usable.flatMap(({ name, aliases }) => aliases.map((alias) => [alias, name] as const))
    return Object.fromEntries(pairs.toSorted(([a], [b]) => compare(a, b)))
  }

  /** Everything that is known by a name, planned and broken ones included, sorted by name; looks whether client libraries are installed. */
  describe(): BackendInfo[] {
    return this.#known().map((info) => {
      const { client } = info
      const installed = client === undefined ? undefined : installedVersion(client, { appRoot: this.#discovery?.appRoot })
      return client === undefined || installed === undefined ? info : { ...info, client: { ...client, installed } }
    })
  }

  /**
   * What the stores of a backend can do, by its name or alias, without opening one. Undefined where only an open store tells: for backends
   * that are registered or come from packages. Otherwise it fails as `create` does before it opens anything.
   */
  async capabilities(name: string): Promise<Stores[K]['capabilities'] | undefined> {
    const registration = this.#find(name)
    return this.#attempt(registration, async () => registration.capabilities?.()) as Promise<
      Stores[K]['capabilities'] | undefined
    >
  }

  /**
   * The tables that a backend would keep on an SQL engine with these options, without opening a store. Undefined where it keeps none: nothing
   * in memory or in plain files, and for backends of packages, of which only their own tools know.
   */
  async tables(name: string, options: object = {}): Promise<StoreTables | undefined> {
    const registration = this.#find(name)
    const tables = await this.#attempt(registration, async () => registration.tables?.())
    if (tables === undefined) return undefined
    const { ownOptions } = await import('./open.ts')
    const target = { kind: this.kind, name: registration.name }
    const context = { loadClient: <T>(specifier: string) => this.#loadClient<T>(registration, specifier) }
    return tables(ownOptions(target, await registration.load(), options) as never, context)
  }

  /**
   * The backend that a URL or a path stands for: by its scheme, by a scheme that is a backend's name, or by a path that ends in `.db`,
   * `.sqlite` or `.sqlite3`. Undefined where nothing is certain.
   */
  backendForUrl(url: string): string | undefined {
    const scheme = schemeOf(url)
    if (scheme === undefined) return undefined
    const byScheme = [...this.#table.registrations()].find(({ schemes }) => schemes?.includes(scheme))
    return (byScheme ?? this.#table.holder(scheme) ?? this.#discovered().find(scheme)?.registration)?.name
  }

  /** The file or folder that an embedded backend, by name or alias, keeps its data in below a common one; undefined for every other. */
  placeOf(name: string): string | undefined {
    return this.#table.holder(name.toLowerCase())?.place
  }

  #discovered(): DiscoveredNames {
    const found = this.#discovery?.found ?? NOTHING
    if (this.#seen?.found !== found)
      this.#seen = { found, names: new DiscoveredNames(this.kind, this.#table, found.declarations) }
    return this.#seen.names
  }

  #find(name: string): Registration {
    if (typeof name !== 'string') throw new TypeError(`the name of a backend must be a string, not ${typeName(name)}`)
    const text = name.toLowerCase()
    const certain = this.#table.holder(text)
    if (certain?.planned === true) throw this.#planned(certain)
    if (certain !== undefined) return certain
    const declared = this.#discovered().find(text)
    if (declared === undefined) throw this.#unknown(name)
    const { registration, verdict } = declared
    if (verdict !== undefined) throw failure({ kind: this.kind, name: registration.name }, verdict.code, verdict.problem)
    return registration
  }

  /** Loads something of a backend; the error says of which. */
  async #attempt<T>({ name }: Registration, load: () => Promise<T>): Promise<T> {
    try {
      return await load()
    } catch (error) {
      if (!isHoldfastError(error)) throw error
      throw failure({ kind: this.kind, name }, error.code, error.message, { cause: error.cause })
    }
  }

  async #loadClient<T>({ client, directory }: Registration, specifier: string): Promise<T> {
    const range = client?.package === specifier ? client.range : declaredRange(specifier, directory)
    const { loadClient } = await import('./clients.ts')
    return loadClient<T>(specifier, range, { directory, appRoot: this.#discovery?.appRoot })
  }

  #known(): BackendInfo[] {
    const certain = [...this.#table.registrations()].map((registration) => this.#infoOfCertain(registration))
    const declared = [...this.#discovered().all()].map(([declaration, registration]) =>
      this.#infoOfDeclared(declaration, registration),
    )
    return [...certain, ...declared].toSorted((a, b) => compare(a.name, b.name))
  }

  #infoOfCertain({ name, origin, planned, client }: Registration): BackendInfo {
    const info = { kind: this.kind, name, aliases: this.#table.aliasesOf(name), origin, planned, available: !planned }
    return client === undefined ? info : { ...info, client }
  }

  #infoOfDeclared(declaration: Declaration, { name, origin }: Registration): BackendInfo {
    const names = this.#discovered()
    const verdict = names.verdict(declaration)
    const { aliases, problems } = names.aliases(declaration)
    const all = verdict === undefined ? problems : [verdict.problem, ...problems]
    const info = { kind: this.kind, name, aliases, origin, planned: false, available: verdict === undefined }
    return all.length === 0 ? info : { ...info, problem: all.join('; ') }
  }

  #planned({ name }: Registration): HoldfastError {
    return failure(
      { kind: this.kind, name },
      'UNSUPPORTED',
      `it is planned and not built yet; working: ${this.listRegistered().join(', ')}`,
    )
  }

  #unknown(name: string): HoldfastError {
    const infos = this.#known()
    const names = infos.flatMap((info) => [info.name, ...info.aliases])
    const near = name.length > MAX_NAME ? undefined : nearest(name, names)
    const parts = [
      `unknown ${this.kind} backend ${shown(name)}.`,
      near === undefined ? '' : ` Did you mean ${shown(near)}?`,
      name.includes(':') ? ' To open a URL, name the backend and give it { url }.' : '',
      ...listings(infos),
      list('Packages with problems', (this.#discovery?.found.problems ?? []).slice(0, MAX_PROBLEMS).map(showProblem)),
    ]
    return new HoldfastError('UNKNOWN_BACKEND', parts.join(''), { kind: this.kind })
  }
}

const NOTHING: Discovered = { appRoot: undefined, declarations: [], problems: [] }

const MAX_NAME = 64
const MAX_PROBLEMS = 5

/** All names of a registry, by what can be done with them. */
function listings(infos: readonly BackendInfo[]): string[] {
  const broken = infos.filter(({ planned, available }) => !planned && !available)
  return [
    list('Registered', infos.filter(({ available }) => available).map(withAliases)),
    list('Planned', infos.filter(({ planned }) => planned).map(withAliases)),
    list(
      'Not usable',
      broken.map((info) => `${shown(info.name)} of ${describeOrigin(info)}`),
    ),
  ]
}

function list(title: string, items: readonly string[]): string {
  return items.length === 0 ? '' : ` ${title}: ${items.join(', ')}.`
}

function withAliases({ name, aliases }: BackendInfo): string {
  return aliases.length === 0 ? name : `${name} (${aliases.join(', ')})`
}

function showProblem(found: PackageProblem): string {
  return `${found.package} (${found.problem})`
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
