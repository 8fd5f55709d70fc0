/** `holdfast schema …`: the tables of stores on SQL engines, for those whose program must not make them itself. */
import { KINDS, storeTables, type Kind, type ResolvedSettings, type StoreTables } from '../../index.ts'
import { EXIT } from '../failure.ts'
import { describeStore, settingsOf, type GlobalOptions } from '../globals.ts'
import { out, printable, printJson, table } from '../terminal.ts'

export interface SchemaOptions extends GlobalOptions {
  readonly kind?: Kind
  readonly json?: boolean
  readonly pending?: boolean
}

interface Target {
  readonly kind: Kind
  /** Where its tables are, or how a store without any is configured. */
  readonly store: string
  readonly tables: StoreTables | undefined
}

async function targets(options: SchemaOptions): Promise<Target[]> {
  const settings = await settingsOf(options)
  const kinds = options.kind === undefined ? KINDS : [options.kind]
  return Promise.all(kinds.map((kind) => targetOf(kind, settings)))
}

async function targetOf(kind: Kind, settings: ResolvedSettings): Promise<Target> {
  const tables = await storeTables(kind, settings)
  return { kind, store: tables?.place ?? describeStore(settings.stores[kind]), tables }
}

export async function print(options: SchemaOptions): Promise<number> {
  const printed = await Promise.all(
    (await targets(options)).map(async ({ kind, store, tables }) => {
      const from = options.pending === true ? await tables?.found() : 0
      return { kind, store, version: tables?.version ?? null, sql: tables?.sql(from) ?? [] }
    }),
  )
  if (options.json === true) printJson({ stores: printed })
  else for (const { kind, store, version, sql } of printed) printSql(`${kind}: ${store}`, version, sql)
  return EXIT.ok
}

function printSql(title: string, version: number | null, sql: readonly string[]): void {
  out(`-- ${printable(title)}${version === null ? ' has no tables' : `, tables of version ${version}`}\n`)
  for (const statement of sql) out(`${statement};\n`)
  out('\n')
}

export async function apply(options: SchemaOptions): Promise<number> {
  const applied: { kind: Kind; before: number | null; after: number | null }[] = []
  for (const { kind, tables } of await targets(options)) {
    const before = (await tables?.found()) ?? null
    await tables?.apply()
    applied.push({ kind, before, after: tables?.version ?? null })
  }
  if (options.json === true) printJson({ stores: applied })
  else
    for (const { kind, before, after } of applied)
      out(`${kind}: ${before === after ? same(after) : `version ${before} to ${after}`}\n`)
  return EXIT.ok
}

function same(version: number | null): string {
  return version === null ? 'no tables' : `version ${version}, up to date`
}

export async function status(options: SchemaOptions): Promise<number> {
  const compared = await Promise.all(
    (await targets(options)).map(async ({ kind, store, tables }) => {
      const found = (await tables?.found()) ?? null
      const known = tables?.version ?? null
      return { kind, store, found, known, status: statusOf(found, known) }
    }),
  )
  if (options.json === true) printJson({ stores: compared })
  else {
    const rows = compared.map(({ kind, store, found, known, status }) => [
      kind,
      String(found ?? '–'),
      String(known ?? '–'),
      status,
      printable(store),
    ])
    out(table([['KIND', 'FOUND', 'KNOWN', 'STATUS', 'STORE'], ...rows]))
  }
  return compared.every(({ found, known }) => found === known) ? EXIT.ok : EXIT.failure
}

function statusOf(found: number | null, known: number | null): string {
  if (found === null || known === null) return 'no tables'
  if (found === known) return 'up to date'
  if (found > known) return 'newer'
  return found === 0 ? 'missing' : 'behind'
}
