/** Names that installed packages claim: uncertain, because two may claim one, and a registered backend comes first. */
import type { ErrorCode, Kind } from '../errors.ts'
import type { Declaration } from './declarations.ts'
import { ascii, shown } from './names.ts'
import { once } from './once.ts'
import { describeOrigin, type NameTable, type Registration } from './table.ts'

/** Why a declared backend cannot be created. */
export interface Verdict {
  readonly code: Extract<ErrorCode, 'BACKEND_EXISTS' | 'INVALID_BACKEND'>
  readonly problem: string
}

export class DiscoveredNames {
  readonly #kind: Kind
  readonly #table: NameTable
  readonly #claims = new Map<string, Declaration[]>()
  readonly #registrations = new Map<Declaration, Registration>()

  constructor(kind: Kind, table: NameTable, declarations: readonly Declaration[]) {
    this.#kind = kind
    this.#table = table
    for (const declaration of declarations) {
      if (declaration.kind !== kind) continue
      this.#registrations.set(declaration, toRegistration(declaration))
      for (const text of [declaration.name, ...declaration.aliases]) this.#claim(text, declaration)
    }
  }

  #claim(text: string, declaration: Declaration): void {
    const claimants = this.#claims.get(text)
    if (claimants === undefined) this.#claims.set(text, [declaration])
    else claimants.push(declaration)
  }

  all(): IterableIterator<[Declaration, Registration]> {
    return this.#registrations.entries()
  }

  /** Who is meant by a text that the table does not hold, and what stands against it. */
  find(text: string): { registration: Registration; verdict: Verdict | undefined } | undefined {
    const claimants = this.#claims.get(text) ?? []
    const declaration = claimants.find((claimant) => claimant.problem === undefined) ?? claimants[0]
    if (declaration === undefined) return undefined
    return { registration: this.#registrations.get(declaration)!, verdict: this.#dispute(text) ?? this.verdict(declaration) }
  }

  /** What stands against a declaration under its own name. */
  verdict(declaration: Declaration): Verdict | undefined {
    const { name, problem } = declaration
    if (problem !== undefined)
      return { code: 'INVALID_BACKEND', problem: `${declaration.package.name} declares it, but ${problem}` }
    const holder = this.#table.holder(name)
    if (holder !== undefined) {
      const problem = `${declaration.package.name} declares ${shown(name)}, which is taken: ${describeOrigin(holder)} "${holder.name}"`
      return { code: 'INVALID_BACKEND', problem }
    }
    return this.#dispute(name)
  }

  /** The aliases of a declaration by which it can be reached, and why not by the others. */
  aliases(declaration: Declaration): { aliases: string[]; problems: string[] } {
    const aliases: string[] = []
    const problems: string[] = []
    for (const alias of declaration.aliases) {
      const holder = this.#table.holder(alias)
      const problem =
        holder === undefined
          ? this.#dispute(alias)?.problem
          : `its alias "${alias}" is taken: ${describeOrigin(holder)} "${holder.name}"`
      if (problem === undefined) aliases.push(alias)
      else problems.push(problem)
    }
    return { aliases: aliases.toSorted(), problems }
  }

  #dispute(text: string): Verdict | undefined {
    const claimants = (this.#claims.get(text) ?? []).filter((claimant) => claimant.problem === undefined)
    if (claimants.length < 2) return undefined
    const who = claimants.map((claimant) => `${claimant.package.name} (as "${claimant.name}")`).join(' and ')
    const remedy = `deny one of them with configureDiscovery, or register the one you mean`
    return { code: 'BACKEND_EXISTS', problem: `the ${this.#kind} name "${text}" is claimed by ${who}; ${remedy}` }
  }
}

function toRegistration(declaration: Declaration): Registration {
  const { name, version, directory } = declaration.package
  return {
    name: declaration.name,
    origin: { package: name, version: ascii(version.slice(0, 64)) },
    planned: false,
    directory,
    load: once(async () => (await import('./entry-point.ts')).loadEntryPoint(declaration)),
  }
}
