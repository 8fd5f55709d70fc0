/** `holdfast backends`: every name that the registries know, derived from them. */
import { discoveryProblems, KINDS, type BackendInfo, type Kind, type Origin } from '../../index.ts'
import { useAppRoot, type GlobalOptions } from '../globals.ts'
import { openRegistered, opensInMemory, REGISTRIES, type AnyStore } from '../registered.ts'
import { out, printable, printJson, styled, table } from '../terminal.ts'

export interface BackendsOptions extends GlobalOptions {
  readonly kind?: Kind
  readonly json?: boolean
}

/** What the registry knows, and the capabilities where they are known without a connection. */
type Listed = BackendInfo & { readonly capabilities: object | null }

export async function backends(options: BackendsOptions): Promise<number> {
  const appRoot = useAppRoot()
  const kinds = options.kind === undefined ? KINDS : [options.kind]
  const infos = kinds.flatMap((kind) => REGISTRIES[kind].describe())
  const listed = await Promise.all(infos.map(async (info) => ({ ...info, capabilities: await capabilitiesOf(info) })))
  const problems = discoveryProblems()
  if (options.json === true) {
    printJson({ appRoot, backends: listed, problems })
    return 0
  }
  for (const kind of kinds)
    printKind(
      kind,
      listed.filter((info) => info.kind === kind),
    )
  for (const { package: name, problem } of problems) out(`${styled('yellow', 'problem')}  ${printable(`${name}: ${problem}`)}\n`)
  return 0
}

/** Those of the backends that live in this process are read off an instance in memory. No package's code runs for a list. */
async function capabilitiesOf({ kind, name, origin, available, client }: BackendInfo): Promise<object | null> {
  if (origin !== 'built-in' || !available || client !== undefined) return null
  const open = (options: object): Promise<AnyStore> => openRegistered(kind, name, options)
  await using store = await open((await opensInMemory(open)) ? { path: ':memory:' } : {})
  return store.capabilities
}

function printKind(kind: Kind, infos: readonly Listed[]): void {
  out(`${styled('bold', kind)}\n`)
  const rows = infos.map((info) => [
    printable(info.name),
    stateOf(info),
    originOf(info.origin),
    clientOf(info),
    info.aliases.map(printable).join(', '),
  ])
  out(table([['name', 'status', 'from', 'client', 'aliases'], ...rows], '  '))
  for (const info of infos) {
    if (info.capabilities !== null) out(styled('dim', `  ${info.name}: ${capabilityText(info.capabilities)}\n`))
  }
  for (const { name, problem } of infos)
    if (problem !== undefined) out(`  ${styled('red', printable(name))}: ${printable(problem)}\n`)
  out('\n')
}

function stateOf({ planned, available, client }: BackendInfo): string {
  if (planned) return 'planned'
  if (!available) return 'broken'
  return client !== undefined && client.installed === undefined ? 'client missing' : 'ready'
}

function originOf(origin: Origin): string {
  if (typeof origin === 'string') return origin
  return printable(origin.version === '' ? origin.package : `${origin.package}@${origin.version}`)
}

function clientOf({ client }: BackendInfo): string {
  if (client === undefined) return '–'
  return `${client.package}@${client.range}${client.installed === undefined ? '' : ` (installed ${client.installed})`}`
}

function capabilityText(capabilities: object): string {
  return Object.entries(capabilities)
    .map(([name, value]: [string, unknown]) => {
      if (typeof value === 'boolean') return value ? name : `no ${name}`
      return typeof value === 'object' && value !== null ? `${name} (${capabilityText(value)})` : `${name} ${String(value)}`
    })
    .join(', ')
}
