/** Which charts there are: one a group of comparisons, and the one that the README shows. */
import type { Comparison, Figure } from '../peers/result.ts'
import { drawChart } from './chart.ts'
import { readRecorded, type Recorded } from './recorded.ts'

/** By their path in `bench`. */
export type Files = Map<string, string>

/** The comparisons that the README's chart shows, with what each is called there. */
const README: readonly (readonly [id: string, what: string])[] = [
  ['conversation-append-long', 'Append a 1 KB message to a conversation of 10,000'],
  ['conversation-concurrent', '1,000 appends at once'],
  ['clustered-search', 'Top 10 of 100,000 vectors × 384'],
  ['clustered-loop-delay', 'Event-loop delay (p99) while 50 such searches run'],
]

/** Those whose acknowledged appends are on disk, as Holdfast's are, used as their documentation shows; the tables have all. */
const NOT_IN_README = new Set(['Mastra LibSQL, default', 'LangGraph, one message a checkpoint', 'LanceDB flat, optimized'])

const IN_ALL = 'medians of one run, contenders in turns; × is the multiple of Holdfast’s figure'

export function readmeChart(folder?: string): Files {
  const all = ['peers-embedded', 'peers-vectors'].flatMap((name) => readRecorded(name, folder)?.comparisons ?? [])
  const comparisons = README.flatMap(([id, what]) => {
    const found = all.find((comparison) => comparison.id === id)
    return found === undefined ? [] : [{ ...found, what, figures: found.figures.filter(isInReadme) }]
  })
  const chart = {
    title: 'Holdfast’s embedded stores, and what else one would pick',
    subtitle: `each append on disk before it is acknowledged; ${IN_ALL}`,
    comparisons,
  }
  return comparisons.length === 0 ? new Map() : new Map([['charts/readme.svg', drawChart(chart)]])
}

/** A chart of each group. Recall has no bars: it is 1, or is told with the name. */
export function groupCharts(section: string, { comparisons = [] }: Recorded): Files {
  const groups = Map.groupBy(comparisons, ({ group }) => group)
  return new Map(
    [...groups].map(([group, asked]) => {
      const timed = asked.filter(({ unit }) => unit !== 'recall')
      const shown = timed.map((each) => ({ ...withRecall(each, asked), what: capital(each.what) }))
      const chart = { title: groupTitle(group), subtitle: IN_ALL, comparisons: shown.map(onlyOnceAbsent) }
      return [chartFile(section, group), drawChart(chart)]
    }),
  )
}

function isInReadme({ contender, median }: Figure): boolean {
  return median !== undefined && !NOT_IN_README.has(contender)
}

export function chartFile(section: string, group: string): string {
  const slug = group
    .toLowerCase()
    .replaceAll('×', 'x')
    .replaceAll(',', '')
    .replaceAll(/[^a-z0-9]+/g, '-')
  return `charts/${section}-${slug}.svg`
}

/** Questions whose answers may be wrong, and by which ending of an id is told how often they were right. */
const RECALL: Readonly<Record<string, string>> = { search: 'recall', 'at-once': 'recall', filtered: 'recall-filtered' }

/** A time is worth little without what it found: who missed something is told with it. */
function withRecall(comparison: Comparison, asked: readonly Comparison[]): Comparison {
  const [study, question] = [comparison.id.split('-', 1)[0]!, comparison.id.slice(comparison.id.indexOf('-') + 1)]
  const recall = asked.find(({ id }) => id === `${study}-${RECALL[question]}`)
  const figures = comparison.figures.map((figure) => {
    const share = recall?.figures.find(({ contender }) => contender === figure.contender)?.median ?? 1
    return share < 0.99 ? { ...figure, contender: `${figure.contender}, recall ${share.toFixed(2)}` } : figure
  })
  return { ...comparison, figures }
}

/** Who did not run is told in the first panel. */
function onlyOnceAbsent(comparison: Comparison, at: number): Comparison {
  if (at === 0) return comparison
  return { ...comparison, figures: comparison.figures.filter(({ median }) => median !== undefined) }
}

const TITLES: Readonly<Record<string, string>> = { conversation: 'Conversations', kv: 'Keys and values' }

export function groupTitle(group: string): string {
  return TITLES[group] ?? capital(group)
}

function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1)
}
