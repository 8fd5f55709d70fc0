/**
 * Ends a run with what did not run, by name and reason, what passed only when tried again, and one plain line that programs can read. Under HOLDFAST_RECORD it notes
 * what the conformance suites showed.
 */
import type { Reporter, TestCase, TestModule, TestSuite } from 'vitest/node'
import { reportBudget } from './budget/within.ts'
import { merged, readResults, resultsOf, writeResults, type CaseRun } from '../scripts/results.ts'

const NO_REASON = 'skipped in the code, or not asked for'

export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()])
    const count = (state: string): number => tests.filter((test) => stateOf(test) === state).length
    const broken = modules.flatMap((module) => [module, ...module.children.allSuites()]).filter(isBroken).length
    const notRun = tests.filter((test) => stateOf(test) === 'skipped')
    if (notRun.length > 0) console.log(`\nnot run:\n${notRunLines(notRun).join('\n')}`)
    const second = tests.filter((test) => stateOf(test) === 'passed' && (test.diagnostic()?.retryCount ?? 0) > 0)
    if (second.length > 0)
      console.log(`\npassed only when tried again:\n${second.map((test) => `  ${test.fullName}`).join('\n')}`)
    if (process.env['HOLDFAST_RECORD']) record(tests)
    reportBudget(tests)
    console.log(
      `\n${count('passed')} passed, ${count('failed') + broken + unhandledErrors.length} failed, ${notRun.length} skipped`,
    )
  }
}

/** Where the hooks of its block failed, a test did not run, and that is no skipping. */
function stateOf(test: TestCase): string {
  const { state } = test.result()
  return state === 'skipped' && reasonOf(test) === NO_REASON && isInBroken(test) ? 'failed' : state
}

/** A module or block that has an error of its own, which is in none of its tests. */
function isBroken(task: TestModule | TestSuite): boolean {
  return task.errors().length > 0 && ![...task.children.allTests()].some((test) => stateOf(test) === 'failed')
}

function isInBroken(test: TestCase): boolean {
  for (let parent = test.parent; ; parent = parent.parent) {
    if (parent.errors().length > 0) return true
    if (parent.type === 'module') return false
  }
}

function reasonOf(test: TestCase): string {
  const result = test.result()
  return (result.state === 'skipped' ? result.note : undefined) ?? test.meta().notRun ?? NO_REASON
}

/** Tests that did not run for the same reason stand together. */
function notRunLines(tests: readonly TestCase[]): string[] {
  return [...Map.groupBy(tests, reasonOf)].flatMap(([reason, group]) => [
    `  ${reason} (${group.length}):`,
    ...group.map((test) => `    ${test.fullName}`),
  ])
}

function record(tests: readonly TestCase[]): void {
  const fresh = resultsOf(tests.flatMap(caseRunOf), new Date().toISOString().slice(0, 10))
  writeResults(merged(readResults(), fresh))
  for (const { suite, backend, engine, version, passed, notApplicable } of fresh) {
    console.log(`recorded: ${suite} on ${backend}, ${engine} ${version}: ${passed} passed, ${notApplicable} not applicable`)
  }
}

/** A case that says itself why it does not concern the backend is not applicable; any other skipped one has not been tried. */
function caseRunOf(test: TestCase): CaseRun[] {
  const target = test.meta().conformance
  if (target === undefined) return []
  const [id] = test.name.split(': ')
  const state = stateOf(test)
  if (state === 'passed' || state === 'failed') return [{ target, id: id!, state }]
  const result = test.result()
  return [{ target, id: id!, state: result.state === 'skipped' && result.note !== undefined ? 'not applicable' : 'not run' }]
}
