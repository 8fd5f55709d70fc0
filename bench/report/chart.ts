/** Charts of horizontal bars, one panel a question: SVG that reads in light and dark, with its texts as text. */
import type { Comparison, Figure } from '../peers/result.ts'
import { isOurs, multiple, reference, told } from './numbers.ts'
import { scaleOf, type Scale } from './scale.ts'
import { element, escaped, text } from './svg.ts'

export interface Chart {
  readonly title: string
  /** Under the title: what the numbers come from. */
  readonly subtitle: string
  readonly comparisons: readonly Comparison[]
}

const WIDTH = 860
const MARGIN = 24
/** Right of the bars there is room for a value with its multiple. */
const VALUES = 176
/** About the width of a letter of a name. */
const LETTER = 7.5
const ROW = 24
const BAR = 14
const HEAD = 74
const PANEL_HEAD = 30
const TICKS = 14
const GAP = 20

/** A chosen theme of the reader's is followed, and the ground is ours, so that no text is ever dark on dark. */
const STYLE = `
text { font-family: system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif; font-size: 13px; fill: #1f2328 }
.card { fill: #ffffff; stroke: #d1d9e0 }
.head { font-size: 17px; font-weight: 600 }
.panel { font-size: 14px; font-weight: 600 }
.soft, .tick { fill: #59636e; font-size: 12px }
.tick { font-size: 10px }
.ours { font-weight: 600 }
.bar { fill: #b6bfc8 }
.bar.own { fill: #8fcdbd }
.bar.best { fill: #0f8a73 }
.grid { stroke: #d1d9e0; stroke-dasharray: 2 3 }
.spread { stroke: #1f2328; stroke-opacity: 0.55; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.card { fill: #0d1117; stroke: #30363d }
.soft, .tick { fill: #9198a1 }
.bar { fill: #4a525c }
.bar.own { fill: #1d6b5c }
.bar.best { fill: #2dbd9f }
.grid { stroke: #30363d }
.spread { stroke: #e6edf3 }
}
`

export function drawChart(chart: Chart): string {
  const panels: string[] = []
  const left = barsAt(chart)
  let y = HEAD
  for (const comparison of chart.comparisons) {
    const { markup, height } = panel(comparison, left, y)
    panels.push(markup)
    y += height + GAP
  }
  const height = y - GAP + MARGIN
  const inside = [
    element('title', { id: 'title' }, escaped(chart.title)),
    element('desc', { id: 'desc' }, escaped(inWords(chart))),
    element('style', {}, STYLE),
    element('rect', { class: 'card', x: 0.5, y: 0.5, width: WIDTH - 1, height: height - 1, rx: 8 }),
    text({ class: 'head', x: MARGIN, y: 36 }, chart.title),
    text({ class: 'soft', x: MARGIN, y: 56 }, chart.subtitle),
    ...panels,
  ]
  const size = { viewBox: `0 0 ${WIDTH} ${height}`, width: WIDTH, height }
  const spoken = { role: 'img', 'aria-labelledby': 'title desc' }
  return `${element('svg', { xmlns: 'http://www.w3.org/2000/svg', ...size, ...spoken }, inside)}\n`
}

function panel(comparison: Comparison, left: number, top: number): { markup: string; height: number } {
  const figures = bestFirst(comparison)
  const scale = scaleOf(
    figures.flatMap(({ median }) => median ?? []),
    WIDTH - left - VALUES - MARGIN,
  )
  const head = PANEL_HEAD + (scale.ticks.length > 0 ? TICKS : 0)
  const height = head + figures.length * ROW
  const inside = [
    text({ class: 'panel', x: MARGIN, y: top + 14 }, comparison.what),
    text({ class: 'soft', x: WIDTH - MARGIN, y: top + 14, 'text-anchor': 'end' }, howToRead(comparison, scale)),
    ...grid(scale, left, top + PANEL_HEAD, top + height),
    ...figures.map((figure, i) => row(figure, comparison, { scale, left }, top + head + i * ROW)),
  ]
  return { markup: element('g', {}, inside), height }
}

function howToRead({ better }: Comparison, { ticks }: Scale): string {
  return `${better} is better${ticks.length > 0 ? ' · logarithmic' : ''}`
}

function grid({ ticks }: Scale, left: number, top: number, bottom: number): string[] {
  return ticks.flatMap(({ value, at }) => [
    element('line', { class: 'grid', x1: left + at, x2: left + at, y1: top + TICKS - 4, y2: bottom - 4 }),
    text({ class: 'tick', x: left + at, y: top + 4, 'text-anchor': 'middle' }, value.toLocaleString('en')),
  ])
}

/** Where the bars begin, and how long they are. */
interface Place {
  readonly scale: Scale
  readonly left: number
}

function row(figure: Figure, comparison: Comparison, place: Place, top: number): string {
  const { scale, left } = place
  const isBest = figure === reference(comparison)
  const middle = top + ROW / 2 + 1
  const name = text({ class: isBest ? 'ours' : 'other', x: left - 12, y: middle, 'text-anchor': 'end' }, figure.contender)
  const { median } = figure
  if (median === undefined)
    return element('g', {}, [name, text({ class: 'soft', x: left, y: middle }, cut(figure.note ?? 'not run'))])
  const end = scale.at(median)
  const ground = isBest ? 'bar best' : isOurs(figure) ? 'bar own' : 'bar'
  const bar = { class: ground, x: left, y: middle - 4.5 - BAR / 2, width: Math.max(2, end), height: BAR, rx: 2 }
  const { markup, to } = whisker(figure, place, middle - 4.5)
  const value = { class: isBest ? 'ours' : 'other', x: left + Math.max(end, to) + 8, y: middle }
  return element('g', {}, [
    element(
      'title',
      {},
      escaped(told(median, comparison.unit) + (figure.durability === undefined ? '' : `; ${figure.durability}`)),
    ),
    name,
    element('rect', bar),
    ...markup,
    labelled(value, told(median, comparison.unit), multiple(figure, comparison)),
  ])
}

function labelled(place: Readonly<Record<string, string | number>>, value: string, times: string | undefined): string {
  const more = times === undefined ? '' : element('tspan', { class: 'soft', dx: 6 }, escaped(times))
  return element('text', place, `${escaped(value)}${more}`)
}

/** Where the middle half of the samples lies. */
function whisker({ median, spread }: Figure, { scale, left }: Place, y: number): { markup: string[]; to: number } {
  if (median === undefined || spread === undefined) return { markup: [], to: 0 }
  const [from, to] = [scale.at(Math.max(median - spread, median / 10)), scale.at(median + spread)]
  if (to - from < 3) return { markup: [], to: 0 }
  return { markup: [element('line', { class: 'spread', x1: left + from, x2: left + to, y1: y, y2: y })], to }
}

/** Right of the longest name. */
function barsAt({ comparisons }: Chart): number {
  const names = comparisons.flatMap(({ figures }) => figures.map(({ contender }) => contender.length))
  return MARGIN + Math.max(100, Math.ceil(Math.max(0, ...names) * LETTER)) + 12
}

/** Who did not run comes last. */
function bestFirst({ figures, better }: Comparison): Figure[] {
  const sign = better === 'less' ? 1 : -1
  const rank = ({ median }: Figure): number => (median === undefined ? Infinity : sign * median)
  return figures.toSorted((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)))
}

/** What fits beside a name. */
function cut(note: string): string {
  return note.length <= 90 ? note : `${note.slice(0, 89)}…`
}

function inWords({ subtitle, comparisons }: Chart): string {
  const panels = comparisons.map((comparison) => {
    const figures = bestFirst(comparison).map(({ contender, median, note }) =>
      median === undefined ? `${contender} ${note ?? 'not run'}` : `${contender} ${told(median, comparison.unit)}`,
    )
    return `${comparison.what} (${comparison.better} is better): ${figures.join(', ')}.`
  })
  return [`${subtitle}.`, ...panels].join(' ')
}
