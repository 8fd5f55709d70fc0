/** The `holdfast` field of a package.json: what a package offers, read as hostile text. */
import type { Kind } from '../errors.ts'
import { API_VERSION } from '../store/api-version.ts'
import type { JsonObject, JsonValue } from '../store/contract.ts'
import { nearest, typeName } from '../store/text.ts'
import { isName, shown } from './names.ts'
import { isObject } from './packages.ts'

/** A package that declares backends. */
export interface DeclaringPackage {
  readonly name: string
  readonly version: string
  /** Absolute. */
  readonly directory: string
}

/** One backend that a package declares. */
export interface Declaration {
  readonly kind: Kind
  /** In lower case where it is a name, otherwise as declared. */
  readonly name: string
  readonly aliases: readonly string[]
  readonly package: DeclaringPackage
  /** Subpath of the package's exports, `.` or `./…`. */
  readonly subpath: string
  /** Name of the export, `default` where none is declared. */
  readonly exportName: string
  /** Why the declaration cannot be used. */
  readonly problem?: string
}

const FIELDS = {
  conversationStores: 'conversation',
  knowledgeStores: 'knowledge',
  stateStores: 'state',
} as const satisfies Record<string, Kind>
const VERSION_FIELD = 'apiVersion'
const MEMBERS = ['factory', 'aliases']
const MAX_BACKENDS = 100
const MAX_ALIASES = 20
const FACTORY = /^(\.(?:\/[^#]+)?)(?:#([A-Za-z_$][\w$]*))?$/

/** Everything that a package declares. `report` gets what is wrong with the field as a whole. */
export function readDeclarations(from: DeclaringPackage, field: JsonValue, report: (problem: string) => void): Declaration[] {
  if (!isObject(field)) {
    report(`its "holdfast" field must be an object, not ${typeName(field)}`)
    return []
  }
  const { [VERSION_FIELD]: version = API_VERSION, ...kinds } = field
  const problem = versionProblem(version)
  const declarations = Object.entries(kinds).flatMap(([key, declared]) => {
    if (!Object.hasOwn(FIELDS, key)) {
      report(`its "holdfast" field has an unknown member ${shown(key)}${hint(key)}`)
      return []
    }
    return readKind(from, FIELDS[key as keyof typeof FIELDS], key, declared, report)
  })
  return problem === undefined ? declarations : declarations.map((declaration) => ({ ...declaration, problem, aliases: [] }))
}

/** Left out, it is 1: the version that packages were written for before the field was needed. */
function versionProblem(version: JsonValue): string | undefined {
  if (version === API_VERSION) return undefined
  if (typeof version !== 'number' || !Number.isSafeInteger(version) || version < 1) {
    const given = typeof version === 'number' ? version : typeName(version)
    return `its "holdfast.${VERSION_FIELD}" must be a whole number such as ${API_VERSION}, not ${given}`
  }
  return `it is written for version ${version} of the contracts, and this Holdfast has ${API_VERSION}: update holdfast`
}

function hint(key: string): string {
  const near = key.length > 64 ? undefined : nearest(key, [...Object.keys(FIELDS), VERSION_FIELD])
  return near === undefined ? '' : `: did it mean "${near}"?`
}

function readKind(
  from: DeclaringPackage,
  kind: Kind,
  key: string,
  declared: JsonValue,
  report: (problem: string) => void,
): Declaration[] {
  if (!isObject(declared)) {
    report(`its "holdfast.${key}" must be an object, not ${typeName(declared)}`)
    return []
  }
  const entries = Object.entries(declared)
  if (entries.length > MAX_BACKENDS) {
    report(`its "holdfast.${key}" declares ${entries.length} backends; the first ${MAX_BACKENDS} count`)
  }
  return entries.slice(0, MAX_BACKENDS).map(([name, value]) => readDeclaration(from, kind, name, value))
}

function readDeclaration(from: DeclaringPackage, kind: Kind, name: string, value: JsonValue): Declaration {
  const declared: JsonObject = isObject(value) ? value : { factory: value }
  const { factory, aliases = [] } = declared
  const problem = problemOf(name, value, factory, aliases)
  const [, subpath = '.', exportName = 'default'] = (typeof factory === 'string' && FACTORY.exec(factory)) || []
  return {
    kind,
    name: isName(name) ? name.toLowerCase() : name,
    aliases: problem === undefined ? lowered(aliases as string[], name) : [],
    package: from,
    subpath,
    exportName,
    ...(problem === undefined ? {} : { problem }),
  }
}

function lowered(aliases: readonly string[], name: string): string[] {
  return [...new Set(aliases.map((alias) => alias.toLowerCase()))].filter((alias) => alias !== name.toLowerCase())
}

function problemOf(
  name: string,
  value: JsonValue,
  factory: JsonValue | undefined,
  aliases: JsonValue | undefined,
): string | undefined {
  if (!isName(name)) return 'its name must be 1–64 letters, digits, "_", "-" or ".", and begin with a letter or digit'
  if (typeof value !== 'string' && !isObject(value)) return `it must be a string or an object, not ${typeName(value)}`
  const stray = isObject(value) ? Object.keys(value).find((member) => !MEMBERS.includes(member)) : undefined
  if (stray !== undefined) return `it has an unknown member ${shown(stray)} (known: ${MEMBERS.join(', ')})`
  if (typeof factory !== 'string') return `its factory must be a string such as "./factory#createStore", not ${typeName(factory)}`
  if (!isFactory(factory)) return `its factory ${shown(factory)} must be a subpath of the package such as "./factory#createStore"`
  if (!Array.isArray(aliases) || aliases.length > MAX_ALIASES)
    return `its aliases must be an array of at most ${MAX_ALIASES} names`
  const bad = aliases.find((alias) => !isName(alias))
  return bad === undefined ? undefined : `its alias ${typeof bad === 'string' ? shown(bad) : typeName(bad)} is not a name`
}

/** Subpaths look like paths, but `..`, `node_modules` and escapes in them only serve to get out of the package. */
function isFactory(text: string): boolean {
  const subpath = text.length > 256 ? undefined : FACTORY.exec(text)?.[1]
  if (subpath === undefined || /[\\%\0]/.test(subpath)) return false
  return !subpath
    .slice(2)
    .split('/')
    .some((part) => ['..', '.', 'node_modules'].includes(part))
}
