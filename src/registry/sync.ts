/** `holdfast sync`: discovery frozen into a module of static imports, for bundlers, for edge runtimes, and for review. */
import { dirname, join, relative, resolve, sep } from 'node:path'
import { HoldfastError, type Kind } from '../errors.ts'
import { findAppRoot } from './app-root.ts'
import { CATALOGUES } from './catalogues.ts'
import type { Declaration } from './declarations.ts'
import { DiscoveredNames } from './discovered.ts'
import { Discovery, type Discovered, type DiscoveryOptions } from './discovery.ts'
import { entryFile } from './entry-point.ts'
import { ascii, shown } from './names.ts'
import { isFile } from './packages.ts'
import { NameTable } from './table.ts'

export interface SyncOptions extends Pick<DiscoveryOptions, 'appRoot' | 'allow' | 'deny'> {
  /** Where the module will be, relative to the app root; the application's own backends are imported relative to it. Default `holdfast.plugins.js`. */
  readonly file?: string | undefined
}

const REGISTRIES = { conversation: 'CONVERSATION_STORES', knowledge: 'KNOWLEDGE_STORES', state: 'STATE_STORES' } as const

interface Line {
  readonly declaration: Declaration
  readonly aliases: readonly string[]
  /** What to import it from. */
  readonly specifier: string
}

/** What `syncModule` gives. */
export function generateSyncModule({ file = 'holdfast.plugins.js', ...options }: SyncOptions): string {
  const appRoot = findAppRoot(options.appRoot)
  if (appRoot === undefined || !isFile(join(appRoot, 'package.json'))) {
    throw new HoldfastError('NOT_FOUND', 'there is no application here: give appRoot, or set HOLDFAST_APP_ROOT')
  }
  const { found } = new Discovery({ ...options, appRoot })
  const target = dirname(resolve(appRoot, file))
  const refused = found.problems.map((problem) => `${problem.package}: ${problem.problem}`)
  const lines = (['conversation', 'knowledge', 'state'] as const).flatMap((kind) => linesOf(kind, found, target, refused))
  return render(lines, refused)
}

function linesOf(kind: Kind, found: Discovered, target: string, refused: string[]): Line[] {
  const names = new DiscoveredNames(kind, new NameTable(kind, CATALOGUES[kind]), found.declarations)
  const lines = [...names.all()].flatMap(([declaration]) => {
    const { aliases, problems } = names.aliases(declaration)
    const who = `${kind} backend ${shown(declaration.name)}`
    const verdict = names.verdict(declaration)?.problem
    for (const problem of verdict === undefined ? problems : [verdict]) refused.push(`${who}: ${problem}`)
    if (verdict !== undefined) return []
    try {
      return [{ declaration, aliases, specifier: specifierOf(declaration, found, target) }]
    } catch (error) {
      refused.push(`${who} of ${declaration.package.name}: ${(error as Error).message}`)
      return []
    }
  })
  return lines.toSorted((a, b) => (a.declaration.name < b.declaration.name ? -1 : 1))
}

function specifierOf(declaration: Declaration, { appRoot }: Discovered, target: string): string {
  const path = entryFile(declaration)
  if (declaration.package.directory !== appRoot) return declaration.package.name + declaration.subpath.slice(1)
  const fromTarget = relative(target, path).split(sep).join('/')
  return fromTarget.startsWith('../') ? fromTarget : `./${fromTarget}`
}

function render(lines: readonly Line[], refused: readonly string[]): string {
  const registries = [...new Set(lines.map(({ declaration }) => REGISTRIES[declaration.kind]))]
  return [
    '// Written by `holdfast sync`; run it again after installing or removing plugins.',
    ...refused.map((problem) => `// Not registered: ${ascii(problem)}`),
    `import { ${['configureDiscovery', ...registries].join(', ')} } from 'holdfast'`,
    ...lines.map(
      ({ declaration, specifier }, i) => `import { ${declaration.exportName} as backend${i} } from ${quote(specifier)}`,
    ),
    '',
    '// What is listed here is all there is.',
    "configureDiscovery({ mode: 'off' })",
    ...lines.map(renderCall),
    '',
  ].join('\n')
}

function renderCall({ declaration, aliases }: Line, index: number): string {
  const { kind, name, package: from } = declaration
  const origin = `package: { name: ${quote(from.name)}, version: ${quote(from.version)} }`
  const options = aliases.length === 0 ? `{ ${origin} }` : `{ aliases: [${aliases.map(quote).join(', ')}], ${origin} }`
  return `${REGISTRIES[kind]}.register(${quote(name)}, backend${index}, ${options})`
}

/** A string literal that stays one whatever is in the text. */
function quote(text: string): string {
  return ascii(`'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`)
}
