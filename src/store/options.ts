/** Options of backends: their description, which the registry checks and the documentation shows. */
import { HoldfastError } from '../errors.ts'
import { nearest, typeName } from './text.ts'

export interface OptionSpec {
  /** `any`: an injected client or another object that only the backend can judge. */
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'object' | 'function' | 'any'
  /** One line, for the documentation and `holdfast backends --json`. */
  readonly description: string
  readonly required?: boolean
  readonly default?: string | number | boolean
  /** The only values allowed. */
  readonly choices?: readonly string[]
  readonly min?: number
  readonly max?: number
  /** What is wrong with a value of the right type, continuing the option's name and not showing the value; undefined where it is right. */
  readonly check?: (value: never) => string | undefined
  /** Never shown. */
  readonly secret?: boolean
  /** The engine's own environment variable that completes this option when the backend was chosen without it, e.g. `PGPASSWORD`. */
  readonly env?: string
}

export type OptionsSchema<O> = { readonly [K in keyof O]-?: OptionSpec }

/** Checks options against a schema and fills in environment values and defaults. Every problem is listed in one `INVALID_OPTIONS`; no value is shown. */
export function checkOptions<O extends object>(
  schema: OptionsSchema<O>,
  given: unknown,
  what: string,
  env: Readonly<Record<string, string | undefined>> = {},
): O {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new TypeError(`options of ${what} must be an object, not ${typeName(given)}`)
  }
  const specs = Object.entries<OptionSpec>(schema)
  const names = specs.map(([name]) => name)
  const problems = Object.keys(given)
    .filter((name) => !Object.hasOwn(schema, name))
    .map((name) => unknownOption(name, names))
  const checked: Record<string, unknown> = {}
  for (const [name, spec] of specs) {
    const own = (given as Record<string, unknown>)[name]
    const fromEnv = own === undefined ? envValue(spec, env) : undefined
    const value = own === undefined ? (fromEnv ?? spec.default) : own
    const problem = value === undefined ? missing(spec) : (wrong(spec, value) ?? spec.check?.(value as never))
    if (problem !== undefined) problems.push(`${name} ${problem}${fromEnv === undefined ? '' : ` (from ${spec.env})`}`)
    if (value !== undefined) checked[name] = value
  }
  if (problems.length > 0) throw new HoldfastError('INVALID_OPTIONS', `${what}: ${problems.join('; ')}`)
  return checked as O
}

const SWITCHES = new Map([
  ...['1', 'true', 'yes', 'on'].map((text) => [text, true] as const),
  ...['0', 'false', 'no', 'off'].map((text) => [text, false] as const),
])

/** The variable that completes the option, as the option's type. Text that is not of the type stays text, for `wrong` to refuse. */
function envValue(spec: OptionSpec, env: Readonly<Record<string, string | undefined>>): string | number | boolean | undefined {
  const text = spec.env === undefined ? undefined : env[spec.env]
  if (text === undefined || text === '') return undefined
  if (spec.type === 'boolean') return SWITCHES.get(text.toLowerCase()) ?? text
  if (spec.type !== 'integer' && spec.type !== 'number') return text
  return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text)
}

function unknownOption(name: string, names: readonly string[]): string {
  const near = nearest(name, names)
  return `unknown option "${name}"${near === undefined ? ` (known: ${names.join(', ')})` : `: did you mean "${near}"?`}`
}

function missing(spec: OptionSpec): string | undefined {
  return spec.required === true ? `is required: ${spec.description}` : undefined
}

function wrong(spec: OptionSpec, value: unknown): string | undefined {
  switch (spec.type) {
    case 'any':
      return undefined
    case 'integer':
    case 'number':
      return wrongNumber(spec, value)
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value) ? undefined : expected('an object', value)
    default:
      if (typeof value !== spec.type) return expected(`a ${spec.type}`, value)
      return spec.choices === undefined || spec.choices.includes(value as string)
        ? undefined
        : `must be one of ${spec.choices.join(', ')}`
  }
}

function wrongNumber(spec: OptionSpec, value: unknown): string | undefined {
  const kind = spec.type === 'integer' ? 'an integer' : 'a number'
  if (typeof value !== 'number' || Number.isNaN(value) || (spec.type === 'integer' && !Number.isSafeInteger(value))) {
    return expected(kind, value)
  }
  if (spec.min !== undefined && value < spec.min) return `must be at least ${spec.min}`
  return spec.max !== undefined && value > spec.max ? `must be at most ${spec.max}` : undefined
}

function expected(kind: string, value: unknown): string {
  return `must be ${kind}, not ${typeName(value)}`
}
