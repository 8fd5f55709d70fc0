/** The guard itself: what it lets pass, what it refuses, and in which words. */
import { describe, expect, it } from 'vitest'
import { fsyncsIn } from './children.ts'
import { compare, merged } from './compare.ts'

const budget = { get: { allocatedBytes: 1_000, statements: 1, fsyncs: 0 } }

describe('a budget', () => {
  it('lets pass what is as recorded, and up to a fifth more', () => {
    expect(compare('state', budget, budget)).toEqual({ exceeded: [], improved: [] })
    expect(compare('state', budget, { get: { allocatedBytes: 1_199, statements: 1 } })).toEqual({ exceeded: [], improved: [] })
  })

  it.for([
    [{ allocatedBytes: 1_200 }, 'state: get: allocatedBytes 1,200, budget 1,000 (+20 %)'],
    [{ statements: 2 }, 'state: get: statements 2, budget 1 (+100 %)'],
    [{ fsyncs: 1 }, 'state: get: fsyncs 1, budget 0'],
  ] as const)('refuses a fifth more, with path, count and budget: %o', ([counts, problem]) => {
    expect(compare('state', budget, { get: counts }).exceeded).toEqual([problem])
  })

  it('asks for a new one where a count is so low that it guards nothing, and lets it pass', () => {
    const { exceeded, improved } = compare('state', budget, { get: { allocatedBytes: 800 } })
    expect(exceeded).toEqual([])
    expect(improved).toEqual(['state: get: allocatedBytes 800, budget 1,000 (-20 %)'])
  })

  it('refuses paths and counts that it does not know, and misses paths that are gone', () => {
    expect(compare('state', budget, { get: { blocks: 1 }, set: {} }).exceeded).toEqual([
      expect.stringMatching(/^state: get: blocks have no budget yet; record one: npm run bench/),
      expect.stringMatching(/^state: set: it has no budget yet; record one: npm run bench/),
    ])
    expect(compare('state', budget, {}).exceeded).toEqual([
      expect.stringMatching(/^state: get: it has a budget and is not counted/),
    ])
  })

  it('does not mind the few bytes by which threads wake each other', () => {
    const quiet = { get: { writtenBytes: 0 } }
    expect(compare('state', quiet, { get: { writtenBytes: 16 } }).exceeded).toEqual([])
    expect(compare('state', quiet, { get: { writtenBytes: 4_096 } }).exceeded).toHaveLength(1)
  })

  it('is recorded path by path; what this machine cannot count stays as it was', () => {
    const before = { redis: { get: { roundTrips: 1 } }, state: { gone: { fsyncs: 9 }, get: { allocatedBytes: 1, fsyncs: 2 } } }
    expect(merged(before, { state: { get: { allocatedBytes: 3 } } })).toEqual({
      redis: { get: { roundTrips: 1 } },
      state: { get: { allocatedBytes: 3, fsyncs: 2 } },
    })
  })
})

describe('a trace', () => {
  it('tells what was made durable between two marks', () => {
    const log = [
      '1 fsync(21) = 0',
      '1 statx(AT_FDCWD, "/holdfast-budget/begin/set a value", AT_STATX_SYNC_AS_STAT, STATX_ALL, 0x1) = -1 ENOENT',
      '1 fsync(21) = 0',
      '2 fdatasync(22 <unfinished ...>',
      '2 <... fdatasync resumed>) = 0',
      '1 statx(AT_FDCWD, "/holdfast-budget/end/set a value", AT_STATX_SYNC_AS_STAT, STATX_ALL, 0x1) = -1 ENOENT',
      '1 fsync(21) = 0',
    ]
    expect(fsyncsIn(log.join('\n'))).toEqual(new Map([['set a value', 2]]))
  })
})
