/** What `holdfast conform` tries: a module's factory or a registered backend, and the cases of its kind. */
import { access } from 'node:fs/promises'
import { basename, extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { conversationCases, knowledgeCases, stateCases, type ConformanceCase, type Harness } from '../../conformance/index.ts'
import { HoldfastError, StoreRegistry, type BackendFactory, type Kind } from '../../index.ts'
import { Failure } from '../failure.ts'
import { openRegistered, opensInMemory, REGISTRIES, type AnyStore } from '../registered.ts'

export type StoreCase = ConformanceCase<AnyStore>

const CASES = { conversation: conversationCases, knowledge: knowledgeCases, state: stateCases }

/** A case works on stores of its own kind, and gets no others. */
export function casesOf(kind: Kind): readonly StoreCase[] {
  return CASES[kind] as unknown as readonly StoreCase[]
}

export interface Candidate {
  readonly kind: Kind
  open(options: object): Promise<AnyStore>
  /** The harness that the module brings itself. */
  readonly harness: Harness<AnyStore> | undefined
  /** Takes `path`: a file of its own for each case is then the default. */
  takesPath(): Promise<boolean>
}

export async function loadCandidate(kind: Kind, backend: string): Promise<Candidate> {
  const [file, name] = splitAtHash(backend)
  if (!/^\.{0,2}[/\\]|^file:/.test(file) && !/\.[cm]?[jt]s$/.test(file)) return registered(kind, backend)
  const module = await importModule(file)
  const harness = module['harness'] as Harness<AnyStore> | undefined
  const factory = pickFactory(module, name, backend, harness !== undefined)
  const registry = new StoreRegistry(kind)
  const called = /^[a-z0-9][a-z0-9_.-]{0,63}$/i.exec(basename(file, extname(file)))?.[0] ?? 'backend'
  if (factory !== undefined) registry.register(called, factory as never)
  return {
    kind,
    open: (options) => registry.create(called, options as never),
    harness,
    takesPath: async () => Object.hasOwn(factory?.schema ?? {}, 'path'),
  }
}

function splitAtHash(text: string): [string, string | undefined] {
  const at = text.indexOf('#')
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

function registered(kind: Kind, name: string): Candidate {
  const open = (options: object): Promise<AnyStore> => openRegistered(kind, name, options)
  const info = REGISTRIES[kind]
    .describe()
    .find((info) => info.name === name.toLowerCase() || info.aliases.includes(name.toLowerCase()))
  return {
    kind,
    open,
    harness: undefined,
    // Only a built-in one checks its options for certain, and so refuses a path that it would not use.
    takesPath: async () => info?.origin === 'built-in' && (await opensInMemory(open)),
  }
}

async function importModule(file: string): Promise<Record<string, unknown>> {
  const url = file.startsWith('file:') ? new URL(file) : pathToFileURL(resolve(file))
  await access(url).catch(() => {
    throw new Failure(
      'NOT_FOUND',
      `there is no module ${url.pathname}`,
      'Check the path; a relative one counts from the working directory.',
    )
  })
  try {
    return (await import(url.href)) as Record<string, unknown>
  } catch (cause) {
    throw new HoldfastError('INVALID_BACKEND', `the module ${url.pathname} cannot be loaded: ${(cause as Error).message}`, {
      cause,
    })
  }
}

const USUAL_NAMES = ['default', 'create', 'createStore', 'createBackend']

/** The named export, else one under a usual name, else the only function there is. */
function pickFactory(
  module: Record<string, unknown>,
  name: string | undefined,
  backend: string,
  optional: boolean,
): BackendFactory<object, unknown> | undefined {
  const functions = Object.keys(module).filter((key) => typeof module[key] === 'function')
  const only = functions.length === 1 ? functions[0] : undefined
  const chosen = name ?? USUAL_NAMES.find((usual) => functions.includes(usual)) ?? only
  if (chosen !== undefined && functions.includes(chosen)) return module[chosen] as BackendFactory<object, unknown>
  if (optional && name === undefined) return undefined
  const there = functions.length === 0 ? 'it exports no function' : `it exports ${functions.join(', ')}`
  throw new HoldfastError(
    'INVALID_BACKEND',
    `${backend} has no factory ${name ?? 'that is certain'}: ${there}; name one as ./module.ts#name`,
  )
}
