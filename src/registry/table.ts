/** Names and aliases that are certain: the built-in backends and those registered at run time. */
import { HoldfastError, type Kind } from '../errors.ts'
import type { AnyFactory, BackendModule, Catalogue, ClientPackage } from '../store/factory.ts'
import { once } from './once.ts'

/** Where a backend comes from. */
export type Origin = 'built-in' | 'runtime' | { readonly package: string; readonly version: string }

/** A backend as a registry knows it. */
export interface Registration {
  /** Canonical. */
  readonly name: string
  readonly origin: Origin
  readonly planned: boolean
  readonly client?: ClientPackage | undefined
  readonly schemes?: readonly string[] | undefined
  readonly place?: string | undefined
  /** Folder of the package that it comes from; client libraries are looked for there first. */
  readonly directory?: string | undefined
  load(): Promise<AnyFactory>
  /** What its file declares. Only built-in backends have it: nobody else's code runs before `create`. */
  capabilities?(): Promise<object | undefined>
  /** What its file says of tables, for options that were checked. */
  tables?(): Promise<BackendModule['tables']>
}

export class NameTable {
  readonly #kind: Kind
  readonly #names = new Map<string, Registration>()
  readonly #aliases = new Map<string, string>()

  constructor(kind: Kind, catalogue: Catalogue = {}) {
    this.#kind = kind
    for (const [name, line] of Object.entries(catalogue)) this.add(fromLine(name, line), line.aliases ?? [], false)
  }

  /** Whoever holds the text as a name or as an alias. */
  holder(text: string): Registration | undefined {
    return this.#names.get(text) ?? this.#names.get(this.#aliases.get(text) ?? '')
  }

  registrations(): IterableIterator<Registration> {
    return this.#names.values()
  }

  /** Sorted. */
  aliasesOf(name: string): string[] {
    return [...this.#aliases]
      .filter(([, canonical]) => canonical === name)
      .map(([alias]) => alias)
      .toSorted()
  }

  /**
   * Adds a backend under its name and aliases, all of them or, on `BACKEND_EXISTS`, none. With `override` former holders lose what is taken:
   * an alias goes to the new one, a replaced name keeps its aliases, and a name that becomes an alias loses its own.
   */
  add(registration: Registration, aliases: readonly string[], override: boolean): void {
    const { name } = registration
    for (const text of [name, ...aliases]) {
      const holder = this.holder(text)
      if (holder !== undefined && !override && !isSamePackage(holder, registration)) throw this.#taken(text, holder)
    }
    this.#aliases.delete(name)
    this.#names.set(name, registration)
    for (const alias of aliases) {
      if (this.#names.delete(alias)) this.#dropAliases(alias)
      this.#aliases.set(alias, name)
    }
  }

  #dropAliases(name: string): void {
    for (const alias of this.aliasesOf(name)) this.#aliases.delete(alias)
  }

  #taken(text: string, holder: Registration): HoldfastError {
    const how = holder.name === text ? 'a' : `an alias of "${holder.name}", a`
    return new HoldfastError(
      'BACKEND_EXISTS',
      `"${text}" is ${how} ${describeOrigin(holder)} ${this.#kind} backend; { override: true } replaces it`,
      {
        kind: this.#kind,
        backend: holder.name,
      },
    )
  }
}

function fromLine(name: string, { load, planned, client, schemes, place }: Catalogue[string]): Registration {
  const file = once(async () => {
    if (load === undefined) throw new HoldfastError('UNSUPPORTED', 'it is planned and not built yet')
    return load()
  })
  return {
    name,
    origin: 'built-in',
    planned: planned === true,
    client,
    schemes,
    place,
    load: async () => (await file()).create,
    capabilities: async () => (await file()).capabilities,
    tables: async () => (await file()).tables,
  }
}

/** The same name from the same package replaces itself, so that a module that is evaluated twice does no harm. */
function isSamePackage(a: Registration, b: Registration): boolean {
  return (
    a.name === b.name && typeof a.origin === 'object' && typeof b.origin === 'object' && a.origin.package === b.origin.package
  )
}

/** `built-in`, `built-in, planned`, `runtime` …, or the package. */
export function describeOrigin({ origin, planned }: Pick<Registration, 'origin' | 'planned'>): string {
  if (typeof origin === 'object') return origin.version === '' ? origin.package : `${origin.package}@${origin.version}`
  return planned ? `${origin} (planned)` : origin
}
