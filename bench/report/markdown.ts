/** Sections as Markdown: title, prose, conditions, and tables with their charts. */
import type { Comparison, Figure } from '../peers/result.ts'
import { chartFile, groupTitle } from './charts.ts'
import { markdownTable } from './markdown-table.ts'
import { digits, multiple } from './numbers.ts'
import type { Moment, Recorded } from './recorded.ts'
import type { Section } from './section.ts'

export function sectionText(section: Section, recorded: Recorded): string {
  const { title, name, flag } = section
  const parts = [`## ${title}`, `\`npm run bench -- ${flag}\`, ${conditions(recorded)}`, section.prose(recorded)]
  if (recorded.lines !== undefined) parts.push(`\`\`\`\n${recorded.lines.join('\n')}\n\`\`\``)
  if (recorded.comparisons !== undefined) parts.push(...compared(name, recorded.comparisons))
  return parts.filter((part) => part !== '').join('\n\n')
}

function conditions({ machine, node, sqlite, began, ended }: Recorded): string {
  if (began.load === undefined) return `${date(began)}; ${machine}.`
  const minutes = Math.max(1, Math.round((Date.parse(ended.at) - Date.parse(began.at)) / 60_000))
  return `${date(began)}, ${minutes} min; ${machine}; Node ${node}, SQLite ${sqlite}; load ${began.load} at the beginning, ${ended.load} at the end.`
}

function date({ at }: Moment): string {
  return new Date(at).toLocaleDateString('en-GB', { day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' })
}

function compared(section: string, comparisons: readonly Comparison[]): string[] {
  const groups = Map.groupBy(comparisons, ({ group }) => group)
  const parts = [...groups].flatMap(([group, asked]) => [
    `### ${groupTitle(group)}`,
    `![${groupTitle(group)}: bars; the table below has their figures](${chartFile(section, group)})`,
    groupTable(asked),
  ])
  return [...parts, contenders(comparisons)]
}

/** A line a contender, a column a question. */
function groupTable(asked: readonly Comparison[]): string {
  const header = ['', ...asked.map(({ what, unit }) => (unit === 'fsyncs' || unit === 'recall' ? what : `${what}, ${unit}`))]
  const lines = namesOf(asked).map((name) => [name, ...asked.map((comparison) => cell(comparison, name))])
  return markdownTable(header, lines)
}

function cell(comparison: Comparison, name: string): string {
  const figure = named(comparison, name)
  if (figure?.median === undefined) return figure?.note?.startsWith('not run') === true ? 'not run' : '–'
  if (comparison.unit === 'recall') return figure.median.toFixed(4)
  const times = multiple(figure, comparison)
  const spread = figure.spread === undefined || figure.spread === 0 ? '' : ` ±${digits(figure.spread)}`
  return `${digits(figure.median)}${spread}${times === undefined ? '' : ` (${times})`}`
}

/** Version, promise and remark of each, once. */
function contenders(comparisons: readonly Comparison[]): string {
  return namesOf(comparisons)
    .map((name) => {
      const figures = comparisons.flatMap((comparison) => named(comparison, name) ?? [])
      const version = figures.find((figure) => figure.version !== undefined)?.version
      const told = figures.flatMap(({ durability, note }) => [durability, note]).filter((word) => word !== undefined)
      return `- **${name}**${version === undefined ? '' : ` ${version}`}${told.length === 0 ? '' : `: ${[...new Set(told)].join('; ')}`}`
    })
    .join('\n')
}

function namesOf(comparisons: readonly Comparison[]): string[] {
  return [...new Set(comparisons.flatMap(({ figures }) => figures.map(({ contender }) => contender)))]
}

function named({ figures }: Comparison, name: string): Figure | undefined {
  return figures.find(({ contender }) => contender === name)
}
