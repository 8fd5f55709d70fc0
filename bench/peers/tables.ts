/** Comparisons as plain text: a table a group, a line a contender, a column a question. */
import { table } from '../measure.ts'
import type { Comparison, Figure } from './result.ts'

export function groupTables(comparisons: readonly Comparison[]): string {
  const groups = Map.groupBy(comparisons, ({ group }) => group)
  return [...groups].map(([group, asked]) => groupTable(group, asked)).join('\n\n')
}

function groupTable(group: string, asked: readonly Comparison[]): string {
  const names = [...new Set(asked.flatMap(({ figures }) => figures.map(({ contender }) => contender)))]
  const header = [group, ...asked.map(({ what, unit }) => (unit === 'fsyncs' ? what : `${what}, ${unit}`))]
  const lines = names.map((name) => [name, ...asked.map(({ figures }) => cell(find(figures, name)))])
  return `${table(header, lines)}\n${names.map((name) => about(name, asked)).join('\n')}`
}

function find(figures: readonly Figure[], name: string): Figure | undefined {
  return figures.find(({ contender }) => contender === name)
}

function cell(figure: Figure | undefined): string {
  if (figure?.median === undefined) return '–'
  return figure.spread === undefined || figure.spread === 0
    ? digits(figure.median)
    : `${digits(figure.median)} ±${digits(figure.spread)}`
}

function digits(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)
}

/** Version, promise and remark of a contender, and why it did not answer what it did not. */
function about(name: string, asked: readonly Comparison[]): string {
  const figures = asked.flatMap(({ figures }) => find(figures, name) ?? [])
  const first = figures[0]!
  const notes = new Set(figures.flatMap(({ note }) => note ?? []))
  return `  ${[`${name}${first.version === undefined ? '' : ` ${first.version}`}`, first.durability, ...notes].filter((part) => part !== undefined).join('; ')}`
}
