/** `holdfast backends`: every name that the registries know, derived from them. */
import { discoveryProblems, KINDS, type BackendInfo, type Kind, type Origin } from '../../index.ts'
import { useAppRoot, type GlobalOptions } from '../globals.ts'
import { REGISTRIES } from '../registered.ts'
import { out, printable, printJson, styled, table } from '../terminal.ts'

export interface BackendsOptions extends GlobalOptions {
  readonly kind?: Kind
  readonly json?: boolean
}

/** What the registry knows, and the capabilities that are known without a connection; null for those of packages, whose code does not run for a list. */
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

async function capabilitiesOf({ kind, name, available }: BackendInfo): Promise<object | null> {
  return available ? ((await REGISTRIES[kind].capabilities(name)) ?? null) : null
}

function printKind(kind: Kind, infos: readonly Listed[]): void {
  out(`${styled('bold', kind)}\n`)
  // What works is what people look for.
  const rows = [...infos.filter(({ planned }) => !planned), ...infos.filter(({ planned }) => planned)].map((info) => [
    printable(info.name),
    stateOf(info),
    originOf(info.origin),
    clientOf(info),
    info.aliases.map(printable).join(', '),
  ])
  out(table([['name', 'status', 'from', 'client', 'aliases'], ...rows], '  '))
  for (const [text, names] of capabilityTexts(infos)) out(styled('dim', `  ${names.join(', ')}: ${text}\n`))
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

/** Each text once, with the backends that it is about. */
function capabilityTexts(infos: readonly Listed[]): Map<string, string[]> {
  const texts = new Map<string, string[]>()
  for (const { name, capabilities } of infos) {
    if (capabilities === null) continue
    const text = capabilityText(capabilities)
    texts.set(text, [...(texts.get(text) ?? []), printable(name)])
  }
  return texts
}

function capabilityText(capabilities: object): string {
  return Object.entries(capabilities)
    .map(([name, value]: [string, unknown]) => {
      if (typeof value === 'boolean') return value ? name : `no ${name}`
      if (typeof value === 'object' && value !== null) return `${name} (${capabilityText(value)})`
      return `${name} ${value === Infinity ? 'unlimited' : String(value)}`
    })
    .join(', ')
}
