/** A conformance report for people and for programs. */
import type { CaseResult, ConformanceReport } from './run.ts'

/** The report as text: the counts, what failed and why, and what was not run, by name. */
export function formatReport(report: ConformanceReport): string {
  const { passed, failed, notRun, results } = report
  const lines = [`${report.kind ?? 'unknown'} store "${report.backend ?? 'not opened'}", ${report.view} view`]
  lines.push(`${results.length} cases: ${passed} passed, ${failed} failed, ${notRun} not run`)
  for (const result of results) {
    if (result.status === 'failed') lines.push('', `FAILED  ${result.id}`, ...indented(result.sentence, messageOf(result.error)))
  }
  if (notRun > 0) lines.push('', 'Not run:')
  for (const result of results) {
    if (result.status === 'not-run') lines.push(`  ${result.id}: ${result.reason}`)
  }
  return `${lines.join('\n')}\n`
}

export interface CaseResultJson {
  readonly id: string
  readonly sentence: string
  readonly status: CaseResult['status']
  readonly durationMs: number
  readonly error?: { readonly name: string; readonly message: string; readonly code?: string }
  readonly reason?: string
}

export interface ConformanceReportJson {
  readonly kind: string | null
  readonly backend: string | null
  readonly capabilities: unknown
  readonly view: ConformanceReport['view']
  readonly passed: number
  readonly failed: number
  readonly notRun: number
  readonly results: readonly CaseResultJson[]
}

/** The report as plain data that JSON can hold. */
export function reportToJson(report: ConformanceReport): ConformanceReportJson {
  const { kind, backend, capabilities, view, passed, failed, notRun, results } = report
  return {
    kind: kind ?? null,
    backend: backend ?? null,
    capabilities: capabilities ?? null,
    view,
    passed,
    failed,
    notRun,
    results: results.map(resultToJson),
  }
}

function resultToJson(result: CaseResult): CaseResultJson {
  const { id, sentence, status } = result
  const base = { id, sentence, status, durationMs: Math.round(result.durationMs * 1000) / 1000 }
  if (result.status === 'failed') return { ...base, error: errorToJson(result.error) }
  return result.status === 'not-run' ? { ...base, reason: result.reason } : base
}

function errorToJson(error: unknown): NonNullable<CaseResultJson['error']> {
  if (!(error instanceof Error)) return { name: typeof error, message: String(error) }
  const code: unknown = 'code' in error ? error.code : undefined
  return { name: error.name, message: error.message, ...(typeof code === 'string' ? { code } : {}) }
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? `\ncaused by ${error.cause.message}` : ''
  return `${error.name}: ${error.message}${cause}`
}

function indented(...texts: string[]): string[] {
  return texts.flatMap((text) => text.split('\n')).map((line) => `        ${line}`)
}
