/** `holdfast conform`: the conformance suite against a backend that is being written, or one that is installed. */
import { formatReport, reportToJson, runConformance, type ConformanceReport, type View } from '../../conformance/index.ts'
import type { Kind } from '../../index.ts'
import { EXIT, Failure } from '../failure.ts'
import { useAppRoot, type GlobalOptions } from '../globals.ts'
import { out, printable, printJson, progress } from '../terminal.ts'
import { createHarness } from './conform-harness.ts'
import { casesOf, loadCandidate } from './conform-target.ts'

export interface ConformOptions extends GlobalOptions {
  readonly kind: Kind
  /** A registered name, or a module: `./my.ts`, `./my.ts#createState`. */
  readonly backend: string
  /** JSON; `{dir}` in its strings is a new folder for each case, `{id}` a new text of letters and digits. */
  readonly options?: string
  readonly view: View | 'both'
  readonly only?: readonly string[]
  readonly clear?: boolean
  readonly concurrency: number
  readonly json?: boolean
}

export async function conform(options: ConformOptions): Promise<number> {
  useAppRoot()
  const cases = casesOf(options.kind).filter(({ id }) => matches(id, options.only))
  if (cases.length === 0) throw noCase(options)
  const candidate = await loadCandidate(options.kind, options.backend)
  await using harness = await createHarness(candidate, options)
  const views: View[] = options.view === 'both' ? ['default', 'workspace'] : [options.view]
  const reports: ConformanceReport[] = []
  const bar = progress()
  let done = 0
  for (const view of views) {
    const onResult = ({ id }: { id: string }): void => bar.show(`${++done}/${cases.length * views.length}  ${id}`)
    reports.push(await runConformance({ cases, harness: harness.harness, view, concurrency: options.concurrency, onResult }))
  }
  bar.end()
  if (options.json === true) printJson(reports.map(reportToJson))
  else out(reports.map(toText).join('\n'))
  return reports.every(isPassed) ? EXIT.ok : EXIT.failure
}

function noCase({ kind, only = [] }: ConformOptions): Failure {
  return new Failure(
    'NOT_FOUND',
    `no ${kind} case matches ${only.join(', ')}`,
    `Ids look like ${casesOf(kind)[0]!.id}; * stands for anything.`,
  )
}

/** A run in which no case passed shows nothing, and is no success. */
function isPassed({ failed, passed }: ConformanceReport): boolean {
  return failed === 0 && passed > 0
}

/** What backends throw is foreign text. */
function toText(report: ConformanceReport): string {
  return formatReport(report).split('\n').map(printable).join('\n')
}

/** Globs over ids: `*` stands for anything, `?` for one character, and a beginning up to a `/` for all below it. */
function matches(id: string, globs: readonly string[] | undefined): boolean {
  return globs === undefined || globs.some((glob) => toExpression(glob).test(id))
}

function toExpression(glob: string): RegExp {
  const pattern = glob
    .replace(/\/$/, '')
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${pattern}(?:/.*)?$`, 'u')
}
