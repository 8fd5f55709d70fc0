/** What the conformance suites last said of each backend on each engine, as kept in `test/conformance/results.json`. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Kind } from '../src/errors.ts'

export const RESULTS = join(import.meta.dirname, '..', 'test', 'conformance', 'results.json')

export const CATEGORIES = ['in process', 'real engine', 'vendor’s emulator', 'other emulator', 'wire-level fake'] as const

/** What a suite runs on; tests carry it as their `meta`. */
export interface Target {
  readonly kind: Kind
  /** Name in the catalogue. */
  readonly backend: string
  readonly engine: string
  readonly version: string
  /** How close to the real thing it is. */
  readonly category: (typeof CATEGORIES)[number]
}

export interface SuiteResult extends Target {
  /** First part of the cases' ids: the kind, or `plugin-storage`. */
  readonly suite: string
  /** Of the run, e.g. `2026-11-20`. */
  readonly date: string
  readonly passed: number
  /** Cases about what the backend cannot do, or does by another way that they say. */
  readonly notApplicable: number
}

/** One test of a case; each case is tried in several views. */
export interface CaseRun {
  readonly target: Target
  readonly id: string
  readonly state: 'passed' | 'failed' | 'not applicable' | 'not run'
}

export function readResults(path = RESULTS): readonly SuiteResult[] {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as SuiteResult[]) : []
}

export function writeResults(results: readonly SuiteResult[], path = RESULTS): void {
  writeFileSync(path, `${JSON.stringify(results, undefined, 2)}\n`)
}

/** The results of suites of which every case ran and none failed; the others have nothing to say. */
export function resultsOf(runs: readonly CaseRun[], date: string): SuiteResult[] {
  const groups = Map.groupBy(runs, ({ target, id }) => keyOf({ ...target, suite: suiteOf(id) }))
  return [...groups.values()].flatMap((group) => {
    if (group.some(({ state }) => state === 'failed' || state === 'not run')) return []
    const { target, id } = group[0]!
    const cases = new Set(group.map((run) => run.id))
    const passed = new Set(group.filter(({ state }) => state === 'passed').map((run) => run.id)).size
    const { kind, backend, engine, version, category } = target
    const about = { kind, backend, suite: suiteOf(id), engine, version, category }
    return [{ ...about, date, passed, notApplicable: cases.size - passed }]
  })
}

/** What is new replaces what was said of the same suite, backend and engine, whatever the engine's version was. */
export function merged(before: readonly SuiteResult[], fresh: readonly SuiteResult[]): SuiteResult[] {
  const byKey = new Map([...before, ...fresh].map((result) => [keyOf(result), result]))
  return [...byKey.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, result]) => result)
}

const suiteOf = (id: string): string => id.split('/')[0]!

function keyOf({ kind, backend, suite, engine }: Pick<SuiteResult, 'kind' | 'backend' | 'suite' | 'engine'>): string {
  return [kind, backend, suite, engine].join('\u0000')
}
