/** Counts of the hot paths against what was recorded: the same on every machine, so that one slow step more is seen. */
import { statSync } from 'node:fs'
import { describe, expect, inject, it } from 'vitest'
import { countFsyncs, countFsyncsOfStarts, countGroup, countStarts, whyNotTraced } from './children.ts'
import { GROUPS, type GroupName } from './hot-paths.ts'
import { expectWithinBudget } from './within.ts'

const names = Object.keys(GROUPS) as GroupName[]

describe.concurrent('within the budget', () => {
  it.for(names)('%s: statements, bytes, allocations and work', async (name, { task }) => {
    expectWithinBudget(task, name, await countGroup(name))
  })

  it('starts: files, modules of Node, statements and bytes', async ({ task }) => {
    expectWithinBudget(task, 'starts', await countStarts())
  })

  it('the package', ({ task }) => {
    expectWithinBudget(task, 'package', { tarball: { packedBytes: statSync(inject('tarball')).size } })
  })
})

const reason = whyNotTraced()
const required = (process.env['HOLDFAST_REQUIRE'] ?? '').split(',')
const isSkipped = reason !== undefined && !['all', 'strace'].some((name) => required.includes(name))

describe.concurrent('within the budget of fsyncs', isSkipped ? { skip: true, meta: { notRun: reason } } : {}, () => {
  it.for(names)('%s', async (name, { task }) => {
    expect(reason).toBeUndefined()
    expectWithinBudget(task, name, await countFsyncs(name))
  })

  it('starts', async ({ task }) => {
    expect(reason).toBeUndefined()
    expectWithinBudget(task, 'starts', await countFsyncsOfStarts())
  })
})
