/**
 * Writes what the documentation derives from the code between `<!-- derived: NAME -->` and `<!-- /derived -->`. With `--check` it
 * writes nothing and fails where a page is out of date.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CONVERSATION_CATALOGUE } from '../src/conversation/catalogue.ts'
import { ERROR_CODES } from '../src/errors.ts'
import { KNOWLEDGE_CATALOGUE } from '../src/knowledge/catalogue.ts'
import { STATE_CATALOGUE } from '../src/state/catalogue.ts'
import type { Catalogue, CatalogueLine } from '../src/store/factory.ts'
import type { OptionSpec } from '../src/store/options.ts'
import { readResults, type SuiteResult } from './results.ts'

const ROOT = join(import.meta.dirname, '..')
const PAGES = ['README.md', 'docs/backends.md', 'docs/errors.md']

const CATALOGUES: readonly (readonly [string, Catalogue])[] = [
  ['conversation', CONVERSATION_CATALOGUE],
  ['knowledge', KNOWLEDGE_CATALOGUE],
  ['state', STATE_CATALOGUE],
]

type Line = readonly [name: string, line: CatalogueLine]

const DERIVED: Readonly<Record<string, () => string | Promise<string>>> = {
  support: () =>
    table(
      ['kind', 'works today', 'planned, name reserved'],
      CATALOGUES.map(([kind, catalogue]) => [kind, names(catalogue, isBuilt), names(catalogue, (line) => !isBuilt(line))]),
    ),
  backends: async () => (await Promise.all(CATALOGUES.map(([kind, catalogue]) => backendSection(kind, catalogue)))).join('\n\n'),
  errors: () =>
    table(
      ['code', 'meaning', 'remedy'],
      Object.entries(ERROR_CODES).map(([code, { meaning, remedy }]) => [`\`${code}\``, meaning, remedy]),
    ),
}

function isBuilt([, line]: Line): boolean {
  return line.planned !== true
}

function names(catalogue: Catalogue, wanted: (line: Line) => boolean): string {
  return Object.entries(catalogue)
    .filter(wanted)
    .map(([name]) => `\`${name}\``)
    .join(' ')
}

async function backendSection(kind: string, catalogue: Catalogue): Promise<string> {
  const lines: Line[] = Object.entries(catalogue)
  const rows = lines.map(([name, { aliases = [], schemes = [], place, client, planned }]) => [
    `\`${name}\``,
    aliases.map((alias) => `\`${alias}\``).join(' '),
    schemes.map((scheme) => `\`${scheme}:\``).join(' '),
    place === undefined ? '' : `\`${place}\``,
    client === undefined ? 'none' : `\`${client.package}@${client.range}\``,
    planned === true ? 'planned' : 'works',
  ])
  const built = lines.filter(isBuilt)
  const overview = table(['name', 'aliases', 'URLs', 'in `dir`', 'client library', 'status'], rows)
  const options = await Promise.all(built.map(optionsSection))
  return [`## ${kind}`, overview, await shownSection(kind, built), ...options].join('\n\n')
}

/** What the conformance suites last showed. Names of one backend share what was shown of any of them. */
async function shownSection(kind: string, lines: readonly Line[]): Promise<string> {
  const modules = await Promise.all(lines.map(async ([name, line]) => [name, await line.load!()] as const))
  const results = readResults().filter((result) => result.kind === kind)
  const rows = modules.map(([name, module]) => {
    const same = new Set(modules.flatMap(([other, its]) => (its === module ? [other] : [])))
    const shown = results.filter(({ backend }) => same.has(backend))
    const column = (cell: (result: SuiteResult) => string): string => shown.map(cell).join('<br>')
    return [
      `\`${name}\``,
      column(({ suite }) => suite) || 'not noted yet',
      column(({ engine, version, category }) => `${engine} ${version} (${category})`),
      column(({ date }) => date),
      column(({ passed }) => String(passed)),
      column(({ notApplicable }) => String(notApplicable)),
      capabilitiesOf(module.capabilities),
    ]
  })
  const header = ['name', 'suite', 'last passed on', 'when', 'cases passed', 'not applicable', 'capabilities']
  return `What the conformance suite shows:\n\n${table(header, rows)}`
}

function capabilitiesOf(declared: object | undefined): string {
  const words = (value: object, path: string): string[] =>
    Object.entries(value).flatMap(([name, what]: [string, unknown]) => {
      if (typeof what === 'object' && what !== null) return words(what, `${path}${name}.`)
      if (typeof what === 'boolean') return `${what ? '' : 'no '}\`${path}${name}\``
      return `\`${path}${name}\` ${what === Infinity ? 'unlimited' : String(what)}`
    })
  return declared === undefined ? 'by its engine' : words(declared, '').join(', ')
}

/** The options of a backend, from the schema by which they are checked. */
async function optionsSection([name, line]: Line): Promise<string> {
  const { create } = (await line.load!()) as { create: { schema?: Readonly<Record<string, OptionSpec>> } }
  const rows = Object.entries(create.schema ?? {}).map(([option, spec]) => [
    `\`${option}\``,
    typeOf(spec),
    spec.description,
    defaultOf(spec),
  ])
  return `Options of \`${name}\`:\n\n${table(['option', 'type', 'meaning', 'default'], rows)}`
}

function typeOf({ type, choices, required }: OptionSpec): string {
  const shown = choices === undefined ? type : choices.map((choice) => `\`${choice}\``).join(', ')
  return required === true ? `${shown}, required` : shown
}

function defaultOf(spec: OptionSpec): string {
  return spec.default === undefined ? '' : `\`${spec.default}\``
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(header), `|${header.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}

async function derive(page: string): Promise<string> {
  let text = page
  for (const [name, render] of Object.entries(DERIVED)) {
    const derived = await render()
    text = text.replace(
      new RegExp(`(<!-- derived: ${name} [^\\n]*-->\\n)[^]*?(<!-- /derived -->)`),
      (_, open: string, close: string) => `${open}${derived}\n${close}`,
    )
  }
  return text
}

const check = process.argv.includes('--check')
for (const page of PAGES) {
  const path = join(ROOT, page)
  const before = await readFile(path, 'utf8')
  const after = await derive(before)
  if (after === before) continue
  if (check) {
    console.error(`${page} is out of date: run npm run docs`)
    process.exitCode = 1
  } else {
    await writeFile(path, after)
    console.log(`${page} written`)
  }
}
