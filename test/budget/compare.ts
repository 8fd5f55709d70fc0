/** Counts against a budget. */

/** Counts of one path by what is counted. */
export type Counts = Readonly<Record<string, number>>

/** Counts by path. */
export type Group = Readonly<Record<string, Counts>>

/** By group, by path, by what is counted. */
export type Budget = Readonly<Record<string, Group>>

/** A count this much above its budget is too much; one as far below asks for a new budget. */
export const TOLERANCE = 0.2

export const RECORD = 'npm run bench -- --budget --record'

export interface Verdict {
  /** What fails: what costs too much, and paths that only one of the two knows. */
  readonly exceeded: readonly string[]
  /** What costs so much less that the budget no longer guards it. */
  readonly improved: readonly string[]
}

/** Compares a group. What was recorded on a machine that counts more is not missed. */
export function compare(group: string, budget: Group | undefined, found: Group): Verdict {
  const paths = new Set([...Object.keys(budget ?? {}), ...Object.keys(found)])
  const verdicts = [...paths].map((path) => comparePath(`${group}: ${path}`, budget?.[path], found[path]))
  return { exceeded: verdicts.flatMap(({ exceeded }) => exceeded), improved: verdicts.flatMap(({ improved }) => improved) }
}

function comparePath(title: string, budget: Counts | undefined, found: Counts | undefined): Verdict {
  if (found === undefined) return failed(`${title}: it has a budget and is not counted any more; record: ${RECORD}`)
  if (budget === undefined) return failed(`${title}: it has no budget yet; record one: ${RECORD}`)
  const exceeded: string[] = []
  const improved: string[] = []
  for (const [what, count] of Object.entries(found)) {
    const allowed = budget[what]
    if (allowed === undefined) exceeded.push(`${title}: ${what} have no budget yet; record one: ${RECORD}`)
    else if (isFarAbove(what, count, allowed)) exceeded.push(`${title}: ${tell(what, count, allowed)}`)
    else if (isFarAbove(what, allowed, count)) improved.push(`${title}: ${tell(what, count, allowed)}`)
  }
  return { exceeded, improved }
}

function failed(problem: string): Verdict {
  return { exceeded: [problem], improved: [] }
}

/** Threads of Node wake each other now and then by writing 8 bytes, which is nobody's fault. */
const SLACK: Readonly<Record<string, number>> = { writtenBytes: 64 }

function isFarAbove(what: string, count: number, other: number): boolean {
  return count > other + (SLACK[what] ?? 0) && count >= other * (1 + TOLERANCE)
}

/** `allocatedBytes 4,300, budget 3,521 (+22 %)`. */
function tell(what: string, count: number, allowed: number): string {
  const percent = allowed === 0 ? '' : ` (${count > allowed ? '+' : ''}${Math.round((count / allowed - 1) * 100)} %)`
  return `${what} ${count.toLocaleString('en')}, budget ${allowed.toLocaleString('en')}${percent}`
}

/** The budget with what was found in place of what it said; what was not counted here stays. */
export function merged(budget: Budget, found: Budget): Budget {
  const groups = Object.entries(found).map(([name, group]) => {
    const paths = Object.entries(group).map(([path, counts]) => [path, sorted({ ...budget[name]?.[path], ...counts })] as const)
    return [name, Object.fromEntries(paths)] as const
  })
  return sorted({ ...budget, ...Object.fromEntries(groups) })
}

function sorted<T>(record: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
