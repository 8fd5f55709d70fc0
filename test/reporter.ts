/** Ends a run with what did not run, by name and reason, and one plain line that programs can read. */
import type { Reporter, TestCase, TestModule } from 'vitest/node'

export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()])
    const count = (state: string): number => tests.filter((test) => test.result().state === state).length
    const broken = modules.filter((module) => module.errors().length > 0).length
    const notRun = tests.filter((test) => test.result().state === 'skipped')
    if (notRun.length > 0) console.log(`\nnot run:\n${notRunLines(notRun).join('\n')}`)
    console.log(
      `\n${count('passed')} passed, ${count('failed') + broken + unhandledErrors.length} failed, ${notRun.length} skipped`,
    )
  }
}

/** Tests that did not run for the same reason stand together. */
function notRunLines(tests: readonly TestCase[]): string[] {
  const byReason = Map.groupBy(tests, (test) => {
    const result = test.result()
    return (result.state === 'skipped' ? result.note : undefined) ?? 'skipped in the code'
  })
  return [...byReason].flatMap(([reason, group]) => [`  ${reason}:`, ...group.map((test) => `    ${test.fullName}`)])
}
