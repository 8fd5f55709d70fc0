/** The recorded budget, and how tests are held to it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RunnerTask } from 'vitest'
import type { TestCase } from 'vitest/node'
import { compare, merged, RECORD, type Budget, type Group } from './compare.ts'

const FILE = join(import.meta.dirname, 'budget.json')

declare module 'vitest' {
  interface TaskMeta {
    /** What was counted, and how it stands to the budget. */
    budget?: { readonly found: Budget; readonly improved: readonly string[] }
  }
}

function readBudget(): Budget {
  return JSON.parse(readFileSync(FILE, 'utf8')) as Budget
}

/** `record`: what is found becomes the budget. `show`: it is printed beside it. */
const how = process.env['HOLDFAST_BUDGET']

/** Fails where a count of the group is a fifth or more above its budget. */
export function expectWithinBudget(task: Pick<RunnerTask, 'meta'>, name: string, found: Group): void {
  const { exceeded, improved } = compare(name, readBudget()[name], found)
  task.meta.budget = { found: { [name]: found }, improved }
  if (how === 'record' || exceeded.length === 0) return
  throw new Error(`over budget (test/budget/budget.json, recorded by ${RECORD}):\n  ${exceeded.join('\n  ')}`)
}

/** For the end of a run: writes the new budget where that is wanted, and says what has improved. */
export function reportBudget(tests: readonly TestCase[]): void {
  const counted = tests.flatMap((test) => test.meta().budget ?? [])
  if (counted.length === 0) return
  const before = readBudget()
  if (how === 'record')
    writeFileSync(FILE, `${JSON.stringify(counted.map(({ found }) => found).reduce(merged, before), null, 2)}\n`)
  if (how !== undefined) console.log(`\n${counted.flatMap(({ found }) => lines(found, before)).join('\n')}`)
  const improved = how === 'record' ? [] : counted.flatMap((each) => each.improved)
  if (improved.length > 0) console.log(`\nbetter than the budget says; record it anew by ${RECORD}:\n  ${improved.join('\n  ')}`)
}

function lines(found: Budget, before: Budget): string[] {
  return Object.entries(found).flatMap(([name, group]) =>
    Object.entries(group).map(([path, counts]) => {
      const shown = Object.entries(counts).map(([what, count]) => `${what} ${count} (${before[name]?.[path]?.[what] ?? 'new'})`)
      return `${name}: ${path}: ${shown.join(', ')}`
    }),
  )
}
